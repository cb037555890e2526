package durable_test

import (
	"cmp"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/stateio/stateio/durable"
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
