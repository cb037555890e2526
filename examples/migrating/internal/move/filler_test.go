package move

import (
	"slices"
	"strings"
	"testing"

	"github.com/stateio/stateio/durable"
	"github.com/stateio/stateio/store"
)

// Values that are large together are several transactions, and one that is as large as an
// update may be is one.
func TestALotOfLargeValuesIsMoved(t *testing.T) {
	const most = 1 << 20
	m, err := durable.OpenMap(t.TempDir(), &durable.MapOptions[int, string]{Codec: durable.String{}, Store: store.Options{MaxUpdate: most}})
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	filler := Filler[int, string]{Map: m}
	sizes := append(slices.Repeat([]int{100_000}, 30), 0, most-100, 1, most-100)
	for key, size := range sizes {
		if err := filler.Put(t.Context(), size, key, strings.Repeat("x", size)); err != nil {
			t.Fatal(err)
		}
	}
	if err := filler.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	for key, size := range sizes {
		if value, ok := m.Get(key); !ok || len(value) != size {
			t.Errorf("%d has %d bytes, %v, and should have %d", key, len(value), ok, size)
		}
	}
}

// Many small values are few transactions.
func TestManySmallValuesShareTransactions(t *testing.T) {
	m, err := durable.OpenMap(t.TempDir(), &durable.MapOptions[int, string]{Codec: durable.String{}})
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	filler := Filler[int, string]{Map: m}
	for key := range 10_000 {
		if err := filler.Put(t.Context(), 8, key, ""); err != nil {
			t.Fatal(err)
		}
	}
	if err := filler.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	if n := m.Store().Index(); m.Len() != 10_000 || n > 3 {
		t.Errorf("%d keys in %d transactions", m.Len(), n)
	}
}
