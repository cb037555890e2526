package durable_test

import (
	"strings"
	"testing"
	"time"

	"github.com/stateio/stateio/durable"
	"github.com/stateio/stateio/store"
)

// What maps and values write into their stores. TestTheBytesOfUpdatesAndSnapshots reads it: what
// is written is changed with a new version only, and what was written is read for good.
func TestTheBytesThatMapsAndValuesWrite(t *testing.T) {
	ctx := t.Context()
	const ttl = "\x80\x80\x80\x80\x80\x80\x80\x80\x10" // 1<<60 ns
	written := func(s *store.Store, want ...string) {
		t.Helper()
		if s.Index() != uint64(len(want)) {
			t.Fatalf("there are %d updates, want %d", s.Index(), len(want))
		}
		for u, err := range s.Updates(ctx, 1) {
			if err != nil {
				t.Fatal(err)
			}
			got, w := string(u.Data), want[u.Index-1]
			if strings.Contains(w, ttl) { // then there is the time at which it was asked for as well
				got = got[:min(len(got), len(w))]
			}
			if got != w {
				t.Errorf("update %d is %q, want %q", u.Index, u.Data, w)
			}
			if u.Index == uint64(len(want)) {
				return
			}
		}
	}

	texts := openMap(t, t.TempDir(), &durable.MapOptions[string, string]{Codec: durable.String{}})
	put(t, texts, "k", "one")
	for _, f := range []func(tx *durable.Tx[string, string]){
		func(tx *durable.Tx[string, string]) { tx.Put("k", "two"); tx.Put("l", "") },
		func(tx *durable.Tx[string, string]) { tx.Delete("l"); tx.PutTTL("m", "x", 1<<60) },
	} {
		if err := texts.Txn(ctx, func(tx *durable.Tx[string, string]) error { f(tx); return nil }); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := texts.Delete(ctx, "k"); err != nil {
		t.Fatal(err)
	}
	if err := texts.PutTTL(ctx, "n", "y", 1<<60*time.Nanosecond); err != nil {
		t.Fatal(err)
	}
	written(texts.Store(),
		"\x01\x01kone",
		"\x04\x01\x01k\x03two\x01\x01l\x00",
		"\x04\x02\x01l\x05\x01m"+ttl+"\x01x\x08",
		"\x02\x01k",
		"\x05\x01n"+ttl)

	ints := openMap[int16, []string](t, t.TempDir(), nil)
	put(t, ints, -2, []string{"a"})
	put(t, ints, 300, nil)
	written(ints.Store(), "\x09\x03[\"a\"]", "\x09\xd8\x04null")

	uints := openMap[uint64, bool](t, t.TempDir(), nil)
	put(t, uints, 300, true)
	written(uints.Store(), "\x11\xac\x02true")

	floats := openMap[float64, int](t, t.TempDir(), nil)
	put(t, floats, 1.5, 7)
	written(floats.Store(), "\x19\x00\x00\x00\x00\x00\x00\xf8\x3f7")

	v, err := durable.OpenValue(t.TempDir(), map[string]int{}, &durable.ValueOptions[map[string]int]{Store: quiet})
	if err != nil {
		t.Fatal(err)
	}
	defer closeIt(t, v)
	if err := v.Update(ctx, func(m *map[string]int) error { (*m)["a"] = 1; return nil }); err != nil {
		t.Fatal(err)
	}
	written(v.Store(), "\x08{\"a\":1}")
}
