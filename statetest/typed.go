package statetest

import (
	"context"
	"errors"
	"iter"
	"testing"

	"github.com/stateio/stateio/store"
)

// RunTyped is [Run] for a typed machine. A nil codec stands for [store.JSON]. An update
// that the codec can't encode fails t. Options.Equal, if it is given, gets what
// [store.Untyped] makes of the machines; leave it nil where equal states have equal
// snapshots.
func RunTyped[U, R any](t testing.TB, newMachine func() store.TypedMachine[U, R], codec store.Codec[U], updates iter.Seq[U], opts *Options) {
	t.Helper()
	if newMachine == nil || updates == nil {
		t.Errorf("statetest: RunTyped needs a function that makes machines and a stream of updates, not nil")
		return
	}
	if codec == nil {
		codec = store.JSON[U]{}
	}
	var failed error
	encoded := func(yield func([]byte) bool) {
		for u := range updates {
			b, err := codec.Append(nil, u)
			if err != nil {
				failed = err
				return
			}
			if !yield(b) {
				return
			}
		}
	}
	Run(t, func() store.Machine { return store.Untyped(newMachine(), codec) }, encoded, opts)
	if failed != nil {
		t.Errorf("statetest: encoding an update: %v", failed)
	}
}

// Replay fails t unless live, the machine of a store, is in the state that a new machine
// gets from the store's directory: the check that a program did in memory what it logged,
// which nothing else makes for one that uses [store.Store.Change]. fresh is a machine in its
// initial state. The store may be open, if no update is made meanwhile; all that was
// applied must be durable, as after Sync. equal compares the machines; nil compares
// the bytes of their snapshots.
func Replay(t testing.TB, dir string, live, fresh store.Machine, equal func(a, b store.Machine) bool) {
	t.Helper()
	err := errors.New("it needs two machines, not nil")
	if live != nil && fresh != nil {
		_, err = store.Load(context.Background(), dir, fresh)
	}
	if err != nil {
		t.Errorf("statetest: replaying %s: %v", dir, err)
		return
	}
	s := subject{equal: equal}
	if err := guarded(func() error { return s.compare(fresh, live) }); err != nil {
		t.Errorf("statetest: a machine that is given the updates in %s is not in the state of the one that made them (want):\n%v", dir, err)
	}
}
