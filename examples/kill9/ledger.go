package main

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/fnv"
	"unicode/utf8"

	"github.com/stateio/stateio/store"
)

// All that makes the state survive is in this file.

// An entry is an update: a line of text for an account.
type entry struct {
	Account string `json:"account"`
	Text    string `json:"text"`
}

const (
	maxName     = 64      // bytes
	maxText     = 1 << 10 // bytes
	maxAccounts = 2000
)

// check returns what is wrong with an entry.
func (e entry) check() error {
	switch {
	case e.Account == "" || len(e.Account) > maxName || !utf8.ValidString(e.Account):
		return fmt.Errorf("the name of an account is UTF-8 text of 1 to %d bytes", maxName)
	case len(e.Text) > maxText || !utf8.ValidString(e.Text):
		return fmt.Errorf("an entry is UTF-8 text of at most %d bytes", maxText)
	}
	return nil
}

// An account is what is kept of its entries. It depends on each of them and on their
// order, so two that are equal had the same entries.
type account struct {
	Count uint64 `json:"count"` // of the entries
	Sum   uint64 `json:"sum"`   // a hash of the sum before and the last entry
	Last  string `json:"last"`  // the text of the last entry
}

// add returns the account with one more entry.
func (a account) add(text string) account {
	h := fnv.New64a()
	_, _ = h.Write(binary.BigEndian.AppendUint64(nil, a.Sum)) // a hash has no errors
	_, _ = h.Write([]byte(text))
	return account{a.Count + 1, h.Sum64(), text}
}

// A ledger is the state of the server: the accounts by their names.
type ledger struct {
	store.JSONState[map[string]account]
}

func newLedger() *ledger {
	return &ledger{store.JSONState[map[string]account]{State: map[string]account{}}}
}

var errManyAccounts = errors.New("there are enough accounts")

// Apply adds an entry to its account, and returns the account.
func (l *ledger) Apply(e entry) (account, error) {
	a, ok := l.State[e.Account]
	if !ok && len(l.State) >= maxAccounts {
		return account{}, errManyAccounts
	}
	a = a.add(e.Text)
	l.State[e.Account] = a
	return a, nil
}

// A ledgerStore is a ledger that is kept in a directory.
type ledgerStore struct {
	*store.Typed[entry, account]
	ledger *ledger
}

// openLedger opens the ledger in dir. It has its state back then.
func openLedger(dir string, opts *store.Options) (*ledgerStore, error) {
	l := newLedger()
	s, err := store.OpenTyped[entry, account](dir, l, nil, opts)
	if err != nil {
		return nil, err
	}
	return &ledgerStore{s, l}, nil
}
