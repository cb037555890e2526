package store

import (
	"fmt"

	"github.com/stateio/stateio/internal/fsys"
	"github.com/stateio/stateio/internal/storefile"
)

// Disk space for the log is set aside before updates are applied, so that a full
// disk refuses them with nothing applied. It is done with spaceMu locked and no
// other lock that readers need: the disk may take its time.

// makeSpace makes sure that there is a log, with disk space for an update of n
// bytes and what ends a log. The caller holds apply.
func (s *Store) makeSpace(n int) error {
	if err := s.ensureLog(); err != nil {
		return err
	}
	if err := s.unstall(); err != nil {
		return err
	}
	s.batchMu.Lock()
	log, end := s.log, s.spaceEndLocked(n)
	s.batchMu.Unlock()
	s.spaceMu.Lock()
	defer s.spaceMu.Unlock()
	return s.setAsideLocked(log, end, s.spares)
}

// createLog makes the log of the updates after base, durably. The store has it
// from the moment of the rename.
func (s *Store) createLog(base uint64) (*logFile, error) {
	path := s.path(base, storefile.LogSuffix)
	log, err := s.prepareLog(path+storefile.TmpSuffix, minPiece)
	if err != nil {
		return nil, err
	}
	if err := s.publishLog(log, path, base, s.appliedAt.Load()); err != nil {
		return nil, err
	}
	return log, nil
}

// prepareLog is that of the directory.
func (s *Store) prepareLog(tmp string, piece int64) (*logFile, error) {
	log, short, err := s.directory.prepareLog(tmp, piece, s.opts.PreallocateBytes)
	if short {
		s.lacksSpace()
	}
	return log, err
}

// ensureLog makes the first log, if a full disk has prevented that. The caller
// holds apply.
func (s *Store) ensureLog() error {
	s.batchMu.Lock()
	has := s.log != nil
	s.batchMu.Unlock()
	if has {
		return nil
	}
	log, err := s.createLog(s.index.Load())
	if err != nil {
		return err
	}
	s.setLog(log)
	return nil
}

// expand sets disk space aside before it is short, so that no update has to
// wait for that. An error is left to the update that needs the space.
func (s *Store) expand(log *logFile) {
	s.batchMu.Lock()
	next := log.next
	s.batchMu.Unlock()
	if !s.spaceMu.TryLock() {
		return // an update does
	}
	defer s.spaceMu.Unlock()
	if size := log.size.Load(); size-next < log.piece/4 {
		_ = s.setAsideLocked(log, size+1, s.spares)
	}
}

// setAside makes sure that log has disk space up to offset end, for what begins and
// ends logs: it takes what is kept for a snapshot.
func (s *Store) setAside(log *logFile, end int64) error {
	s.spaceMu.Lock()
	defer s.spaceMu.Unlock()
	return s.setAsideLocked(log, end, nil)
}

// setAsideLocked is that of the log. The caller holds spaceMu.
func (s *Store) setAsideLocked(log *logFile, end int64, spares func(n int64) error) error {
	short, err := log.setAside(end, spares)
	if short {
		s.lacksSpace()
	}
	return err
}

// spares returns an error if an update would take n bytes of what the next snapshot
// needs, which alone makes room on a full disk. Nothing is spared for a snapshot
// that would be the last one once more, or that could not be written before.
func (s *Store) spares(n int64) error {
	free, err := s.fs.Free(s.dir)
	if err != nil {
		return nil // the file system will say
	}
	s.mu.Lock()
	early, reserve := 2*(s.newest.size+s.sinceSnapshot), s.reserveLocked()-s.written.Load()
	worth := s.sinceSnapshot >= s.newest.size/2 || free-n < reserve+reserve/4
	again := s.noRoom
	s.mu.Unlock()
	if free-n < early && worth || again {
		s.lacksSpace()
	}
	if free < reserve || free-n >= reserve || reserve <= 0 {
		return nil
	}
	return &opError{is: fsys.ErrNoSpace, msg: fmt.Sprintf("of %d bytes that are free, %d are kept for the next snapshot", free, reserve)}
}

// reserveLocked returns about how many bytes the next snapshot takes, or 0 if
// there should be none. The caller holds mu.
func (s *Store) reserveLocked() int64 {
	switch {
	case s.snapshotBytes < 0 || s.noRoom || s.sinceSnapshot == 0:
		return 0
	case !s.newest.there:
		return s.sinceSnapshot/2 + smallReserve // the state is often smaller than its log
	}
	return s.newest.size + s.newest.size/8 + smallReserve
}

// smallReserve is what a snapshot takes besides the state, in bytes: the blocks of
// two files and a directory, and a log to go on with.
const smallReserve = 64 << 10

// lacksSpace sees that a snapshot starts, which may make room, with the next commit or
// when an update is refused. If there was no space for the last
// one, it waits until there is more.
func (s *Store) lacksSpace() {
	free, err := s.fs.Free(s.dir)
	s.mu.Lock()
	defer s.mu.Unlock()
	more := max(minPiece, (s.newest.size+s.sinceSnapshot)/8)
	if s.snapshotBytes < 0 || s.sinceSnapshot == 0 || s.noRoom && err == nil && free < s.freeAtFailure+more {
		return
	}
	s.lacking = true
}
