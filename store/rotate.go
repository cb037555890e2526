package store

import (
	"errors"
	"fmt"
	"io"
	"runtime/debug"
)

// rotate captures the state for a snapshot, and begins a new log with it. It
// returns nil if there is nothing to snapshot. The caller holds snapshots.
//
// In this order, so that a crash anywhere leaves a log that is known to be the
// last one, and a missing log is noticed:
//
//  1. The new log is prepared under a temporary name.
//  2. Updates stop being applied; the state is captured; what is pending is
//     committed to the old log.
//  3. Commit point: the new log, empty, gets its header and its name, durably.
//     It shows that every update before it is durable. Until here an error has
//     no consequence but that there is no snapshot, if what was done is undone,
//     durably; else the store fails.
//  4. The old log gets its seal, durably: the new one is in use. Updates go on.
func (s *Store) rotate() (c *capture, err error) {
	if err := s.snapshotPossible(); err != nil {
		return nil, err
	}
	next, err := s.prepareLog(s.path(s.Index(), logSuffix))
	if err != nil {
		return nil, err
	}
	s.commit.Lock()
	defer s.wakeIfPending()
	defer s.commit.Unlock()
	defer s.openGate()
	c, err = s.capture()
	if err == nil && c != nil {
		err = s.commitBatch()
	}
	if err != nil || c == nil || s.log.hdr.base == c.index {
		err = s.discard(next, err)
	} else {
		err = s.switchLog(next, c.index)
	}
	if err != nil && c != nil {
		err = errors.Join(err, c.close())
		c = nil
	}
	return c, err
}

// snapshotPossible makes sure that there is a log, which a full disk may have
// prevented.
func (s *Store) snapshotPossible() error {
	s.state.Lock()
	defer s.state.Unlock()
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.err != nil {
		return s.err
	}
	return s.reserve(0)
}

// capture captures the state, unless it is that of the newest snapshot, and
// closes the gate: no update is applied until it is opened.
func (s *Store) capture() (*capture, error) {
	s.state.Lock()
	defer s.state.Unlock()
	s.mu.Lock()
	c := &capture{index: s.index, logged: s.sinceSnapshot}
	none := s.hasSnapshot && s.snapshotIndex == s.index
	err := s.err
	s.gate = err == nil && !none
	s.mu.Unlock()
	if err != nil || none {
		return nil, err
	}
	c.state, err = s.callSnapshot()
	if err != nil {
		return nil, err
	}
	return c, nil
}

// callSnapshot calls Snapshot of the machine. The state is what it was before,
// even if that panics, so the store goes on.
func (s *Store) callSnapshot() (w io.WriterTo, err error) {
	defer recovered(&err, "Snapshot of the machine")
	w, err = s.m.Snapshot()
	switch {
	case err != nil:
		return nil, fmt.Errorf("store: Snapshot of the machine: %w", err)
	case w == nil:
		return nil, errors.New("store: Snapshot of the machine returned neither a snapshot nor an error")
	}
	return w, nil
}

// writeTo calls WriteTo of the captured state.
func (c *capture) writeTo(w io.Writer) (err error) {
	defer recovered(&err, "WriteTo of the captured state")
	_, err = c.state.WriteTo(w)
	return err
}

// recovered makes a panic in the background an error: one of who wanted a
// snapshot, rather than the end of the program.
func recovered(err *error, where string) {
	if v := recover(); v != nil {
		*err = fmt.Errorf("store: panic in %s: %v\n%s", where, v, debug.Stack())
	}
}

func (s *Store) openGate() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.gate = false
	s.announce()
}

// failUnlessUndone returns err, of publishLog. If what that did is not undone, the
// store fails.
func (s *Store) failUnlessUndone(err error) error {
	if !errors.Is(err, errStays) {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.fail(err)
}

// switchLog makes next the log, which begins behind index.
func (s *Store) switchLog(next *logFile, index uint64) error {
	old := s.log
	s.mu.Lock()
	err := s.setAside(old, old.end+tailRoom)
	s.mu.Unlock()
	if err == nil {
		// The new log must come to lie beside the old one.
		if _, err = s.fs.Stat(old.path); err != nil {
			err = s.wrap("beginning a log: the one in use has lost its name", err)
		}
	}
	if err != nil {
		return s.discard(next, err)
	}
	if err := s.publishLog(next, s.path(index, logSuffix), index); err != nil {
		return s.failUnlessUndone(err)
	}
	err = s.appendControl(old, control{kind: seal, count: index - old.hdr.base, digest: uint64(old.digest)}, index)
	s.mu.Lock()
	defer s.mu.Unlock()
	if err != nil {
		_ = next.f.Close() // it stays, and is not in use
		return s.fail(fmt.Errorf("store: sealing %s: %w", old.path, err))
	}
	s.setLog(next)
	// What was set aside and not used goes back. If not, that is no harm.
	_ = old.f.Truncate(old.end)
	_ = old.f.Close()
	return nil
}
