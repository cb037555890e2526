package store

import (
	"fmt"
	"time"
)

// committer writes what waiters are pending on, until the store is closed.
func (s *Store) committer() {
	var last time.Time
	for {
		select {
		case <-s.ctx.Done():
			return
		case <-s.wake:
		}
		for s.pending() > 0 {
			if !s.interval(last) {
				return
			}
			s.commit.Lock()
			s.gather()
			last = time.Now()
			_ = s.commitBatch() // the waiters get the error
			s.commit.Unlock()
		}
	}
}

// pending returns the number of updates that wait to be written.
func (s *Store) pending() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return int(s.fill.updates)
}

// gather lets the writers that the last commit has woken join the next one: it
// takes them microseconds, and the disk a lot more. The caller holds commit, and
// no lock that they need.
func (s *Store) gather() {
	if s.woken != nil {
		_ = s.woken.take() // told to them
		s.woken = nil
	}
}

// interval waits until it is time for the commit after that at last. It
// reports false if the store is being closed.
func (s *Store) interval(last time.Time) bool {
	d := s.opts.SyncInterval - time.Since(last)
	if s.opts.SyncInterval == 0 || d <= 0 {
		return true
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-s.ctx.Done():
		return false
	case <-t.C:
		return true
	}
}

// commitBatch makes the pending batch durable. The caller holds commit.
//
// Commit point: Datasync returns nil. Until then nobody is told, and after an
// error nobody ever is: the disk may hold any part of the batch.
func (s *Store) commitBatch() error {
	b, log, size, err := s.take()
	if b == nil {
		return err
	}
	start := time.Now()
	s.expand(log)
	_, err = log.f.WriteAt(b.buf, b.start)
	if err == nil {
		err = log.f.Datasync()
	}
	if err == nil {
		err = log.intact(size)
	}
	if err == nil {
		log.digest = log.digest.addAll(b.buf, b.start)
		log.end = b.start + int64(len(b.buf))
	}
	return s.settle(b, log, err, time.Since(start))
}

// take makes the pending batch the one in flight. It returns nil if there is
// none, or the store's failure. The log had that size by then.
func (s *Store) take() (*batch, *logFile, int64, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	b := s.fill
	if b.updates == 0 {
		return nil, nil, 0, s.failure()
	}
	s.flight, s.fill, s.spare = b, s.spare, nil
	s.fill.reset(s.log.next)
	s.announce() // there is room again
	return b, s.log, s.log.size, nil
}

// settle tells everybody what became of batch b.
func (s *Store) settle(b *batch, log *logFile, err error, took time.Duration) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err != nil {
		// Not by wrap: it is no ErrNoSpace, which says that nothing was applied.
		err = s.fail(fmt.Errorf("store: committing to %s: %w", log.path, err))
	} else {
		s.durable += uint64(b.updates)
		log.durable = log.end
		s.stats.commit(b, took)
		s.sinceSnapshot += int64(len(b.buf))
	}
	s.woken = b.finish(err)
	s.flight, s.spare = nil, b
	s.announce()
	s.autoSnapshot()
	return err
}

// expand sets disk space aside before it is short, so that no update has to
// wait for that. An error is left to the update that needs the space.
func (s *Store) expand(log *logFile) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if log.size-log.next < log.piece/4 {
		_ = s.setAside(log, log.size+1)
	}
}
