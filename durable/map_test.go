package durable_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/stateio/stateio/durable"
	"github.com/stateio/stateio/store"
)

func TestWhatWasPutIsThereAfterReopening(t *testing.T) {
	dir := t.TempDir()
	m := openMap[string, int](t, dir, nil)
	put(t, m, "a", 1)
	put(t, m, "b", 2)
	put(t, m, "a", 3)
	if existed, err := m.Delete(t.Context(), "b"); !existed || err != nil {
		t.Fatalf("Delete: %v, %v", existed, err)
	}
	if existed, err := m.Delete(t.Context(), "b"); existed || err != nil {
		t.Fatalf("Delete of what is not there: %v, %v", existed, err)
	}
	expect(t, "updates", m.Store().Index(), 4)
	closeIt(t, m)
	m = openMap[string, int](t, dir, nil)
	expect(t, "all", pairs(m.All()), []string{"a=3"})
	expect(t, "length", m.Len(), 1)
	expect(t, "index", m.View().Index(), 4)
}

func TestAClosedMapCanBeRead(t *testing.T) {
	m := openMap[string, int](t, t.TempDir(), nil)
	put(t, m, "a", 1)
	closeIt(t, m)
	if v, ok := m.Get("a"); v != 1 || !ok {
		t.Errorf("Get: %v, %v", v, ok)
	}
	expect(t, "all", pairs(m.All()), []string{"a=1"})
	if err := m.Put(t.Context(), "a", 2); !errors.Is(err, store.ErrClosed) {
		t.Errorf("Put: %v", err)
	}
	if err := m.Txn(t.Context(), func(tx *durable.Tx[string, int]) error { tx.Put("a", 2); return nil }); !errors.Is(err, store.ErrClosed) {
		t.Errorf("Txn: %v", err)
	}
	if v, _ := m.Get("a"); v != 1 {
		t.Errorf("after refused changes, a is %d", v)
	}
}

func TestALoopMayChangeTheMap(t *testing.T) {
	m := openMap[int, int](t, t.TempDir(), nil)
	for i := range 10 {
		put(t, m, i, i)
	}
	seen := 0
	for k, v := range m.All() {
		put(t, m, k+100, v)
		if _, err := m.Delete(t.Context(), 9-k); err != nil {
			t.Fatal(err)
		}
		seen++
	}
	expect(t, "keys seen", seen, 10)
	expect(t, "keys after", m.Len(), 10)
}

func TestAViewNeverChanges(t *testing.T) {
	m := openMap[string, int](t, t.TempDir(), nil)
	put(t, m, "a", 1)
	put(t, m, "b", 2)
	v := m.View()
	put(t, m, "a", 9)
	put(t, m, "c", 9)
	if _, err := m.Delete(t.Context(), "b"); err != nil {
		t.Fatal(err)
	}
	expect(t, "view", pairs(v.All()), []string{"a=1", "b=2"})
	expect(t, "index", v.Index(), 2)
	expect(t, "length", v.Len(), 2)
	if a, ok := v.Get("a"); a != 1 || !ok || !v.Has("b") || v.Has("c") {
		t.Errorf("the view has a=%d, b: %v, c: %v", a, v.Has("b"), v.Has("c"))
	}
	expect(t, "map", pairs(m.All()), []string{"a=9", "c=9"})
	one, other := m.View(), m.View()
	if one != other {
		t.Error("two views of the same state are not the same")
	}
}

// model is what a map must be like.
type model map[string]int

// between returns the pairs of keys for which is returns true, in order.
func (o model) between(is func(string) bool) []string {
	all := []string{}
	for _, k := range slices.Sorted(maps.Keys(o)) {
		if is(k) {
			all = append(all, fmt.Sprint(k, "=", o[k]))
		}
	}
	return all
}

func reversed(s []string) []string {
	s = slices.Clone(s)
	slices.Reverse(s)
	return s
}

