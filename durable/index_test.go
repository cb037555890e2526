package durable_test

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"math"
	"math/rand/v2"
	"runtime"
	"slices"
	"testing"
	"weak"

	"github.com/stateio/stateio/durable"
	"github.com/stateio/stateio/store"
)

// modulo are the terms of an index: some values have none, some two.
func modulo(_ string, v int) []float64 {
	switch v % 4 {
	case 0:
		return nil
	case 1:
		return []float64{float64(v % 7), math.NaN()}
	case 2:
		return []float64{float64(v % 7), float64(v % 5), float64(v % 7)}
	default:
		return []float64{float64(v%7) - 3}
	}
}

// sameAsScan compares an index with what a look at the whole map finds.
func sameAsScan(t *testing.T, m *durable.Map[string, int], x *durable.Index[float64, string, int], from, to float64) {
	t.Helper()
	type found struct {
		term float64
		pair string
	}
	var within, equal []found
	for k, v := range m.All() {
		seen := map[string]bool{}
		for _, term := range modulo(k, v) {
			if f := (found{term, fmt.Sprint(k, "=", v)}); !seen[fmt.Sprint(term)] {
				seen[fmt.Sprint(term)] = true
				if cmp.Compare(term, from) >= 0 && cmp.Less(term, to) {
					within = append(within, f)
				}
				if cmp.Compare(term, from) == 0 {
					equal = append(equal, f)
				}
			}
		}
	}
	slices.SortStableFunc(within, func(a, b found) int { return cmp.Compare(a.term, b.term) })
	texts := func(f []found) []string {
		all := []string{}
		for _, f := range f {
			all = append(all, f.pair)
		}
		return all
	}
	expect(t, fmt.Sprint("Get of ", from), pairs(x.Get(from)), texts(equal))
	expect(t, fmt.Sprint("Range of ", from, " to ", to), pairs(x.Range(from, to)), texts(within))
}

// An index finds what a look at the whole map does, whenever it was made, and after the
// map was opened again.
func TestIndex(t *testing.T) {
	dir := t.TempDir()
	rng := rand.New(rand.NewPCG(3, 4))
	key := func() string { return fmt.Sprint("k", rng.IntN(40)) }
	term := func() float64 {
		if rng.IntN(10) == 0 {
			return math.NaN()
		}
		return float64(rng.IntN(10) - 4)
	}
	o := model{}
	for range 3 {
		m := openMap[string, int](t, dir, nil)
		early := durable.NewIndex(m, modulo)
		for range 150 {
			change(t, m, o, rng, key)
			sameAsScan(t, m, early, term(), term())
		}
		late := durable.NewIndex(m, modulo)
		for range 50 {
			change(t, m, o, rng, key)
			from, to := term(), term()
			sameAsScan(t, m, early, from, to)
			sameAsScan(t, m, late, from, to)
		}
		closeIt(t, m)
	}
}

// Keys below the zero value are found, too.
// When the function of an index panics, the map fails, and what can still be read of it is
// what it was before the update, all of it.
func TestAPanicInAnIndexLeavesNoHalfOfAnUpdate(t *testing.T) {
	m, err := durable.OpenMap[string, int](t.TempDir(), nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, key := range []string{"a", "b"} {
		put(t, m, key, 100)
	}
	fine := durable.NewIndex(m, func(_ string, v int) []int { return []int{v} })
	bad := durable.NewIndex(m, func(_ string, v int) []int {
		if v == 150 {
			panic("150")
		}
		return []int{v}
	})
	func() {
		defer func() {
			if v := recover(); v != "150" {
				t.Errorf("the panic is %v", v)
			}
		}()
		err := m.Txn(t.Context(), func(tx *durable.Tx[string, int]) error {
			tx.Put("a", 50)
			tx.Put("b", 150)
			return nil
		})
		t.Errorf("the transaction returns %v", err)
	}()
	for _, key := range []string{"a", "b"} {
		if v, _ := m.Get(key); v != 100 {
			t.Errorf("%s is %d", key, v)
		}
	}
	for _, x := range []*durable.Index[int, string, int]{fine, bad} {
		if got := maps.Collect(x.Range(0, 1000)); len(got) != 2 || got["a"] != 100 || got["b"] != 100 {
			t.Errorf("by index: %v", got)
		}
	}
	if err := m.Close(); !errors.Is(err, store.ErrFailed) {
		t.Errorf("Close returns %v", err)
	}
}

// Of a key that one update changes several times, the last value counts.
func TestAnIndexOfAKeyThatChangesTwice(t *testing.T) {
	m, err := durable.OpenMap[string, int](t.TempDir(), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	x := durable.NewIndex(m, func(_ string, v int) []int { return []int{v} })
	put(t, m, "a", 1)
	err = m.Txn(t.Context(), func(tx *durable.Tx[string, int]) error {
		for i, v := range []int{2, 2, 3, 4, 2} {
			tx.Put([]string{"a", "b"}[i%2], v)
		}
		tx.Put("c", 5)
		tx.Delete("c")
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if got := maps.Collect(x.Range(0, 1000)); len(got) != 2 || got["a"] != 2 || got["b"] != 4 {
		t.Errorf("by index: %v", got)
	}
}

// An index that was read, and is not again, does not hold on to what the map held then.
func TestAnIndexKeepsNoOldValue(t *testing.T) {
	type large struct{ Data [1 << 16]byte }
	as := func(v *large) *large { return v } // what is kept is what comes out
	m := openMap(t, t.TempDir(), &durable.MapOptions[string, *large]{Clone: as})
	x := durable.NewIndex(m, func(_ string, v *large) []byte { return v.Data[:1] })
	put(t, m, "a", &large{})
	kept := func() weak.Pointer[large] {
		for _, v := range x.Get(0) {
			return weak.Make(v)
		}
		return weak.Pointer[large]{}
	}()
	if kept.Value() == nil {
		t.Fatal("the index finds nothing")
	}
	put(t, m, "a", &large{})
	runtime.GC()
	if kept.Value() != nil {
		t.Error("the value that was replaced is still in memory")
	}
	runtime.KeepAlive(x)
}

func TestIndexOfNegativeKeys(t *testing.T) {
	m := openMap[int, string](t, t.TempDir(), nil)
	x := durable.NewIndex(m, func(_ int, v string) []string { return []string{v} })
	expect(t, "nothing yet", pairs(x.Get("a")), []string{})
	for _, k := range []int{-5, 0, 5} {
		put(t, m, k, "a")
	}
	expect(t, "a", pairs(x.Get("a")), []string{"-5=a", "0=a", "5=a"})
}

// A loop over an index sees one state, and may change the map.
func TestALoopOverAnIndexMayChangeTheMap(t *testing.T) {
	m := openMap[int, int](t, t.TempDir(), nil)
	x := durable.NewIndex(m, func(_, v int) []int { return []int{v} })
	for i := range 10 {
		put(t, m, i, 1)
	}
	seen := 0
	for k, v := range x.Get(1) {
		expect(t, "value", v, 1)
		put(t, m, k, 2)
		put(t, m, k+100, 1)
		seen++
	}
	expect(t, "seen", seen, 10)
	expect(t, "moved", len(pairs(x.Get(2))), 10)
}
