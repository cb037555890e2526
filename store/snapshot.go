package store

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/stateio/stateio/internal/fsys"
)

// Snapshot makes a snapshot of the state as it is now, beside updates, and
// returns when it is durable and verified and what it makes superfluous is
// removed. It waits for a snapshot that is already being made, and makes none
// if nothing has changed since the last one.
//
// The store goes on if a snapshot fails, and the log grows, unless the log that was
// begun with it can't be removed again: then the store fails. Errors are those
// of Machine.Snapshot and of its io.WriterTo, ErrNoSpace and others of the file
// system, ErrCorrupt if the disk gave back something else than was written,
// ErrFailed, ErrClosed, ErrReentrant, and that of ctx, whose end does not end
// the snapshot.
func (s *Store) Snapshot(ctx context.Context) error {
	if s.user.Load() > 0 && withinUserCode() {
		return errReentrant
	}
	done := make(chan error, 1)
	if err := s.goSnapshot(done); err != nil {
		return err
	}
	select {
	case err := <-done:
		return err
	case <-ctx.Done():
		return fmt.Errorf("store: waiting for a snapshot, which goes on: %w", ctx.Err())
	}
}

// goSnapshot starts making a snapshot and sends done what came of it.
func (s *Store) goSnapshot(done chan<- error) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.goSnapshotLocked(done)
}

func (s *Store) goSnapshotLocked(done chan<- error) error {
	if s.err != nil {
		return s.err
	}
	s.workers.Go(func() {
		err := errors.New("store: Snapshot or WriteTo ended its goroutine") // by runtime.Goexit
		defer func() { done <- err }()
		err = s.makeSnapshot()
	})
	return nil
}

// autoSnapshot starts a snapshot if enough was written since the last one. The
// caller holds mu.
func (s *Store) autoSnapshot() {
	if s.autoRunning || s.opts.SnapshotBytes < 0 || s.sinceSnapshot < s.autoAt {
		return
	}
	done := make(chan error, 1)
	s.autoRunning = s.goSnapshotLocked(done) == nil
}

// setAuto sets when the next snapshot starts by itself. The caller holds mu.
func (s *Store) setAuto() {
	s.autoAt = s.opts.SnapshotBytes
	if s.autoAt == 0 {
		s.autoAt = max(minSnapshotBytes, s.snapshotSize)
	}
}

// makeSnapshot makes a snapshot, and tells log and Stats when that fails.
func (s *Store) makeSnapshot() error {
	s.snapshots.Lock()
	defer s.snapshots.Unlock()
	start := time.Now()
	size, c, err := s.trySnapshot()
	s.mu.Lock()
	defer s.mu.Unlock()
	s.autoRunning = false
	if err == nil && c == nil {
		return nil
	}
	s.stats.snapshotErr = err
	if err != nil {
		s.stats.snapshotsFailed++
		s.autoAt = s.sinceSnapshot + max(minSnapshotBytes, s.opts.SnapshotBytes)/4 // not at once again
		if s.ctx.Err() == nil {
			s.opts.Logger.Error("store: snapshot failed, the log is kept", "dir", s.dir, "error", err)
		}
		return err
	}
	s.stats.snapshots++
	s.stats.snapshotTook = time.Since(start)
	s.hasSnapshot, s.snapshotIndex, s.snapshotSize = true, c.index, size
	s.sinceSnapshot -= c.logged
	s.setAuto()
	return nil
}

// A capture is a state to be written as a snapshot.
type capture struct {
	index  uint64
	state  io.WriterTo
	logged int64 // bytes of log up to it
}

// close gives the captured state back.
func (c *capture) close() error {
	if cl, ok := c.state.(io.Closer); ok {
		return cl.Close()
	}
	return nil
}

// trySnapshot makes a snapshot and returns its size. The capture is nil if
// there is nothing new.
func (s *Store) trySnapshot() (size int64, c *capture, err error) {
	c, err = s.rotate()
	if err != nil || c == nil {
		return 0, nil, err
	}
	defer func() {
		if cerr := c.close(); cerr != nil && err == nil {
			err = fmt.Errorf("store: closing the captured state: %w", cerr)
		}
	}()
	size, err = s.writeSnapshot(c)
	if err == nil {
		err = s.retain()
	}
	return size, c, err
}

// writeSnapshot writes the captured state into a file of its own.
//
// Commit point: the rename, made durable by SyncDir. Before that the file has a
// temporary name, is on the disk, and was read back and verified.
func (s *Store) writeSnapshot(c *capture) (int64, error) {
	path := s.path(c.index, snapSuffix)
	tmp := path + tmpSuffix
	f, err := s.createTmp(tmp)
	if err != nil {
		return 0, err
	}
	size, err := s.fillSnapshot(f, tmp, c)
	if cerr := f.Close(); err == nil {
		err = s.wrap("closing a snapshot", cerr)
	}
	if err == nil {
		err = s.wrap("publishing a snapshot", s.fs.Rename(tmp, path))
	}
	if err != nil {
		_ = s.fs.Remove(tmp) // the next Open does, if this fails
		return 0, err
	}
	return size, s.wrap("publishing a snapshot", s.fs.SyncDir(s.dir))
}

// fillSnapshot writes, syncs and verifies the snapshot of c in f.
func (s *Store) fillSnapshot(f fsys.File, path string, c *capture) (int64, error) {
	w := newSnapWriter(s, f, c.index)
	if err := c.writeTo(w); err != nil {
		if w.err != nil {
			return 0, w.err
		}
		return 0, fmt.Errorf("store: writing the snapshot of index %d: %w", c.index, err)
	}
	if err := w.finish(); err != nil {
		return 0, err
	}
	if err := f.DropCache(); err != nil && !errors.Is(err, errors.ErrUnsupported) {
		return 0, s.wrap("verifying a snapshot", err)
	}
	r, err := newSnapReader(f, path, c.index, w.off)
	if err != nil {
		return 0, err
	}
	defer r.close()
	if _, err := r.WriteTo(newPacer(s)); err != nil {
		return 0, fmt.Errorf("store: the snapshot just written reads differently: %w", err)
	}
	if r.digest.Sum64() != w.digest.Sum64() {
		return 0, corrupt(path, 0, "the snapshot just written reads differently")
	}
	return w.off, nil
}