// sameAs compares all ways to read a view with a model.
func (o model) sameAs(t *testing.T, v *durable.View[string, int], from, to string) {
	t.Helper()
	all := o.between(func(string) bool { return true })
	below := o.between(func(k string) bool { return k < to })
	expect(t, "All", pairs(v.All()), all)
	expect(t, "Backward", pairs(v.Backward()), reversed(all))
	expect(t, "From", pairs(v.From(from)), o.between(func(k string) bool { return k >= from }))
	expect(t, "Before", pairs(v.Before(to)), reversed(below))
	expect(t, "Range", pairs(v.Range(from, to)), o.between(func(k string) bool { return k >= from && k < to }))
	expect(t, "Prefix", pairs(durable.Prefix(v, from)), o.between(func(k string) bool { return strings.HasPrefix(k, from) }))
	expect(t, "Len", v.Len(), len(o))
	got, ok := v.Get(from)
	want, there := o[from]
	if got != want || ok != there || v.Has(from) != there {
		t.Fatalf("Get(%q): %d, %v, want %d, %v", from, got, ok, want, there)
	}
}

// A map is like a Go map under any changes, also after it was opened again, and views
// stay as they were.
func TestModel(t *testing.T) {
	dir := t.TempDir()
	rng := rand.New(rand.NewPCG(1, 2))
	key := func() string {
		return strings.Repeat(string(rune('a'+rng.IntN(4))), 1+rng.IntN(3)) + fmt.Sprint(rng.IntN(60))
	}
	o := model{}
	type old struct {
		v *durable.View[string, int]
		o model
	}
	var olds []old
	steps := 1500
	if testing.Short() {
		steps = 300
	}
	for range 3 {
		m := openMap[string, int](t, dir, nil)
		for i := range steps {
			change(t, m, o, rng, key)
			from, to := key(), key()
			if i%20 == 0 {
				o.sameAs(t, m.View(), from, to)
				olds = append(olds, old{m.View(), maps.Clone(o)})
			}
			got, ok := m.Get(from)
			if want, there := o[from]; got != want || ok != there {
				t.Fatalf("Get(%q): %d, %v, want %d, %v", from, got, ok, want, there)
			}
		}
		if err := m.Store().Snapshot(t.Context()); err != nil {
			t.Fatal(err)
		}
		closeIt(t, m)
	}
	for _, old := range olds {
		old.o.sameAs(t, old.v, key(), key())
	}
}

