package store

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync/atomic"
	"time"

	"github.com/stateio/stateio/internal/storefile"
)

// The snapshots are made one after the other, by the snapshotter while there are any.
// Guarded by mu.
type snapshots struct {
	newest        snapshotInfo
	snapshotBytes int64 // Options.SnapshotBytes, which may be changed
	autoAt        int64 // log bytes at which the next snapshot starts by itself
	sinceSnapshot int64 // log bytes after the newest snapshot
	making        bool  // the snapshotter runs
	wanted        *snapshotRun
	lacking       bool  // a snapshot is to make room
	noRoom        bool  // there was no space for the last snapshot
	freeAtFailure int64 // bytes free on the disk then

	// These need no lock.
	written atomic.Int64  // bytes of the snapshot that is being written
	moved   atomic.Uint64 // increased whenever a snapshot gets on in another way
	stage   atomic.Int32  // of the snapshot that is being made

	// These belong to the snapshotter.
	remade map[uint64]bool // indexes of snapshots that Open refused, and that were made again
	shadow *shadow         // nil without Options.Shadow
}

// The stages of a snapshot.
const (
	writing   int32 = iota // WriteTo is called
	verifying              // it is read back
	replaying              // the shadow replays what it has not seen
)

// A snapshotInfo describes a snapshot.
type snapshotInfo struct {
	there bool   // there is one
	index uint64 // of the last update in it
	size  int64  // of its file in bytes
}

// Snapshot makes a snapshot of the state as it is now, concurrently with updates,
// and returns when it is durable and verified, and what it makes superfluous is
// removed as far as that is possible. It waits for a snapshot that is being made
// already; all that wait for the next one share it. It makes none if nothing has
// changed since the last one.
//
// The store goes on if a snapshot fails, and the log grows, unless the log that was
// begun with it can't be removed again: then the store fails. Errors are those
// of Machine.Snapshot and of its io.WriterTo, ErrNoSpace and others of the file
// system, ErrCorrupt if the disk gave back something else than was written,
// ErrFailed, ErrClosed, ErrReentrant, and that of ctx. If ctx ends while the
// snapshot is made, that goes on; if it has ended before, none is.
func (s *Store) Snapshot(ctx context.Context) error {
	if s.within(inApply, inCapture, inView, inWrite) {
		return errReentrant
	}
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("store: snapshot not made: %w", err)
	}
	s.mu.Lock()
	run, err := s.wantSnapshotLocked()
	s.mu.Unlock()
	if err != nil {
		return err
	}
	s.watch.arm()
	select {
	case <-run.done:
		return run.err
	case <-ctx.Done():
		return fmt.Errorf("store: waiting for a snapshot, which goes on: %w", ctx.Err())
	}
}

// A snapshotRun is the making of one snapshot.
type snapshotRun struct {
	done chan struct{} // closed at the end, when err is set
	err  error
}

// wantSnapshotLocked returns the next snapshot whose state is not captured yet, and sees
// that it is made. The caller holds mu.
func (s *Store) wantSnapshotLocked() (*snapshotRun, error) {
	if s.err != nil {
		return nil, s.err
	}
	if s.wanted == nil {
		s.wanted = &snapshotRun{done: make(chan struct{})}
		if !s.making {
			s.making = true
			s.workers.Go(s.snapshotter)
		}
	}
	return s.wanted, nil
}

// beginRunLocked says that run captures the state now: it is too late to join it. The caller
// holds mu.
func (s *Store) beginRunLocked(run *snapshotRun) {
	if s.wanted == run {
		s.wanted = nil
	}
}

// snapshotter makes the snapshots that are wanted, one after the other.
func (s *Store) snapshotter() {
	for {
		s.mu.Lock()
		run := s.wanted
		s.making = run != nil
		s.mu.Unlock()
		if run == nil {
			return
		}
		run.err = s.makeSnapshot(run)
		s.mu.Lock()
		s.beginRunLocked(run) // if it has not come to that
		s.mu.Unlock()
		close(run.done)
	}
}

