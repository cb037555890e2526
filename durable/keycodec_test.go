package durable

import (
	"cmp"
	"fmt"
	"math"
	"strings"
	"testing"
)

type (
	name  string
	id    int32
	small uint8
	price float32
)

// roundTrip encodes and decodes keys, with something behind them.
func roundTrip[K cmp.Ordered](t *testing.T, keys ...K) {
	t.Helper()
	c := newKeyCodec[K]()
	for _, k := range keys {
		b := c.append([]byte("before"), k)[len("before"):]
		got, rest, err := c.parse(append(b, "after"...))
		if err != nil || got != k || string(rest) != "after" {
			t.Errorf("%T %v: %v, %q, %v", k, k, got, rest, err)
		}
		for cut := range len(b) {
			if _, _, err := c.parse(b[:cut:cut]); err == nil {
				t.Errorf("%T %v, cut to %d bytes: no error", k, k, cut)
			}
		}
	}
}

func TestKeyCodec(t *testing.T) {
	roundTrip(t, "b", "", "a\x00", "\xff", strings.Repeat("x", 300))
	roundTrip(t, name("b"), name(""))
	roundTrip(t, 0, -1, math.MaxInt, math.MinInt)
	roundTrip[int8](t, 0, -1, math.MaxInt8, math.MinInt8)
	roundTrip[int16](t, 0, -1, math.MaxInt16, math.MinInt16)
	roundTrip[id](t, 0, -1, math.MaxInt32, math.MinInt32)
	roundTrip[int64](t, 0, -1, math.MaxInt64, math.MinInt64)
	roundTrip[uint](t, 0, 1, math.MaxUint)
	roundTrip[small](t, 0, 1, math.MaxUint8)
	roundTrip[uint16](t, 0, 1, math.MaxUint16)
	roundTrip[uint32](t, 0, 1, math.MaxUint32)
	roundTrip[uint64](t, 0, 1, math.MaxUint64)
	roundTrip[uintptr](t, 0, 1)
	roundTrip[price](t, 0, -1.5, math.MaxFloat32, math.SmallestNonzeroFloat32)
	roundTrip(t, 0, -1.5, math.MaxFloat64, math.SmallestNonzeroFloat64, -math.MaxFloat64, math.Inf(1))
}

// A key for which the type has no room is refused.
func TestKeyCodecOfSmallerTypes(t *testing.T) {
	_, _, err1 := newKeyCodec[int8]().parse(newKeyCodec[int]().append(nil, 128))
	_, _, err2 := newKeyCodec[uint8]().parse(newKeyCodec[uint]().append(nil, 256))
	_, _, err3 := newKeyCodec[float32]().parse(newKeyCodec[float64]().append(nil, 1e300))
	for _, err := range []error{err1, err2, err3} {
		if err == nil || !strings.Contains(fmt.Sprint(err), "does not fit") {
			t.Errorf("a smaller type: %v", err)
		}
	}
}

// What a history counts of a key is the same on every processor, and for every type of
// integer: nodes that differ in it would judge transactions otherwise.
func TestWhatAKeyCountsIsTheSameOnAllNodes(t *testing.T) {
	if n := newKeyCodec[string]().bytes("four"); n != 20 {
		t.Errorf("a string of 4 bytes counts %d", n)
	}
	for name, n := range map[string]int{
		"int": newKeyCodec[int]().bytes(1), "int8": newKeyCodec[int8]().bytes(1), "uint32": newKeyCodec[uint32]().bytes(1), "float32": newKeyCodec[float32]().bytes(1),
	} {
		if n != 8 {
			t.Errorf("%s counts %d", name, n)
		}
	}
}
