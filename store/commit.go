package store

import (
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/stateio/stateio/internal/fsys"
)

// A committing makes one commit after the other.
type committing struct {
	// commit is held by whoever writes to the log. It guards the fields of log that are
	// marked so, and the next two.
	commit  sync.Mutex
	woken   *signal // of the last batch, if it has one
	chained bool    // the callers of the last batch are being told; the last of them sends gathered

	syncInterval atomic.Int64  // Options.SyncInterval, which may be changed
	commitWake   chan struct{} // wakes the committer
	urgent       chan struct{} // the next commit is not to wait for syncInterval
	gathered     chan struct{} // the callers of the last batch were told
}

// committer writes what waits to be written, until the store is closed and nothing more
// is applied: what is being applied may wait for readers who wait for a commit.
func (s *Store) committer() {
	pause := newBackoff()
	for {
		select {
		case <-s.settled:
			return
		case <-s.commitWake:
		case <-pause.over(): // a commit that the disk had no space for
		}
		for s.writable() {
			s.interval()
			s.watch.arm()
			if !s.commit.TryLock() {
				break // whoever has it looks for what is pending when it lets go
			}
			if pause.after(s.commitNext()) {
				break
			}
		}
	}
}

// commitNext makes the next commit of the committer, and unlocks commit, also when
// Apply ends the goroutine.
func (s *Store) commitNext() error {
	defer s.commit.Unlock()
	s.queue.setGathering(s.chained)
	s.gather()
	s.applyFor(nil)
	return s.commitBatch() // the waiters get it
}

// endCommit lets go of commit.
func (s *Store) endCommit() {
	s.commit.Unlock()
	if s.writable() {
		signalTo(s.commitWake)
	}
	if !s.queue.empty() {
		signalTo(s.applyWake)
	}
}

// gather lets the callers that the last commit has woken join the next one: it
// takes them microseconds, and the disk a lot more. They queue their next updates,
// and the caller applies them. The caller holds commit, and no lock that they need.
func (s *Store) gather() {
	if s.chained {
		<-s.gathered
		s.chained = false
		s.queue.setGathering(false)
	}
	if s.woken != nil {
		_ = s.woken.take() // told to them
		s.woken = nil
	}
}

// interval waits until Options.SyncInterval has passed since the last commit, or
// somebody wants the next one at once, or the store is being closed.
func (s *Store) interval() {
	d := time.Duration(s.syncInterval.Load())
	if d == 0 {
		return
	}
	s.mu.Lock()
	d -= time.Since(s.lastCommit)
	s.mu.Unlock()
	if d <= 0 {
		return
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-s.ctx.Done():
	case <-s.urgent:
	case <-t.C:
	}
}

// commitBatch makes the pending batch durable. The caller holds commit.
//
// Commit point: Datasync returns nil. Until then nobody is told, and after an
// error nobody ever is: the disk may hold any part of the batch. A write for which
// there is no space is no such error: what it has written is in no file's valid
// part, and will be written once more.
func (s *Store) commitBatch() error {
	b, log := s.take()
	if b == nil {
		return s.failure()
	}
	start := time.Now()
	s.expand(log)
	size := log.size.Load()
	_, err := log.f.WriteAt(b.buf, b.start)
	if errors.Is(err, fsys.ErrNoSpace) {
		return s.stall(log, err)
	}
	if err == nil {
		s.unstalled()
		err = log.f.Datasync()
	}
	if err == nil {
		err = log.intact(size)
	}
	if err != nil {
		// Not by wrap: it is no ErrNoSpace, which says that nothing was applied.
		err = fmt.Errorf("store: committing to %s: %w", log.path, err)
		return s.lose(b, err)
	}
	log.digest = log.digest.AddAll(b.buf, b.start)
	log.end = b.start + int64(len(b.buf))
	s.succeed(b, log, start)
	return nil
}