// autoSnapshotLocked starts a snapshot if enough was written since the last one, or the
// disk is short of space. The caller holds mu.
func (s *Store) autoSnapshotLocked() {
	if s.making || s.snapshotBytes < 0 || s.sinceSnapshot < s.autoAt && !s.lacking {
		return
	}
	s.lacking = false
	_, _ = s.wantSnapshotLocked() // the store is open, or takes no updates
}

// setAutoLocked sets when the next snapshot starts by itself. The caller holds mu.
func (s *Store) setAutoLocked() {
	s.autoAt = s.snapshotBytes
	if s.autoAt == 0 {
		s.autoAt = max(minSnapshotBytes, s.newest.size)
	}
}

// makeSnapshot makes a snapshot, and tells log and Stats when that fails.
func (s *Store) makeSnapshot(run *snapshotRun) error {
	start := time.Now()
	before, _ := s.fs.Free(s.dir)
	size, c, err := s.trySnapshot(run)
	after, _ := s.fs.Free(s.dir)
	s.written.Store(0)
	s.mu.Lock()
	if err == nil && c == nil {
		s.mu.Unlock()
		return nil
	}
	s.stats.snapshotErr = err
	s.noRoom, s.freeAtFailure = errors.Is(err, ErrNoSpace), min(before, after)
	if err != nil {
		s.stats.snapshotsFailed++
		s.autoAt = s.sinceSnapshot + max(minSnapshotBytes, s.snapshotBytes)/4 // not at once again
		s.mu.Unlock()
		if s.ctx.Err() == nil {
			s.say.error("store: snapshot failed, the log is kept", "dir", s.dir, "error", err)
		}
		return err
	}
	if s.recovery.refused(s.path(c.index, storefile.SnapSuffix)) {
		s.remade[c.index] = true
	}
	s.stats.snapshot(size, start)
	s.newest = snapshotInfo{true, c.index, size}
	s.sinceSnapshot -= c.logged
	s.setAutoLocked()
	s.mu.Unlock()
	s.tryRetain()
	return nil
}

// tryRetain removes what the newest snapshot has made superfluous. What can't be
// removed now will be after the next snapshot.
func (s *Store) tryRetain() {
	err := s.retain()
	_ = s.countFiles() // if that fails, Stats has what was counted so far
	s.mu.Lock()
	s.stats.retainErr = err
	s.mu.Unlock()
	if err != nil {
		s.say.warn("store: old files could not be removed, which is tried again after the next snapshot", "dir", s.dir, "error", err)
	}
}

// trySnapshot makes a snapshot and returns its size. The capture is nil if
// there is nothing new.
func (s *Store) trySnapshot(run *snapshotRun) (size int64, c *capture, err error) {
	if done, size, c, err := s.snapshotInitial(run); done {
		return size, c, err
	}
	c, err = s.rotate(run)
	if err != nil || c == nil {
		return 0, nil, err
	}
	defer func() {
		if cerr := c.close(); cerr != nil && err == nil {
			err = fmt.Errorf("store: closing the captured state: %w", cerr)
		}
	}()
	if s.shadow != nil {
		if err := s.shadowState(c); err != nil {
			return 0, c, err
		}
	}
	size, err = s.maker().write(c)
	return size, c, err
}

// maker returns what writes the snapshots of s.
func (s *Store) maker() *snapshotMaker {
	return &snapshotMaker{
		d: &s.directory, ctx: s.ctx, commits: s.countCommits, written: &s.written, moved: &s.moved, stage: &s.stage,
		writeTo: func(c *capture, w io.Writer) error { return s.writeTo(s.ctx, c, w) },
	}
}

// countCommits returns how many commits there were.
func (s *Store) countCommits() uint64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.stats.batches
}
