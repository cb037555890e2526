package store

import (
	"context"
	"errors"
	"fmt"
	"math"
	"testing"

	"github.com/stateio/stateio/internal/fsys/memfs"
	"github.com/stateio/stateio/internal/storefs"
)

func hostileOpen(t *testing.T, dir string, o *Options) *Store {
	mem := memfs.New(memfs.Options{})
	t.Cleanup(storefs.Mount(dir, mem))
	s, err := Open(dir, stateless{}, o)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// Whoever found the batch full looks again when it lets go of apply: the commit that
// made room may have come and gone before, and the applier have found apply taken.
func TestWhoFindsTheBatchFullLooksAgain(t *testing.T) {
	const dir = "/fulllost"
	s := hostileOpen(t, dir, &Options{MaxPending: 1, SnapshotBytes: -1})
	if _, err := s.Update(context.Background(), []byte("one")); err != nil {
		t.Fatal(err)
	}
	s.apply.Lock()
	outcome := make(chan error, 2)
	for i := range 2 {
		go func() {
			_, err := s.Update(context.Background(), fmt.Append(nil, i))
			outcome <- err
		}()
	}
	Settle() // both are queued
	was := s.drain(nil, true, math.MaxInt)
	if was != full {
		t.Fatal("the batch is not full")
	}
	signalTo(s.commitWake) // as endCommit of a commit that was under way does
	Settle()               // the commit is over, and the applier has found apply taken
	s.endApply(was)
	Settle()
	for range 2 {
		if err := Arrives(t, outcome, "an update waits, and nobody will apply it"); err != nil {
			t.Error(err)
		}
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}
}

// An update that waits for readers has what is in the batch committed before: a large update is put
// there after they have asked for that, when the committer has found nothing to do.
func TestAnUpdateThatWaitsForReadersHasWhatTheyWaitForCommitted(t *testing.T) {
	const dir = "/largelost"
	s := hostileOpen(t, dir, &Options{SnapshotBytes: -1})
	s.apply.Lock()
	ended := make(chan error, 3)
	for _, size := range []int{largeUpdate, 1} {
		go func() {
			_, err := s.Submit(make([]byte, size))
			ended <- err
		}()
		Settle() // it is queued
	}
	if err := s.makeSpace(largeUpdate); err != nil {
		t.Fatal(err)
	}
	s.state.Lock()
	large := s.applyRound(nil)
	if large == nil {
		t.Fatal("no large update was applied")
	}
	go func() {
		ended <- s.View(func() error { return s.Sync(context.Background()) })
	}()
	Settle() // the reader has asked for a commit
	s.put(large)
	go func() { s.endApply(s.drain(nil, true, math.MaxInt)) }() // the other update waits for the reader
	for range cap(ended) {
		if err := Arrives(t, ended, "a reader and an update wait for one another"); err != nil {
			t.Error(err)
		}
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}
}

// An update that comes while the last holder of apply lets go of it, in a store whose
// applier has ended, is refused.
func TestALateUpdateOfAClosedStoreIsRefused(t *testing.T) {
	const dir = "/lateclosed"
	s := hostileOpen(t, dir, nil)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	s.apply.Lock() // a late caller, that has seen an empty queue
	was := s.drain(nil, true, 2)
	outcome := make(chan error, 1)
	go func() { // another one, that was accepted before the store was closed
		r := s.queue.request([]byte("late"))
		if s.queue.add(r) {
			s.help(r, false, helpRounds)
		}
		if err := s.await(context.Background(), r); err != nil {
			outcome <- err
			return
		}
		outcome <- r.err
	}()
	Settle() // it is queued, and counts on who has apply
	s.endApply(was)
	Settle()
	if err := Arrives(t, outcome, "a late update waits, and nobody will refuse it"); !errors.Is(err, ErrClosed) {
		t.Errorf("a late update got %v, want ErrClosed", err)
	}
}
