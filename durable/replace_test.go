package durable_test

import (
	"bytes"
	"strings"
	"testing"

	"github.com/stateio/stateio/durable"
	"github.com/stateio/stateio/store"
)

// onStore opens a map on a store in memory.
func onStore(t *testing.T) (*durable.Map[string, int], *store.Store, store.Machine) {
	t.Helper()
	var s *store.Store
	var machine store.Machine
	m, err := durable.OpenMapOn[string, int](nil, func(m store.Machine) (_ store.Keeper, err error) {
		machine = m
		s, err = store.OpenMemory(m, &quiet)
		return s, err
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { closeIt(t, m) })
	return m, s, machine
}

// A transaction that has read what a Replace of the store has replaced since is made again,
// and sees one state all the while.
func TestATransactionDuringAReplace(t *testing.T) {
	other, _, machine := onStore(t)
	if err := other.Put(t.Context(), "balance", 5); err != nil {
		t.Fatal(err)
	}
	captured, err := machine.Snapshot()
	if err != nil {
		t.Fatal(err)
	}
	var state bytes.Buffer
	if _, err := captured.WriteTo(&state); err != nil {
		t.Fatal(err)
	}
	m, s, _ := onStore(t)
	if err := m.Put(t.Context(), "balance", 1000); err != nil {
		t.Fatal(err)
	}
	if err := m.Put(t.Context(), "more", 1000); err != nil {
		t.Fatal(err)
	}
	calls := 0
	err = m.Txn(t.Context(), func(tx *durable.Tx[string, int]) error {
		n, _ := tx.Get("balance")
		if calls++; calls == 1 {
			if _, err := s.Replace(t.Context(), bytes.NewReader(state.Bytes())); err != nil {
				return err
			}
		}
		if _, more := tx.Get("more"); more != (n == 1000) {
			t.Errorf("the balance is %d, and more is there: %v", n, more)
		}
		tx.Put("balance", n-1)
		return nil
	})
	if n, _ := m.Get("balance"); err != nil || calls != 2 || n != 4 {
		t.Errorf("balance %d after %d calls, %v", n, calls, err)
	}
}

// An update of a value does not undo a Replace of the store that came during it.
func TestAnUpdateOfAValueDuringAReplace(t *testing.T) {
	v, err := durable.OpenValue(t.TempDir(), 1000, &durable.ValueOptions[int]{Store: quiet})
	if err != nil {
		t.Fatal(err)
	}
	defer closeIt(t, v)
	calls := 0
	err = v.Update(t.Context(), func(n *int) error {
		if calls++; calls == 1 {
			if _, err := v.Store().Replace(t.Context(), strings.NewReader("dval\x015")); err != nil {
				return err
			}
		}
		*n--
		return nil
	})
	if v.Get() != 4 || calls != 2 || err != nil {
		t.Errorf("%d after %d calls, %v", v.Get(), calls, err)
	}
	if err := v.Update(t.Context(), func(n *int) error { *n--; return nil }); err != nil || v.Get() != 3 {
		t.Errorf("%d, %v", v.Get(), err)
	}
}