// commitPending makes all durable that is in a batch: that may be two of them, if
// the first one had no space before. The caller holds apply, or knows that nothing
// is applied any more, and commit.
func (s *Store) commitPending() error {
	err := s.commitBatch()
	for err == nil && s.batchPending() {
		s.gather()
		err = s.commitBatch()
	}
	return err
}

// take makes the pending batch the one in flight, if none is. It returns nil if
// there is nothing to write.
func (s *Store) take() (*batch, *logFile) {
	defer func() {
		if !s.queue.empty() {
			signalTo(s.applyWake) // there is room again
		}
	}()
	s.batchMu.Lock()
	defer s.batchMu.Unlock()
	if s.flight != nil {
		return s.flight, s.log // which was stalled
	}
	b := s.fill
	if b.updates == 0 {
		return nil, nil
	}
	s.flight, s.fill, s.spare = b, s.spare, nil
	s.fill.reset(s.log.next)
	s.queue.timing.Store(false)
	return b, s.log
}

// succeed tells everybody that batch b is durable, whose commit began at start.
func (s *Store) succeed(b *batch, log *logFile, start time.Time) {
	now := time.Now()
	s.land() // before it is announced: a follower must not take it for pending then
	s.mu.Lock()
	s.durable += uint64(b.updates)
	log.durable = log.end
	s.lastCommit = now
	s.stats.commit(b, start, now)
	s.sinceSnapshot += int64(len(b.buf))
	s.announceLocked()
	s.autoSnapshotLocked()
	s.mu.Unlock()
	s.unwritten.Add(-int64(len(b.buf)))
	if s.woken = b.done; b.done != nil {
		b.done.give(nil)
	}
	if b.lead != nil {
		b.lead.phase.Store(told)
	}
	s.chained = tellChain(b.first)
	s.batchMu.Lock()
	s.spare = b
	s.batchMu.Unlock()
}

// lose fails the store because batch b could not be written, and tells everybody.
func (s *Store) lose(b *batch, err error) error {
	err = s.fail(err)
	s.land()
	s.batchMu.Lock()
	b.abandonLocked(err)
	s.spare = b
	s.batchMu.Unlock()
	s.unwritten.Add(-int64(len(b.buf)))
	s.mu.Lock()
	s.announceLocked()
	s.mu.Unlock()
	return err
}

// stall leaves the batch in flight until the disk has space for it. Nobody is
// told, and no more updates are applied.
func (s *Store) stall(log *logFile, err error) error {
	err = &opError{is: ErrNoSpace, msg: fmt.Sprintf("committing to %s, which waits for space: free some on the disk", log.path), cause: err}
	s.batchMu.Lock()
	first := s.stalled == nil
	s.stalled = err
	s.batchMu.Unlock()
	if first {
		s.say.error("store: no space left to write what was applied; updates wait until there is", "dir", s.dir, "error", err)
	}
	return err
}

// unstall tries once more to write a batch that the disk had no space for. It
// returns why that is not possible. The caller holds apply.
func (s *Store) unstall() error {
	s.batchMu.Lock()
	err := s.stalled
	s.batchMu.Unlock()
	if err == nil {
		return nil
	}
	if !s.commit.TryLock() {
		return err // whoever has it tries just now
	}
	defer s.endCommit()
	return s.commitBatch()
}

// A backoff spaces what is tried again.
type backoff struct {
	wait  time.Duration
	timer *time.Timer
}

const (
	minBackoff = time.Millisecond
	maxBackoff = time.Second
)

func newBackoff() *backoff { return &backoff{} }

// after notes how a try went, and reports whether the next one is to wait.
func (b *backoff) after(err error) bool {
	if b.timer != nil {
		b.timer.Stop()
	}
	if !errors.Is(err, ErrNoSpace) {
		b.wait, b.timer = 0, nil
		return false
	}
	b.wait = min(max(minBackoff, 2*b.wait), maxBackoff)
	b.timer = time.NewTimer(b.wait)
	return true
}

// over is ready when it is time to try again.
func (b *backoff) over() <-chan time.Time {
	if b.timer == nil {
		return nil
	}
	return b.timer.C
}
