package durable_test

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"

	"github.com/stateio/stateio/durable"
)

type id int32

// testKeys keeps keys in a map, in the log, in a snapshot and in a file of lines.
func testKeys[K cmp.Ordered](t *testing.T, keys ...K) {
	t.Run(fmt.Sprintf("%T", keys[0]), func(t *testing.T) {
		dir := t.TempDir()
		m := openMap[K, int](t, dir, nil)
		for i, k := range keys {
			put(t, m, k, i)
		}
		check := func(when string) {
			t.Helper()
			var got []K
			for k, i := range m.All() {
				if k != keys[i] {
					t.Fatalf("%s, key %v has come to be %v", when, keys[i], k)
				}
				if v, ok := m.Get(k); !ok || v != i {
					t.Fatalf("%s, Get(%v): %v, %v", when, k, v, ok)
				}
				got = append(got, k)
			}
			expect(t, when, got, slices.Sorted(slices.Values(keys)))
		}
		check("in memory")
		closeIt(t, m)
		m = openMap[K, int](t, dir, nil)
		check("from the log")
		if err := m.Store().Snapshot(t.Context()); err != nil {
			t.Fatal(err)
		}
		closeIt(t, m)
		m = openMap[K, int](t, dir, nil)
		check("from a snapshot")
		var b strings.Builder
		if err := m.ExportJSONL(&b); err != nil {
			t.Fatal(err)
		}
		m = openMap[K, int](t, t.TempDir(), nil)
		if n, err := m.ImportJSONL(t.Context(), strings.NewReader(b.String())); err != nil || n != len(keys) {
			t.Fatalf("ImportJSONL: %d, %v, of\n%s", n, err, b.String())
		}
		check("imported")
	})
}

// The codec of keys is tested with all types in keycodec_test.go.
func TestKeys(t *testing.T) {
	testKeys(t, "b", "", "a", "a\x00", "é", "\xff\xfe", "a\n\"")
	testKeys[id](t, 0, -1, math.MaxInt32, math.MinInt32)
	testKeys[uint64](t, 0, 1, math.MaxUint64)
	testKeys(t, 0, -1.5, math.MaxFloat64, math.SmallestNonzeroFloat64, -math.MaxFloat64)
}

func TestFloatKeys(t *testing.T) {
	m := openMap[float64, string](t, t.TempDir(), nil)
	nan := math.NaN()
	for _, k := range []float64{1, math.Inf(1), math.Inf(-1)} {
		put(t, m, k, "x")
	}
	put(t, m, 0, "zero")
	put(t, m, math.Copysign(0, -1), "minus zero is the same")
	expect(t, "all", pairs(m.All()), []string{"-Inf=x", "0=minus zero is the same", "1=x", "+Inf=x"})
	if err := m.Put(t.Context(), nan, "x"); err == nil || !strings.Contains(err.Error(), "NaN") {
		t.Errorf("Put of NaN: %v", err)
	}
	err := m.Txn(t.Context(), func(tx *durable.Tx[float64, string]) error {
		if tx.Has(nan) || tx.Delete(nan) {
			t.Error("a transaction has NaN")
		}
		tx.Put(nan, "x")
		return nil
	})
	if err == nil || !strings.Contains(err.Error(), "NaN") {
		t.Errorf("Txn with NaN: %v", err)
	}
	if existed, err := m.Delete(t.Context(), nan); existed || err != nil {
		t.Errorf("Delete of NaN: %v, %v", existed, err)
	}
	v := m.View()
	_, ok := v.Get(nan)
	if _, ok2 := m.Get(nan); ok || ok2 || m.Has(nan) || v.Has(nan) {
		t.Error("NaN is there")
	}
	for where, got := range map[string][]string{
		"Range": pairs(v.Range(nan, 9)), "to": pairs(v.Range(0, nan)), "From": pairs(v.From(nan)), "Before": pairs(v.Before(nan)),
	} {
		expect(t, where, got, []string{})
	}
	if lines := exported(t, m); !strings.Contains(lines, `{"key":"-Inf",`) {
		t.Errorf("exporting infinity: %s", lines)
	}
}

// A key that the type has no room for is refused when the map is opened, and not cut.
func TestOpenWithSmallerKeys(t *testing.T) {
	dir := t.TempDir()
	wide := openMap[int, int](t, dir, nil)
	put(t, wide, 5, 1)
	put(t, wide, 300, 2)
	closeIt(t, wide)
	_, err := durable.OpenMap(dir, &durable.MapOptions[int8, int]{Store: quiet})
	if err == nil || !strings.Contains(err.Error(), "300 does not fit int8") {
		t.Errorf("int8: %v", err)
	}
}
