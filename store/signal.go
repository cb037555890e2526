package store

import (
	"context"
	"fmt"
	"sync/atomic"
)

// A signal tells those that hold tickets of a batch what became of it. They wake
// one another in the order in which they came: the one that takes the token puts
// it back at once.
type signal struct {
	c     chan struct{} // with room for one token, which comes when err is set
	err   error
	given atomic.Bool // err is set; the token may still be on its way
}

func newSignal() *signal { return &signal{c: make(chan struct{}, 1)} }

// give tells those that wait, and those that will. It is called once.
func (s *signal) give(err error) {
	s.err = err
	s.given.Store(true)
	s.c <- struct{}{}
}

// take waits until the signal is given, and all that waited before were told.
func (s *signal) take() error {
	<-s.c
	return s.pass()
}

// pass is for the one that received from c.
func (s *signal) pass() error {
	s.c <- struct{}{}
	return s.err
}

// wait waits until the signal is given, or ctx ends before that.
func (s *signal) wait(ctx context.Context, index uint64) error {
	if s.given.Load() {
		return s.err // the token may be with somebody who is slow to put it back
	}
	select {
	case <-s.c:
		return s.pass()
	case <-ctx.Done():
	}
	if s.given.Load() {
		return s.err
	}
	return fmt.Errorf("store: waiting for update %d to become durable: %w", index, ctx.Err())
}