// change makes a change of m, and the same of o.
func change(t *testing.T, m *durable.Map[string, int], o model, rng *rand.Rand, key func() string) {
	t.Helper()
	switch k, v := key(), rng.IntN(1000); rng.IntN(6) {
	case 0, 1, 2:
		put(t, m, k, v)
		o[k] = v
	case 3, 4:
		existed, err := m.Delete(t.Context(), k)
		if _, there := o[k]; err != nil || existed != there {
			t.Fatalf("Delete(%q): %v, %v", k, existed, err)
		}
		delete(o, k)
	default:
		err := m.Txn(t.Context(), func(tx *durable.Tx[string, int]) error {
			for range 5 {
				k, v := key(), rng.IntN(1000)
				tx.Put(k, v)
				o[k] = v
				k = key()
				tx.Delete(k)
				delete(o, k)
			}
			expect(t, "Tx.All", pairs(tx.All()), o.between(func(string) bool { return true }))
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
}

// A map reads the same by all its own methods as by those of its view.
func TestMapReadsAsItsView(t *testing.T) {
	m := openMap[string, int](t, t.TempDir(), nil)
	for i, k := range []string{"a", "b1", "b2", "c"} {
		put(t, m, k, i)
	}
	v := m.View()
	expect(t, "All", pairs(m.All()), pairs(v.All()))
	expect(t, "Backward", pairs(m.Backward()), pairs(v.Backward()))
	expect(t, "From", pairs(m.From("b2")), []string{"b2=2", "c=3"})
	expect(t, "Before", pairs(m.Before("b2")), []string{"b1=1", "a=0"})
	expect(t, "Range", pairs(m.Range("b1", "c")), []string{"b1=1", "b2=2"})
	expect(t, "Range of nothing", pairs(m.Range("c", "b1")), []string{})
	expect(t, "Prefix", pairs(durable.Prefix(m, "b")), []string{"b1=1", "b2=2"})
	expect(t, "Has", m.Has("a"), true)
	for range m.All() {
		break // a loop may end early
	}
}

func TestMapAt(t *testing.T) {
	dir := t.TempDir()
	m := openMap[string, int](t, dir, nil)
	for i := range 5 {
		put(t, m, "a", i)
	}
	v, err := durable.MapAt[string, int](t.Context(), dir, 3, nil) // beside the map, which is open
	if err != nil {
		t.Fatal(err)
	}
	expect(t, "update 3", pairs(v.All()), []string{"a=2"})
	expect(t, "its index", v.Index(), 3)
	if _, err := durable.MapAt[string, int](t.Context(), dir, 99, nil); !errors.Is(err, store.ErrNotRetained) {
		t.Errorf("update 99: %v", err)
	}
}

// A key in an error is on one line, whatever it holds and however long it is.
func TestAKeyInAnErrorIsQuoted(t *testing.T) {
	m := openMap[string, string](t, t.TempDir(), nil)
	for key, want := range map[string]string{
		"\x1b[2J\nann":             `durable: encoding the value of key "\x1b[2J\nann": `,
		strings.Repeat("a", 1<<20): `durable: encoding the value of key "` + strings.Repeat("a", 100) + `": `,
	} {
		if err := m.Put(t.Context(), key, "\xff"); err == nil || !strings.HasPrefix(err.Error(), want) {
			t.Errorf("%.200v", err)
		}
	}
}

// What can't be encoded is refused, and the map is as it was.
func TestPutRefusesWhatItCanNotKeep(t *testing.T) {
	m := openMap[string, any](t, t.TempDir(), nil)
	for name, v := range map[string]any{"a channel": make(chan int), "text that is not UTF-8": "\xff"} {
		if err := m.Put(t.Context(), "a", v); err == nil || !strings.Contains(err.Error(), `the value of key "a"`) {
			t.Errorf("Put of %s: %v", name, err)
		}
		err := m.Txn(t.Context(), func(tx *durable.Tx[string, any]) error {
			tx.Put("b", 1)
			tx.Put("a", v)
			tx.Put("c", 1)
			return nil
		})
		if err == nil || !strings.Contains(err.Error(), `the value of key "a"`) {
			t.Errorf("Txn with %s: %v", name, err)
		}
	}
	if m.Len() != 0 || m.Store().Index() != 0 {
		t.Errorf("the map has %v", pairs(m.All()))
	}
}

func TestPutHeedsItsContext(t *testing.T) {
	m := openMap[string, int](t, t.TempDir(), nil)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := m.Put(ctx, "a", 1); !errors.Is(err, context.Canceled) || errors.Is(err, store.ErrUnknown) {
		t.Errorf("Put: %v", err)
	}
	if _, err := m.Delete(ctx, "a"); !errors.Is(err, context.Canceled) {
		t.Errorf("Delete: %v", err)
	}
	if err := m.Txn(ctx, func(*durable.Tx[string, int]) error { t.Error("called"); return nil }); !errors.Is(err, context.Canceled) {
		t.Errorf("Txn: %v", err)
	}
	expect(t, "length", m.Len(), 0)
}

// Who opens a map with other types is told so, and nothing is changed.
func TestOpenWithOtherTypes(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "m")
	m := openMap[string, int](t, dir, nil)
	put(t, m, "a", 1)
	closeIt(t, m)
	wrong := func(when string) {
		t.Helper()
		_, err := durable.OpenMap(dir, &durable.MapOptions[int, int]{Store: quiet})
		if err == nil || !strings.Contains(err.Error(), "keys that are strings, not signed integers") {
			t.Errorf("%s, with other keys: %v", when, err)
		}
		if _, err := durable.OpenMap(dir, &durable.MapOptions[string, []int]{Store: quiet}); err == nil || !strings.Contains(err.Error(), `the value of key "a"`) {
			t.Errorf("%s, with other values: %v", when, err)
		}
		if _, err := durable.OpenValue(dir, 0, &durable.ValueOptions[int]{Store: quiet}); err == nil {
			t.Errorf("%s, as a value: no error", when)
		}
	}
	wrong("from the log")
	m = openMap[string, int](t, dir, nil)
	if err := m.Store().Snapshot(t.Context()); err != nil {
		t.Fatal(err)
	}
	closeIt(t, m)
	wrong("from a snapshot")
	m = openMap[string, int](t, dir, nil)
	expect(t, "all", pairs(m.All()), []string{"a=1"})
}
