package durable

import (
	"errors"
	"fmt"

	"github.com/stateio/stateio/store"
)

// What a machine refuses, it refuses on every node, since that depends on the state. An
// update that can't be read is something else: the program that has made it could read it,
// so other nodes have applied it. A machine that went on without would differ from theirs
// for good, and nobody would notice.

// isRefusal reports whether err is about the state.
func isRefusal(err error) bool {
	for _, refusal := range []error{errAbsent, errConflict, errNotDue, errForeign} {
		if errors.Is(err, refusal) {
			return true
		}
	}
	return false
}

// An unreadableError is what a strict machine panics with.
type unreadableError struct {
	index uint64
	err   error
}

func (e *unreadableError) Error() string {
	return fmt.Sprintf("durable: this program can't read update %d, and must not go on without it, since other nodes have it: "+
		"run the program that has made it, or a later one, and upgrade all nodes before one uses what is new: %v", e.index, e.err)
}

func (e *unreadableError) Unwrap() error { return e.err }

// A checkedMachine is one of this package.
type checkedMachine interface {
	store.Machine
	store.TypeChecker
}

// openKeeper calls open, for a strict machine.
func openKeeper(m checkedMachine, open func(store.Machine) (store.Keeper, error)) (k store.Keeper, err error) {
	if err := m.CheckType(); err != nil { // whatever keeps it need not ask
		return nil, err
	}
	defer func() {
		switch v := recover().(type) {
		case nil:
		case *unreadableError: // of a store, which replays updates when it is opened
			k, err = nil, v
		default:
			panic(v)
		}
	}()
	k, err = open(m)
	if err == nil && k == nil {
		err = errNoKeeper
	}
	return k, err
}

var errNoKeeper = errors.New("durable: the function that opens has returned no Keeper, and no error")
