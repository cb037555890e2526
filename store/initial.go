package store

import (
	"errors"
	"fmt"

	"github.com/stateio/stateio/internal/storefile"
)

// A snapshot of index 0 is of a state that no update has made: the program has set
// it before the first one. No log leads to it, and if the snapshot were lost, the
// store would be taken for a new one. So the log after it is of a kind of its own,
// which is of no use without the snapshot; see also [Create].

// snapshotInitial makes a snapshot of index 0, if that is what the next one is.
// Updates wait until it is durable, since the log may only be exchanged while it is
// empty.
//
// Commit point: that of writeSnapshot. If the log can't be exchanged after that, the
// snapshot is taken back; if a crash comes between, Open exchanges the log.
func (s *Store) snapshotInitial(run *snapshotRun) (done bool, size int64, c *capture, err error) {
	if s.index.Load() > 0 {
		return false, 0, nil, nil
	}
	s.apply.Lock()
	defer s.endApply(more)
	if s.index.Load() > 0 {
		return false, 0, nil, nil
	}
	if err := s.ensureLog(); err != nil {
		return true, 0, nil, err
	}
	if s.log.hdr.Base > 0 || s.log.hdr.Kind == storefile.ImportKind {
		return false, 0, nil, nil
	}
	c, err = s.capture(run)
	if err != nil || c == nil {
		return true, 0, nil, err
	}
	defer func() {
		if cerr := c.close(); cerr != nil && err == nil {
			err = fmt.Errorf("store: closing the captured state: %w", cerr)
		}
	}()
	if size, err = s.maker().write(c); err == nil {
		err = s.exchangeLog()
		if err != nil && s.failure() == nil { // else the new log may be there
			err = errors.Join(err, s.remove([]uint64{0}, storefile.SnapSuffix))
		}
	}
	return true, size, c, err
}

// finishInitial exchanges the log after a snapshot of index 0, if a crash has come
// before that. Where there is no space for it, the next Open does.
func (s *Store) finishInitial() error {
	if !s.newest.there || s.index.Load() > 0 || s.log == nil || s.log.hdr.Kind == storefile.ImportKind {
		return nil
	}
	if err := s.exchangeLog(); err != nil && !errors.Is(err, ErrNoSpace) {
		return err
	}
	return nil
}

// exchangeLog puts an empty log of kind ImportKind in the place of the one in use,
// which is empty. The caller holds apply.
//
// Until the rename is done, the old log is in use; from then on the new one is, and
// if its name can't be made durable, the store fails: after a crash the old one may
// have it again.
func (s *Store) exchangeLog() error {
	path := s.path(0, storefile.LogSuffix)
	next, err := s.prepareLog(path+storefile.TmpSuffix, s.logPiece())
	if err != nil {
		return err
	}
	next.hdr.Kind = storefile.ImportKind
	if err := s.writeHeader(next, 0, s.appliedAt.Load()); err != nil {
		return err
	}
	s.commit.Lock()
	defer s.endCommit()
	old := s.log
	if err := s.fitToSeal(old); err != nil {
		return s.discard(next, wrap("exchanging a log", err))
	}
	err = s.fs.Rename(next.path, path)
	if err == nil {
		next.f.Renamed(path)
		err = s.fs.SyncDir(s.dir)
	}
	if err != nil {
		_ = next.f.Close()
		return s.fail(fmt.Errorf("store: exchanging %s: %w", path, errors.Join(err, s.fs.Remove(next.path))))
	}
	next.path = path
	s.setLog(next)
	_ = old.f.Close() // it was empty
	return nil
}
