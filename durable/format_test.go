package durable

import (
	"bytes"
	"strings"
	"testing"
	"time"

	"github.com/stateio/stateio/store"
)

// No byte begins both an update of a map and one of a value, in whatever version.
func TestHeadsOfMapsAndValuesAreApart(t *testing.T) {
	for h := range 256 {
		if isMapHead(byte(h)) && isValueHead(byte(h)) {
			t.Errorf("%#02x is a head of both", h)
		}
	}
	for k := putKind; k <= expireKind; k++ {
		for c := stringKeys; c <= floatKeys; c++ {
			if h := head(k, c); !isMapHead(h) || h&kindMask == 0 {
				t.Errorf("the head of kind %d and class %d, %#02x, is not one of a map", k, c, h)
			}
		}
	}
	for _, h := range []byte{valuePlain, valueSince} {
		if !isValueHead(h) || h&kindMask != 0 {
			t.Errorf("%#02x is not the head of a value", h)
		}
	}
}

// The first byte decides, for each of the 256, whether a map or a value reads an update; no
// update is read by both.
func TestNoUpdateIsReadByBoth(t *testing.T) {
	bodies := []string{"", "\x00", "\x01k", "\x01kv", "\x00\x00", "\x01\x01\x01", "\x01\x01\x01\x01v", "12345678", "12345678v"}
	for h := range 256 {
		for _, body := range bodies {
			update := append([]byte{byte(h)}, body...)
			v, err := newValueMachine("", ValueOptions[string]{Codec: String{}})
			if err != nil {
				t.Fatal(err)
			}
			_, value := v.ApplyAt(time.Time{}, 2, update)
			for class, m := range map[string]store.TimedMachine{
				"strings": newMachine(MapOptions[string, string]{Codec: String{}}),
				"ints":    newMachine(MapOptions[int8, string]{Codec: String{}}),
				"uints":   newMachine(MapOptions[uint, string]{Codec: String{}}),
				"floats":  newMachine(MapOptions[float64, string]{Codec: String{}}),
			} {
				_, err := m.ApplyAt(time.Time{}, 2, update)
				if reads := func(err error) bool { return err == nil || isRefusal(err) }; reads(err) && reads(value) {
					t.Errorf("%q is read by a value and by a map of %s", update, class)
				}
			}
		}
	}
}

// The bytes that are in files, of which each must be read by all later versions.
func TestTheBytesOfUpdatesAndSnapshots(t *testing.T) {
	m := newMachine(MapOptions[string, string]{Codec: String{}})
	v, err := newValueMachine("initial", ValueOptions[string]{Codec: String{}})
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		m             store.TimedMachine
		first, second string // updates
		snapshot      string
	}{
		{m, "\x01\x01kone", "\x03\x01\x01k\x03two\x05\x01l\x02\x01x", "dmap\x01\x00\x02\x00\x00\x00\x00\x00\x00\x00\x0a\x01k\x03two\x01l\x01x\x00\x03\x01l\x04\x00"},
		{m, "\x05\x01k\x02\x06one", "\x04\x05\x01k\x02\x01x\x01\x01l\x00\x08\x08", "dmap\x01\x00\x02\x00\x00\x00\x00\x00\x00\x00\x07\x01k\x01x\x01l\x00\x00\x03\x01k\x0c\x00"},
		{v, "\x08one", "\x10\x01two", "dval\x01two"},
	} {
		for i, u := range []string{c.first, c.second} {
			if _, err := c.m.ApplyAt(time.Unix(0, 0), uint64(i)+1, []byte(u)); err != nil {
				t.Fatalf("%q: %v", u, err)
			}
		}
		var b bytes.Buffer
		w, err := c.m.Snapshot()
		if err == nil {
			_, err = w.WriteTo(&b)
		}
		if err != nil || b.String() != c.snapshot {
			t.Errorf("the snapshot is %q, %v, want %q", b.String(), err, c.snapshot)
		}
		if err := c.m.Restore(&b); err != nil {
			t.Errorf("the snapshot is not read: %v", err)
		}
	}
	if v.get() != "two" || m.len() != 2 {
		t.Errorf("the states are %q and %d keys", v.get(), m.len())
	}
	if err := v.Restore(strings.NewReader("dval\x02")); err != nil || v.get() != "initial" {
		t.Errorf("the state before the first update is %q, %v", v.get(), err)
	}
	w, err := v.Snapshot()
	var b bytes.Buffer
	if err == nil {
		_, err = w.WriteTo(&b)
	}
	if err != nil || b.String() != "dval\x02" {
		t.Errorf("the snapshot of that is %q, %v", b.String(), err)
	}
	for _, wrong := range []string{"dval", "dval\x00", "dval\x02x", "dval\x03x"} {
		if v.Restore(strings.NewReader(wrong)) == nil {
			t.Errorf("%q is read", wrong)
		}
	}
}
