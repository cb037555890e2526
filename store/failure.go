package store

import (
	"errors"
	"sync"
	"sync/atomic"
	"time"
)

// A status is how far the store is, and whether it goes on.
type status struct {
	// mu guards all below, up to the next paragraph, and snapshots. It is only held for
	// moments.
	mu         sync.Mutex
	durable    uint64 // index of the last durable update
	err        error  // why the store takes no more updates: ErrFailed or ErrClosed
	changed    chan struct{}
	lastCommit time.Time
	stats      counters
	closing    bool // Close was called

	down      atomic.Bool   // err is set
	failed    chan struct{} // closed when the store has failed
	followers atomic.Int64  // sequences of Updates that are being read
}

// fail makes err the reason why the store takes no more updates, and returns it as
// callers get it. What waits to be applied is refused; what was applied and is not
// being written never will be. The caller holds neither batchMu nor mu.
func (s *Store) fail(err error) error {
	s.mu.Lock()
	first := s.err == nil || errors.Is(s.err, ErrClosed)
	if first {
		s.err = &opError{is: ErrFailed, msg: s.dir + " has failed, close it and open it again", cause: err}
		s.down.Store(true)
		close(s.failed)
	}
	failure := s.err
	s.announceLocked()
	s.mu.Unlock()
	if first {
		s.say.error("store: failed", "dir", s.dir, "error", err)
	}
	s.batchMu.Lock()
	s.fill.abandonLocked(failure)
	s.unwritten.Add(-int64(len(s.fill.buf)))
	s.fill.reset(s.fill.start)
	s.batchMu.Unlock()
	s.mu.Lock()
	s.announceLocked() // once more: a follower that looked meanwhile took that for pending
	s.mu.Unlock()
	s.refuseQueued()
	return failure
}

// Failed returns a channel that is closed when the store fails: a program that can't go on
// without it ends then, and is started again. Stats().Err is why. A store that is closed
// in order never fails.
func (s *Store) Failed() <-chan struct{} { return s.failed }

// failure returns why the store has failed, nil if it has not. The caller may hold
// batchMu, and not mu.
func (s *status) failure() error {
	if !s.down.Load() {
		return nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.failureLocked()
}

func (s *status) failureLocked() error {
	if errors.Is(s.err, ErrFailed) {
		return s.err
	}
	return nil
}

// whyDown returns why the store takes no more updates, nil if it does.
func (s *status) whyDown() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.err
}

// changedLocked returns a channel that is closed when one of the fields that mu
// guards, and somebody may wait for, changes.
func (s *status) changedLocked(wanted bool) <-chan struct{} {
	if wanted && s.changed == nil {
		s.changed = make(chan struct{})
	}
	return s.changed
}

// announceLocked wakes those that wait for a change. The caller holds mu.
func (s *status) announceLocked() {
	if s.changed != nil {
		close(s.changed)
		s.changed = nil
	}
}
