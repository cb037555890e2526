package store

import (
	"context"
	"errors"
	"io"
	"testing"
	"testing/synctest"

	"github.com/stateio/stateio/internal/fsys/memfs"
	"github.com/stateio/stateio/internal/storefs"
)

// stateless is a machine without a state.
type stateless struct{}

func (stateless) Apply([]byte) (any, error)        { return nil, nil }
func (stateless) Snapshot() (io.WriterTo, error)   { return stateless{}, nil }
func (stateless) WriteTo(io.Writer) (int64, error) { return 0, nil }
func (stateless) Restore(io.Reader) error          { return nil }

// What a burst has needed is not kept for ever.
func TestALargeBufferIsGivenBack(t *testing.T) {
	b := &batch{buf: make([]byte, 1, keepBatch)}
	if b.reset(0); cap(b.buf) != keepBatch {
		t.Errorf("a buffer of %d bytes has become one of %d", keepBatch, cap(b.buf))
	}
	b.buf = make([]byte, 1, keepBatch+1)
	if b.reset(0); b.buf != nil {
		t.Errorf("a buffer of %d bytes was kept", cap(b.buf))
	}
}

// A caller that was told late, because the waiters before it are slow to wake one another,
// has not waited in vain: what is durable is not said to be unknown.
func TestWaitingTooLongForTheTokenIsNoError(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const dir = "/token"
		defer storefs.Mount(dir, memfs.New(memfs.Options{}))()
		s, err := Open(dir, stateless{}, nil)
		if err != nil {
			t.Fatal(err)
		}
		ticket, err := s.Submit([]byte("one"))
		if err != nil {
			t.Fatal(err)
		}
		<-ticket.done.c // a waiter that is slow to put it back
		ended, cancel := context.WithCancel(t.Context())
		cancel()
		if err := ticket.Wait(ended); err != nil {
			t.Errorf("the context has ended: %v", err)
		}
		if err := s.View(func() error { return ticket.Wait(context.Background()) }); err != nil {
			t.Errorf("within View: %v", err)
		}
		if err := ticket.done.pass(); err != nil {
			t.Error(err)
		}
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
}

// No waiter is passed over, and none is told before those that came earlier.
func TestWaitersAreToldInTheOrderInWhichTheyCame(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const waiters = 100
		s := newSignal()
		told := make(chan int, waiters)
		for i := range waiters {
			go func() {
				<-s.c
				told <- i
				_ = s.pass()
			}()
			synctest.Wait() // it waits
		}
		failed := errors.New("failed")
		s.give(failed)
		if err := s.take(); err != failed {
			t.Errorf("the last one: %v", err)
		}
		for i := range waiters {
			if got := <-told; got != i {
				t.Fatalf("waiter %d was told as number %d", got, i)
			}
		}
		if err := s.take(); err != failed {
			t.Errorf("who comes later: %v", err)
		}
	})
}
