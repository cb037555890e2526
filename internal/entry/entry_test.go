package entry

import (
	"bytes"
	"math"
	"testing"
)

func TestSplitIsTheInverseOfPut(t *testing.T) {
	for _, want := range []Head{{Update, 0}, {Snapshot, 1}, {Update, 0x0102030405060708}, {Snapshot, math.MaxUint64}} {
		var b [HeadSize]byte
		want.Put(&b)
		got, payload, ok := Split(append(b[:], "rest"...))
		if !ok || got != want || string(payload) != "rest" {
			t.Errorf("Split(Put(%+v)) = %+v, %q, %v", want, got, payload, ok)
		}
	}
}

func TestPutIsLittleEndian(t *testing.T) {
	var b [HeadSize]byte
	Head{Snapshot, 0x0102030405060708}.Put(&b)
	if want := []byte{2, 8, 7, 6, 5, 4, 3, 2, 1}; !bytes.Equal(b[:], want) {
		t.Errorf("got % x, want % x", b, want)
	}
}

func TestSplitRefusesWhatIsNoEntry(t *testing.T) {
	for _, b := range [][]byte{nil, {1}, {1, 0, 0, 0, 0, 0, 0, 0}, make([]byte, 9), {3, 0, 0, 0, 0, 0, 0, 0, 0}, {255, 0, 0, 0, 0, 0, 0, 0, 0, 1}} {
		if h, _, ok := Split(b); ok {
			t.Errorf("Split(% x) = %+v, true", b, h)
		}
	}
	if _, payload, ok := Split([]byte{1, 0, 0, 0, 0, 0, 0, 0, 0}); !ok || len(payload) != 0 {
		t.Errorf("an empty update is one: got %q, %v", payload, ok)
	}
}

func TestKindsHaveNames(t *testing.T) {
	for kind, want := range []string{"unknown kind 0", "update", "snapshot", "unknown kind 3"} {
		if got := Kind(kind).String(); got != want {
			t.Errorf("kind %d: %q, want %q", kind, got, want)
		}
	}
}
