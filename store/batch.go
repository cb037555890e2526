package store

import (
	"sync/atomic"
	"time"
)

// A batch is what one commit writes: entries as they stand in the log.
type batch struct {
	start   int64  // where it goes in the log
	buf     []byte // the entries
	updates uint32
	done    *signal // made when somebody asks for it
}

// keepBatch is the largest buffer, in bytes, that is kept between commits.
const keepBatch = 8 << 20

// A signal tells the waiters of a batch what became of it. They wake one another
// in the order in which they came: who takes the token puts it back at once, and
// then makes its next update while the next one is on its way. All of them awake
// at a time would compete for locks, and spread over processors that have to be
// woken first.
type signal struct {
	c     chan struct{} // with room for one token, which comes when err is set
	err   error
	given atomic.Bool // err is set; the token may still be on its way
}

func newSignal() *signal { return &signal{c: make(chan struct{}, 1)} }

// settled returns a signal that was given.
func settled(err error) *signal {
	s := newSignal()
	s.give(err)
	return s
}

// give tells the waiters, those to come as well. It is called once.
func (s *signal) give(err error) {
	s.err = err
	s.given.Store(true)
	s.c <- struct{}{}
}

// take waits until the signal is given, and all who waited before were told.
func (s *signal) take() error {
	<-s.c
	return s.pass()
}

// pass is for who received from c.
func (s *signal) pass() error {
	s.c <- struct{}{}
	return s.err
}

// late is for who waits no longer: it returns err if the signal was given in
// time, and otherwise instead.
func (s *signal) late(instead error) error {
	if s.given.Load() {
		return s.err
	}
	return instead
}

// wait returns the signal of b. The caller holds mu.
func (b *batch) wait() *signal {
	if b.done == nil {
		b.done = newSignal()
	}
	return b.done
}

// finish tells the waiters of b, and returns their signal, nil if nobody has
// asked for it. The caller holds mu.
func (b *batch) finish(err error) *signal {
	done := b.done
	if done != nil {
		done.give(err)
		b.done = nil
	}
	return done
}

// reset empties b. What is written next goes to start.
func (b *batch) reset(start int64) {
	b.start, b.updates = start, 0
	if b.buf = b.buf[:0]; cap(b.buf) > keepBatch {
		b.buf = nil
	}
}

// counters are what Stats returns, as they are counted. Guarded by mu.
type counters struct {
	updates, batches, bytes    uint64
	largest                    uint32
	refused                    uint64
	snapshots, snapshotsFailed uint64
	snapshotErr                error
	snapshotTook               time.Duration
	latency                    Histogram
}
