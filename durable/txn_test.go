package durable_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"

	"github.com/stateio/stateio/durable"
)

type intTx = durable.Tx[string, int]

// txn makes a transaction that must succeed.
func txn(t testing.TB, m *durable.Map[string, int], f func(tx *intTx) error) {
	t.Helper()
	if err := m.Txn(t.Context(), f); err != nil {
		t.Fatal(err)
	}
}

func TestATransactionIsOneUpdate(t *testing.T) {
	m := openMap[string, int](t, t.TempDir(), nil)
	put(t, m, "old", 1)
	txn(t, m, func(tx *intTx) error {
		tx.Put("a", 1)
		tx.Put("b", 2)
		tx.Put("a", 3)
		expect(t, "own changes", pairs(tx.All()), []string{"a=3", "b=2", "old=1"})
		expect(t, "deleted", tx.Delete("old"), true)
		expect(t, "deleted again", tx.Delete("old"), false)
		expect(t, "own range", pairs(tx.Range("b", "z")), []string{"b=2"})
		expect(t, "from", pairs(tx.From("b")), []string{"b=2"})
		expect(t, "prefix", pairs(durable.Prefix(tx, "a")), []string{"a=3"})
		expect(t, "length", tx.Len(), 2)
		a, ok := tx.Get("a")
		expect(t, "a", []any{a, ok, tx.Has("b"), tx.Has("old")}, []any{3, true, true, false})
		expect(t, "outside", pairs(m.All()), []string{"old=1"})
		return nil
	})
	expect(t, "after", pairs(m.All()), []string{"a=3", "b=2"})
	expect(t, "updates", m.Store().Index(), 2)
}

func TestATransactionThatFailsChangesNothing(t *testing.T) {
	m := openMap[string, int](t, t.TempDir(), nil)
	put(t, m, "a", 1)
	wrong := errors.New("wrong")
	change := func(tx *intTx) { tx.Put("a", 2); tx.Put("b", 2); tx.Delete("a") }
	if err := m.Txn(t.Context(), func(tx *intTx) error { change(tx); return wrong }); err != wrong {
		t.Errorf("Txn: %v", err)
	}
	func() {
		defer func() { expect(t, "panic", recover(), any("loud")) }()
		_ = m.Txn(t.Context(), func(tx *intTx) error { change(tx); panic("loud") })
	}()
	expect(t, "after", pairs(m.All()), []string{"a=1"})
	txn(t, m, func(tx *intTx) error { tx.Put("c", 3); return nil })
	expect(t, "updates", m.Store().Index(), 2)
}

func TestATransactionThatOnlyReadsMakesNoUpdate(t *testing.T) {
	m := openMap[string, int](t, t.TempDir(), nil)
	put(t, m, "a", 1)
	txn(t, m, func(tx *intTx) error { _, _ = tx.Get("a"); return nil })
	expect(t, "updates", m.Store().Index(), 1)
}

func TestATransactionMustNotBeKept(t *testing.T) {
	m := openMap[string, int](t, t.TempDir(), nil)
	var kept *intTx
	txn(t, m, func(tx *intTx) error { kept = tx; return nil })
	for name, f := range map[string]func(){"Put": func() { kept.Put("a", 1) }, "Delete": func() { kept.Delete("a") }} {
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("%s after the end did not panic", name)
				}
			}()
			f()
		}()
	}
}

