package durable_test

import (
	"bytes"
	"fmt"
	"iter"
	"slices"
	"testing"
	"time"

	"github.com/stateio/stateio/durable"
	"github.com/stateio/stateio/statetest"
	"github.com/stateio/stateio/store"
)

// record returns the updates that f makes to a map, read from its log.
func record[V any](t *testing.T, opts *durable.MapOptions[string, V], f func(m *durable.Map[string, V])) [][]byte {
	t.Helper()
	dir := t.TempDir()
	m := openMap(t, dir, opts)
	f(m)
	closeIt(t, m)
	var updates [][]byte
	for u, err := range store.ReadUpdates(t.Context(), dir, 1) {
		if err != nil {
			t.Fatal(err)
		}
		updates = append(updates, u.Data)
	}
	return updates
}

// withRefused returns the updates with some in between that are refused: deletions
// of what is not there, and ones that no map has made.
func withRefused(t *testing.T, updates [][]byte) iter.Seq[[]byte] {
	t.Helper()
	absent := record(t, nil, func(m *durable.Map[string, int]) {
		put(t, m, "absent", 1)
		if _, err := m.Delete(t.Context(), "absent"); err != nil {
			t.Fatal(err)
		}
	})[1]
	return func(yield func([]byte) bool) {
		for i, u := range updates {
			cut := u[:len(u)-1]
			if !yield(u) || i%4 == 0 && !yield(absent) || i%9 == 0 && !yield(cut) {
				return
			}
		}
	}
}

type user struct {
	Name string
	Tags []string
	Seen map[string]int
}

// changeUsers makes every kind of update.
func changeUsers(t *testing.T) func(m *durable.Map[string, user]) {
	return func(m *durable.Map[string, user]) {
		for i := range 40 {
			key := fmt.Sprint("user", i*7%11)
			put(t, m, key, user{key, []string{"a", fmt.Sprint(i)}, map[string]int{"x": i}})
			if err := m.PutTTL(t.Context(), fmt.Sprint("user", i*4%11), user{}, time.Duration(i+1)*time.Hour); err != nil {
				t.Fatal(err)
			}
			if i%3 == 0 {
				if _, err := m.Delete(t.Context(), fmt.Sprint("user", i*5%11)); err != nil {
					t.Fatal(err)
				}
			}
			err := m.Txn(t.Context(), func(tx *durable.Tx[string, user]) error {
				tx.Put(fmt.Sprint("user", i%11), user{Name: "txn"})
				tx.PutTTL(fmt.Sprint("user", i*3%11), user{Name: "txn"}, time.Hour)
				tx.Delete(fmt.Sprint("user", (i+1)%11))
				return nil
			})
			if err != nil {
				t.Fatal(err)
			}
			if i%10 == 0 {
				if _, err := m.ImportJSONL(t.Context(), bytes.NewReader([]byte(`{"key":"user3","value":{"Name":"imported"}}`))); err != nil {
					t.Fatal(err)
				}
			}
		}
	}
}

// The machine of a map keeps the contract of store.Machine.
func TestMapMachine(t *testing.T) {
	updates := record(t, nil, changeUsers(t))
	if len(updates) < 60 {
		t.Fatalf("%d updates", len(updates))
	}
	newMachine := func() store.Machine { return durable.NewMachine[string, user](nil) }
	statetest.Run(t, newMachine, withRefused(t, updates), nil)
}

// So does that of a map on several nodes, whose transactions say what they have read; those
// that are in conflict are refused.
func TestMapMachineOnSeveralNodes(t *testing.T) {
	cast := newCast()
	m, _ := joinMap[string, user](t, cast, nil)
	other, _ := joinMap[string, user](t, cast, nil)
	for i := range 60 {
		put(t, m, fmt.Sprint("user", i%7), user{Name: fmt.Sprint(i)})
		err := other.Txn(t.Context(), func(tx *durable.Tx[string, user]) error { // which lags
			u, _ := tx.Get(fmt.Sprint("user", i*3%7))
			for range tx.Range("user2", "user4") {
				u.Name += "x"
			}
			tx.Put(fmt.Sprint("user", i*5%7), u)
			tx.PutTTL("soon", u, time.Hour)
			tx.Delete(fmt.Sprint("user", i*4%7))
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	var updates [][]byte
	for _, e := range cast.entries {
		updates = append(updates, e.data)
	}
	if len(updates) < 130 {
		t.Fatalf("%d updates, so nothing was in conflict", len(updates))
	}
	newMachine := func() store.Machine { return durable.NewMachine[string, user](nil) }
	statetest.Run(t, newMachine, slices.Values(updates), nil)
}

// So does one whose values are copied by their codec.
func TestMapMachineOfAny(t *testing.T) {
	updates := record(t, nil, func(m *durable.Map[string, any]) {
		for i := range 60 {
			put[string, any](t, m, fmt.Sprint(i%7), map[string]any{"i": i, "list": []any{"x", nil}})
		}
	})
	newMachine := func() store.Machine { return durable.NewMachine[string, any](nil) }
	statetest.Run(t, newMachine, withRefused(t, updates), nil)
}

// So does the machine of a value.
func TestValueMachine(t *testing.T) {
	dir := t.TempDir()
	v := openValue(t, dir, user{})
	for i := range 40 {
		err := v.Update(t.Context(), func(u *user) error { u.Tags = append(u.Tags, fmt.Sprint(i)); return nil })
		if err != nil {
			t.Fatal(err)
		}
	}
	closeIt(t, v)
	var updates [][]byte
	for u, err := range store.ReadUpdates(t.Context(), dir, 1) {
		if err != nil {
			t.Fatal(err)
		}
		updates = append(updates, u.Data, []byte("refused"), nil)
	}
	newMachine := func() store.Machine { return durable.NewValueMachine(user{Name: "initial"}, nil) }
	statetest.Run(t, newMachine, slices.Values(updates), nil)
}
