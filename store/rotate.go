package store

import (
	"errors"
	"fmt"

	"github.com/stateio/stateio/internal/storefile"
)

// rotate captures the state for a snapshot, and begins a new log with it. It
// returns nil if there is nothing to snapshot. Only the snapshotter calls it.
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
func (s *Store) rotate(run *snapshotRun) (c *capture, err error) {
	if s.nothingNew(run) {
		return nil, nil
	}
	next, err := s.prepareLog(s.path(s.index.Load(), storefile.LogSuffix+storefile.TmpSuffix), s.logPiece())
	if err != nil {
		return nil, err
	}
	s.apply.Lock() // no update is applied until the end
	defer s.endApply(more)
	if err = s.ensureLog(); err != nil {
		return nil, s.discard(next, err)
	}
	c, err = s.capture(run)
	if err != nil || c == nil {
		return nil, s.discard(next, err)
	}
	s.commit.Lock()
	defer s.endCommit()
	s.gather()
	if err = s.commitPending(); err != nil || s.log.hdr.Base == c.index {
		err = s.discard(next, err)
	} else {
		err = s.switchLog(next, c.index)
	}
	if err != nil {
		return nil, errors.Join(err, c.close())
	}
	return c, nil
}

// logPiece returns how much disk space the log in use sets aside next, in bytes, or
// 0 if the snapshot might want it.
func (s *Store) logPiece() int64 {
	s.mu.Lock()
	wanted := 2 * (s.newest.size + s.sinceSnapshot)
	s.mu.Unlock()
	s.batchMu.Lock()
	log := s.log
	s.batchMu.Unlock()
	s.spaceMu.Lock()
	defer s.spaceMu.Unlock()
	piece := int64(minPiece)
	if log != nil {
		piece = max(piece, log.piece)
	}
	if free, err := s.fs.Free(s.dir); err == nil && free < wanted+piece {
		return 0
	}
	return piece
}

// nothingNew reports whether the state is that of the newest snapshot. If so, run
// has no part in what comes later.
func (s *Store) nothingNew(run *snapshotRun) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.err != nil || !s.newest.there || s.newest.index != s.index.Load() {
		return false
	}
	s.beginRunLocked(run)
	return true
}

// capture captures the state, unless it is that of the newest snapshot. The caller
// holds apply.
func (s *Store) capture(run *snapshotRun) (*capture, error) {
	s.state.Lock()
	defer s.state.Unlock()
	s.mu.Lock()
	s.beginRunLocked(run)
	c := &capture{index: s.index.Load(), time: s.appliedAt.Load(), logged: s.sinceSnapshot}
	none := s.newest.there && s.newest.index == c.index
	err := s.err
	s.mu.Unlock()
	if err != nil || none {
		return nil, err
	}
	if s.shadow != nil && c.index > 0 {
		return c, s.guarded(inCapture, (*digestCall)(c), "StateDigest of the machine")
	}
	if err := s.callSnapshot(c); err != nil {
		return nil, err
	}
	return c, nil
}

// failUnlessUndone returns err, of publishLog. If what that did is not undone, the
// store fails.
func (s *Store) failUnlessUndone(err error) error {
	if !errors.Is(err, errStays) {
		return err
	}
	return s.fail(err)
}

// fitToSeal makes sure that another log may follow old: that old has its name, in the
// directory that has its own, so that the next one comes to lie beside it where it is
// looked for; and no other name, for the seal is for this store alone.
func (s *Store) fitToSeal(old *logFile) error {
	moved, err := s.held.Moved()
	if moved {
		err = fmt.Errorf("the directory was moved or removed while it was open: give it the name %s again", s.dir)
	}
	if err == nil {
		if _, err = s.fs.Stat(old.path); err != nil {
			err = fmt.Errorf("the one in use has lost its name: %w", err)
		}
	}
	if err == nil {
		err = old.f.becomeOwn()
	}
	return err
}

// switchLog makes next the log, which begins after index. The caller holds apply
// and commit, and nothing is pending.
func (s *Store) switchLog(next *logFile, index uint64) error {
	old := s.log
	err := s.setAside(old, old.end+storefile.TailRoom)
	if err == nil {
		err = wrap("beginning a log", s.fitToSeal(old))
	}
	if err != nil {
		return s.discard(next, err)
	}
	if err := s.publishLog(next, s.path(index, storefile.LogSuffix), index, s.appliedAt.Load()); err != nil {
		return s.failUnlessUndone(err)
	}
	err = old.appendControl(storefile.Control{Kind: storefile.Seal, Count: index - old.hdr.Base, Digest: uint64(old.digest)}, index)
	if err == nil {
		_, err = next.f.Stat() // in a copy with hard links that has no seal, next must stay empty
	}
	if err != nil {
		_ = next.f.Close() // it stays, and is not in use
		return s.fail(fmt.Errorf("store: sealing %s: %w", old.path, err))
	}
	s.setLog(next)
	s.mu.Lock()
	s.stats.sealed(old.end)
	s.mu.Unlock()
	// What was set aside and not used goes back. If not, that is no harm.
	_ = old.f.Truncate(old.end)
	_ = old.f.Close()
	return nil
}