// Transactions that all want the same do not lose what others have done, and share
// commits.
func TestTransactionsAreSerializable(t *testing.T) {
	dir, stall := stallable(t)
	m := openMap[string, int](t, dir, nil)
	const accounts, goroutines, transfers = 3, 8, 40
	for i := range accounts {
		put(t, m, fmt.Sprint(i), 100)
	}
	var wg sync.WaitGroup
	for g := range goroutines {
		wg.Go(func() {
			for i := range transfers {
				from, to := fmt.Sprint(i%accounts), fmt.Sprint((i+g+1)%accounts)
				err := m.Txn(t.Context(), func(tx *intTx) error {
					a, _ := tx.Get(from)
					tx.Put(from, a-1)
					b, _ := tx.Get(to)
					tx.Put(to, b+1)
					n, _ := tx.Get("n")
					tx.Put("n", n+1)
					return nil
				})
				if err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	sum := 0
	for _, v := range m.Range("0", "n") {
		sum += v
	}
	n, _ := m.Get("n")
	expect(t, "sum and number", []int{sum, n}, []int{100 * accounts, goroutines * transfers})
	shareCommits(t, m.Store(), stall, goroutines, func() error {
		return m.Txn(t.Context(), func(tx *intTx) error {
			n, _ := tx.Get("n")
			tx.Put("n", n+1)
			return nil
		})
	})
}

// A Put of what a transaction has read makes it run again; another Put does not.
func TestATransactionRunsAgain(t *testing.T) {
	for name, c := range map[string]struct {
		read  func(tx *intTx)
		put   string
		again bool
	}{
		"a key that was read":           {func(tx *intTx) { tx.Get("a") }, "a", true},
		"a key that was asked for":      {func(tx *intTx) { tx.Has("x") }, "x", true},
		"a key that was not there":      {func(tx *intTx) { tx.Delete("x") }, "x", true},
		"another key":                   {func(tx *intTx) { tx.Get("a") }, "b", false},
		"a key that was only written":   {func(tx *intTx) { tx.Put("w", 1) }, "w", false},
		"a new key in a range":          {func(tx *intTx) { pairs(tx.Range("a", "c")) }, "ab", true},
		"the end of a range":            {func(tx *intTx) { pairs(tx.Range("a", "c")) }, "c", false},
		"a new key after from":          {func(tx *intTx) { pairs(tx.From("b")) }, "z", true},
		"a key before from":             {func(tx *intTx) { pairs(tx.From("b")) }, "a", false},
		"anything, and all was read":    {func(tx *intTx) { pairs(tx.All()) }, "z", true},
		"anything, and all was counted": {func(tx *intTx) { tx.Len() }, "z", true},
		"what a loop has not come to": {func(tx *intTx) {
			for range tx.All() {
				break
			}
		}, "b", false},
		"what a loop has ended with": {func(tx *intTx) {
			for k := range tx.All() {
				if k == "b" {
					break
				}
			}
		}, "b", true},
	} {
		t.Run(name, func(t *testing.T) {
			m := openMap[string, int](t, t.TempDir(), nil)
			for i, k := range []string{"a", "b", "c"} {
				put(t, m, k, i)
			}
			calls := 0
			txn(t, m, func(tx *intTx) error {
				c.read(tx)
				if calls++; calls == 1 {
					put(t, m, c.put, 7)
				}
				tx.Put("result", calls)
				return nil
			})
			want := 1
			if c.again {
				want = 2
			}
			if result, _ := m.Get("result"); result != want || calls != want {
				t.Errorf("it ran %d times, with result %d, want %d", calls, result, want)
			}
		})
	}
}

// A transaction sees the map as it was when it began, whatever becomes of it.
func TestATransactionSeesOneState(t *testing.T) {
	m := openMap[string, int](t, t.TempDir(), nil)
	for i, k := range []string{"a", "b", "c"} {
		put(t, m, k, i)
	}
	var seen [][]string
	txn(t, m, func(tx *intTx) error {
		tx.Put("own", 1)
		if len(seen) == 0 {
			put(t, m, "b", 7)
			put(t, m, "new", 7)
		}
		b, _ := tx.Get("b")
		s := []string{fmt.Sprint("b is ", b, ", new is there: ", tx.Has("new"), ", of ", tx.Len())}
		if len(seen) == 0 {
			put(t, m, "c", 7)
		}
		tx.Delete("own")
		seen = append(seen, append(s, pairs(tx.All())...))
		return nil
	})
	expect(t, "what it saw", seen, [][]string{
		{"b is 1, new is there: false, of 4", "a=0", "b=1", "c=2"},
		{"b is 7, new is there: true, of 5", "a=0", "b=7", "c=7", "new=7"},
	})
}

// A conflict that comes when the transaction is on its way to the log is seen as well.
func TestTransactionsBesidePuts(t *testing.T) {
	m := openMap[string, int](t, t.TempDir(), nil)
	const rounds = 200
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() { // moves what is in "in" to "sum"
			for range rounds {
				err := m.Txn(t.Context(), func(tx *intTx) error {
					in, _ := tx.Get("in")
					sum, _ := tx.Get("sum")
					tx.Put("in", 0)
					tx.Put("sum", sum+in)
					return nil
				})
				if err != nil {
					t.Error(err)
				}
			}
		})
	}
	for i := range rounds {
		put(t, m, "in", i)
	}
	wg.Wait()
	moved, in := 0, 0
	for c, err := range m.Watch(t.Context(), 1, nil) {
		if err != nil {
			t.Fatal(err)
		}
		switch {
		case c.Key == "sum":
			if c.Value != moved {
				t.Fatalf("update %d: the sum is %d, and %d were moved", c.Index, c.Value, moved)
			}
		case c.More: // of a transaction
			moved += in
			in = 0
		default:
			in = c.Value
		}
		if c.Index == m.Store().Index() && !c.More {
			break
		}
	}
}

// A transaction that others keep from being made gets its turn: they wait for it.
func TestATransactionGetsItsTurn(t *testing.T) {
	m := openMap[string, int](t, t.TempDir(), nil)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var others sync.WaitGroup
	calls := 0
	txn(t, m, func(tx *intTx) error {
		n, _ := tx.Get("n")
		calls++
		puts := make(chan error, 1)
		others.Go(func() { puts <- m.Put(ctx, "n", calls) })
		if calls <= 4 {
			if err := <-puts; err != nil {
				t.Error(err)
			}
		} // later ones wait for the end of the transaction
		tx.Put("n", n+100)
		return nil
	})
	others.Wait()
	expect(t, "calls", calls, 5)
	if n, _ := m.Get("n"); n != 5 {
		t.Errorf("n is %d: the Put that waited was not made after the transaction", n)
	}
}

// What waits for a transaction that has its turn heeds its context.
func TestAPutThatWaitsForATransactionHeedsItsContext(t *testing.T) {
	m := openMap[string, int](t, t.TempDir(), nil)
	calls := 0
	txn(t, m, func(tx *intTx) error {
		tx.Get("n")
		if calls++; calls <= 4 {
			put(t, m, "n", calls)
			return nil
		}
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error)
		go func() { done <- m.Put(ctx, "n", 0) }()
		cancel()
		if err := <-done; !errors.Is(err, context.Canceled) {
			t.Errorf("a Put that waits: %v", err)
		}
		return nil
	})
}

func TestATransactionThatWaitsHeedsItsContext(t *testing.T) {
	m := openMap[string, int](t, t.TempDir(), nil)
	txn(t, m, func(*intTx) error {
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error)
		go func() { done <- m.Txn(ctx, func(*intTx) error { return nil }) }()
		cancel()
		if err := <-done; !errors.Is(err, context.Canceled) {
			t.Errorf("a Txn that waits: %v", err)
		}
		return nil
	})
}
