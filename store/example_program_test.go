package store_test

import (
	"context"
	"errors"
	"fmt"
	"log"
	"log/slog"
	"os"

	"github.com/stateio/stateio/store"
)

// A transfer moves an amount from one account to another.
type transfer struct {
	From, To string
	Amount   int
}

// A ledger is the state of the program: the balance of each account, with the one
// function that changes it.
type ledger struct {
	store.JSONState[map[string]int]
}

// Apply makes a transfer, or refuses it and leaves everything as it was.
func (l *ledger) Apply(t transfer) (balance int, err error) {
	if t.Amount <= 0 || t.From != "bank" && l.State[t.From] < t.Amount {
		return 0, errors.New("not enough money")
	}
	l.State[t.From] -= t.Amount
	l.State[t.To] += t.Amount
	return l.State[t.To], nil
}

// openLedger opens the store in dir. The ledger has its state back then.
func openLedger(dir string) (*store.Typed[transfer, int], *ledger, error) {
	l := &ledger{store.JSONState[map[string]int]{State: map[string]int{}}}
	s, err := store.OpenTyped[transfer, int](dir, l, nil, &store.Options{Logger: slog.New(slog.DiscardHandler)})
	return s, l, err
}

// A whole program: a ledger that survives whatever happens to it.
func Example() {
	dir, err := os.MkdirTemp("", "ledger")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(dir)
	ctx := context.Background()

	s, _, err := openLedger(dir)
	if err != nil {
		log.Fatal(err)
	}
	balance, err := s.Update(ctx, transfer{"bank", "ann", 100}) // on the disk when this returns
	fmt.Println(balance, err)
	_, err = s.Update(ctx, transfer{"ann", "bob", 500})
	fmt.Println(err)
	if err := s.Close(); err != nil { // kill -9 would do as well
		log.Fatal(err)
	}

	s, l, err := openLedger(dir)
	if err != nil {
		log.Fatal(err)
	}
	defer s.Close()
	_ = s.View(func() error {
		fmt.Println("ann has", l.State["ann"])
		return nil
	})
	// Output:
	// 100 <nil>
	// not enough money
	// ann has 100
}
