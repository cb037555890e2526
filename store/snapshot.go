package store

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"slices"
	"sync/atomic"
	"time"

	"github.com/stateio/stateio/internal/fsys"
	"github.com/stateio/stateio/internal/storedir"
	"github.com/stateio/stateio/internal/storefile"
)

// The snapshots are made one after the other, by the snapshotter while there are any.
// Guarded by mu.
type snapshots struct {
	newest        snapshotInfo
	snapshotBytes int64 // Options.SnapshotBytes, which may be changed
	autoAt        int64 // log bytes at which the next snapshot starts by itself
	sinceSnapshot int64 // log bytes after the newest snapshot
	tooManyLogs   bool  // Open had to replay more than manyLogs, and none was made since
	making        bool  // the snapshotter runs
	wanted        *snapshotRun
	auto          *snapshotRun // the last one that started by itself
	lacking       bool         // a snapshot is to make room
	noRoom        bool         // there was no space for the last snapshot
	freeAtFailure int64        // bytes free on the disk then
	failedAt      time.Time    // when the last snapshot failed

	underway storedir.Progress // of the snapshot that is being made; needs no lock
	held     atomic.Bool       // updates wait for it; likewise

	// These belong to the snapshotter.
	remade map[uint64]bool // indexes of snapshots that Open refused, and that were made again
	shadow *shadow         // nil without Options.Shadow
}

// The stages of a snapshot besides those of storedir.
const (
	replaying  = storedir.OtherStages + iota // the shadow replays what it has not seen
	asking                                   // the disk is asked how much space is free
	beginning                                // the state is captured, and a log begun
	givingBack                               // the captured state is closed
	retaining                                // what it makes superfluous is removed
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
// already; all that wait for the next one share it. It makes none if no update was made
// since the last one: a program may set the state by itself before the first update and
// the first snapshot only, and has Replace after that.
//
// The store goes on if a snapshot fails, and the log grows, unless what was begun with it
// can't be removed again, durably: then the store fails.
//
// Errors are those of Machine.Snapshot, and of WriteTo and Close of what it returned;
// ErrNoSpace and others of the file system; ErrCorrupt if the disk gave back something
// other than what was written; with Options.Shadow also ErrDiverged, ErrShadowGone and
// a [*ReplayError]; ErrFailed, ErrClosed, ErrReentrant, and that of ctx. If ctx ends
// while the snapshot is made, that goes on; if it has ended before, none is.
func (s *Store) Snapshot(ctx context.Context) error {
	if s.within(inApply, inCapture, inView, inWrite, inHeldWrite) {
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
	s.auto, _ = s.wantSnapshotLocked() // the store is open, or takes no updates
}

// setAutoLocked sets when the next snapshot starts by itself. The caller holds mu.
func (s *Store) setAutoLocked() {
	s.autoAt = s.snapshotBytes
	switch {
	case s.tooManyLogs:
		s.autoAt = 0 // with the next commit
	case s.autoAt == 0:
		s.autoAt = max(minSnapshotBytes, s.newest.size)
	}
}

// makeSnapshot makes a snapshot, and tells log and Stats when that fails.
func (s *Store) makeSnapshot(run *snapshotRun) error {
	start := time.Now()
	s.underway.Stage.Store(asking)
	before, _ := s.dir.FS.Free(s.dir.Path)
	size, c, err := s.trySnapshot(run)
	s.underway.Stage.Store(asking)
	after, _ := s.dir.FS.Free(s.dir.Path)
	s.underway.Written.Store(0)
	s.mu.Lock()
	if err == nil && c == nil {
		s.mu.Unlock()
		return nil
	}
	s.stats.snapshotErr = err
	s.noRoom, s.freeAtFailure = errors.Is(err, ErrNoSpace), min(before, after)
	if err != nil {
		s.stats.snapshotsFailed++
		s.failedAt, s.lacking = time.Now(), false                             // what was lacking before is no reason for another try
		s.autoAt = s.sinceSnapshot + max(minSnapshotBytes, s.snapshotBytes)/4 // not at once again
		s.mu.Unlock()
		if s.ctx.Err() == nil {
			s.say.Error("store: snapshot failed, the log is kept", "dir", s.dir.Path, "error", err)
		}
		return err
	}
	if s.recovery.refused(s.dir.Snap(c.index)) {
		s.remade[c.index] = true
	}
	s.stats.snapshot(size, start)
	s.newest = snapshotInfo{true, c.index, size}
	s.sinceSnapshot -= c.logged
	s.tooManyLogs, s.lacking = false, false // what was lacking before may be there now
	s.setAutoLocked()
	s.mu.Unlock()
	s.underway.Stage.Store(retaining)
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
		s.say.Warn("store: old files could not be removed, which is tried again after the next snapshot", "dir", s.dir.Path, "error", err)
	}
}

// trySnapshot makes a snapshot and returns its size. The capture is nil if
// there is nothing new.
func (s *Store) trySnapshot(run *snapshotRun) (size int64, c *capture, err error) {
	s.underway.Stage.Store(beginning)
	if done, size, c, err := s.snapshotInitial(run); done {
		return size, c, err
	}
	c, err = s.rotate(run)
	if err != nil || c == nil {
		return 0, nil, err
	}
	defer func() {
		if cerr := s.endCapture(c); err == nil {
			err = cerr
		}
	}()
	if s.shadow != nil {
		if err := s.shadowState(c); err != nil {
			return 0, c, err
		}
	}
	size, err = s.writeSnapshot(c)
	return size, c, err
}

// endCapture closes the captured state of a snapshot, which was made or given up.
func (s *Store) endCapture(c *capture) error {
	s.underway.Stage.Store(givingBack)
	return s.giveBack(c)
}

// writeSnapshot writes a captured state as a snapshot, and returns its size.
func (s *Store) writeSnapshot(c *capture) (size int64, err error) {
	m := &storedir.SnapshotMaker{Dir: &s.dir, Ctx: s.ctx, Commits: s.countCommits, Progress: &s.underway}
	return m.Write(storedir.State{
		Index: c.index, Time: c.time,
		WriteTo: func(w io.Writer) error { return s.writeTo(s.ctx, c, w) },
		Sound:   c.sound,
	})
}

// countCommits returns how many commits there were.
func (s *Store) countCommits() uint64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.stats.batches
}

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
//  4. The old log gets its seal, durably: the new one is in use. Updates go on. If there is no
//     space for the seal, the old one goes on, and the new one is given up as above.
func (s *Store) rotate(run *snapshotRun) (c *capture, err error) {
	if s.nothingNew(run) {
		return nil, nil
	}
	next, err := s.prepareLog(s.dir.Log(s.index.Load())+storefile.TmpSuffix, s.logPiece())
	if err != nil {
		return nil, err
	}
	s.apply.Lock() // no update is applied until the end
	defer s.endApply(more)
	if err = s.ensureLog(); err != nil {
		return nil, s.dir.Discard(next, err)
	}
	c, err = s.capture(run)
	if err != nil || c == nil {
		return nil, s.dir.Discard(next, err)
	}
	s.commit.Lock()
	defer s.endCommit()
	s.gather()
	if err = s.commitPending(); err != nil || s.log.Header.Base == c.index {
		err = s.dir.Discard(next, err)
	} else {
		err = s.switchLog(next, c.index)
	}
	if err != nil {
		c.within = inHeldWrite
		return nil, errors.Join(err, s.endCapture(c))
	}
	s.noteLogged(c)
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
	piece := int64(storedir.MinPiece)
	if log != nil {
		piece = max(piece, log.Piece())
	}
	if free, err := s.dir.FS.Free(s.dir.Path); err == nil && free < wanted+piece {
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
	c := &capture{index: s.index.Load(), time: s.appliedAt.Load(), within: inWrite}
	none := s.newest.there && s.newest.index == c.index
	err := s.failureLocked()
	s.mu.Unlock()
	if err == nil {
		err = context.Cause(s.ctx)
	}
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

// noteLogged notes that c holds all that was logged so far. The caller holds apply, and nothing
// is pending.
func (s *Store) noteLogged(c *capture) {
	s.mu.Lock()
	defer s.mu.Unlock()
	c.logged = s.sinceSnapshot
}

// failUnlessUndone returns err, of PublishLog. If what that did is not undone, the
// store fails.
func (s *Store) failUnlessUndone(err error) error {
	if !errors.Is(err, storedir.ErrStays) {
		return err
	}
	return s.fail(err)
}

// switchLog makes next the log, which begins after index. The caller holds apply
// and commit, and nothing is pending.
func (s *Store) switchLog(next *storedir.Log, index uint64) error {
	old := s.log
	err := s.setAside(old.Log, old.End+storefile.TailRoom)
	if err == nil {
		err = storedir.Wrap("beginning a log", s.dir.FitToSeal(old.Log))
	}
	if err != nil {
		return s.dir.Discard(next, err)
	}
	if err := s.dir.PublishLog(next, s.dir.Log(index), index, s.appliedAt.Load()); err != nil {
		return s.failUnlessUndone(err)
	}
	err = old.AppendControl(storefile.Control{Kind: storefile.Seal, Count: index - old.Header.Base, Digest: uint64(old.Digest)}, index)
	if errors.Is(err, ErrNoSpace) {
		return s.failUnlessUndone(s.dir.Unpublish(next, err))
	}
	if err == nil {
		_, err = next.File.Stat() // in a copy with hard links that has no seal, next must stay empty
	}
	if err != nil {
		_ = next.File.Close() // it stays, and is not in use
		return s.fail(fmt.Errorf("store: sealing %s: %w", old.Path, storefile.Bare(err)))
	}
	s.setLog(next)
	s.mu.Lock()
	s.stats.sealed(old.End)
	s.mu.Unlock()
	// What was set aside and not used goes back. If not, that is no harm.
	_ = old.File.Truncate(old.End)
	_ = old.File.Close()
	return nil
}

// A snapshot of index 0 is of a state that no update has made: the program has set
// it before the first one. No log leads to it, and if the snapshot were lost, the
// store would be taken for a new one. So the log after it is of a kind of its own,
// which is of no use without the snapshot; see also [Create].

// snapshotInitial makes a snapshot of index 0, if that is what the next one is.
// Updates wait until it is durable, since the log may only be exchanged while it is
// empty.
//
// Commit point: that of writeSnapshot. If that fails there, or the log can't be exchanged after
// it, the snapshot is taken back; if a crash comes between, the next Open exchanges the log.
func (s *Store) snapshotInitial(run *snapshotRun) (done bool, size int64, c *capture, err error) {
	if s.index.Load() > 0 {
		return false, 0, nil, nil
	}
	s.apply.Lock()
	defer s.endApply(more)
	switch {
	case s.index.Load() > 0:
		return false, 0, nil, nil
	case s.nothingNew(run):
		return true, 0, nil, nil
	}
	if err := s.ensureLog(); err != nil {
		return true, 0, nil, err
	}
	if s.log.Header.Base > 0 || s.log.Header.Kind == storefile.ImportKind {
		return false, 0, nil, nil
	}
	c, err = s.capture(run)
	if err != nil || c == nil {
		return true, 0, nil, err
	}
	s.noteLogged(c)
	s.held.Store(true)
	defer s.held.Store(false)
	c.within = inHeldWrite
	defer func() {
		if cerr := s.endCapture(c); err == nil {
			err = cerr
		}
	}()
	if size, err = s.writeSnapshot(c); err == nil {
		err = s.exchangeLog()
	}
	if err != nil && s.failure() == nil { // else the new log may be there
		err = s.takeBackInitial(err)
	}
	return true, size, c, err
}

// takeBackInitial removes the snapshot of index 0, if it is there, because of err, which it
// returns: the log that goes on can do without. If it may stay, the store fails.
func (s *Store) takeBackInitial(err error) error {
	rerr := s.dir.Remove([]uint64{0}, storefile.SnapSuffix)
	if rerr == nil || errors.Is(rerr, fs.ErrNotExist) {
		return err
	}
	return s.fail(fmt.Errorf("%v; taking the snapshot back: %v", err, storefile.Bare(rerr))) //nolint:errorlint // it is no ErrNoSpace
}

// finishInitial exchanges the log after a snapshot of index 0, if a crash has come
// before that. Where there is no space for it, the first update waits for that.
func (s *Store) finishInitial() error {
	if !s.newest.there || s.index.Load() > 0 || s.log == nil || s.log.Header.Kind == storefile.ImportKind {
		return nil
	}
	err := s.exchangeLog()
	if !errors.Is(err, ErrNoSpace) {
		return err
	}
	s.batchMu.Lock()
	defer s.batchMu.Unlock()
	s.replace = true
	return nil
}

// exchangeLog puts an empty log of kind ImportKind in the place of the one in use,
// which is empty. The caller holds apply, and since nothing was ever applied, nobody
// writes to the log: commit is not needed, and may be held by the caller.
//
// Until the rename is done, the old log is in use; from then on the new one is, and
// if its name can't be made durable, the store fails: after a crash the old one may
// have it again.
func (s *Store) exchangeLog() error {
	path := s.dir.Log(0)
	next, err := s.prepareLog(path+storefile.TmpSuffix, s.logPiece())
	if err != nil {
		return err
	}
	next.Header.Kind = storefile.ImportKind
	if err := s.dir.WriteHeader(next, 0, s.appliedAt.Load()); err != nil {
		return err
	}
	old := s.log
	if err := s.dir.FitToSeal(old.Log); err != nil {
		return s.dir.Discard(next, storedir.Wrap("exchanging a log", err))
	}
	err = s.dir.FS.Rename(next.Path, path)
	if err == nil {
		next.File.Renamed(path)
		err = s.dir.FS.SyncDir(s.dir.Path)
	}
	if err != nil {
		_ = next.File.Close()
		return s.fail(fmt.Errorf("store: exchanging %s: %w", path, errors.Join(err, s.dir.FS.Remove(next.Path))))
	}
	next.Path = path
	s.setLog(next)
	_ = old.File.Close() // it was empty
	return nil
}

// retain removes snapshots beyond Options.KeepSnapshots that are older than
// Options.KeepFor, and the logs that hold only updates before the oldest one kept. Only
// the snapshotter calls it.
//
// Snapshots go first, durably, so that every snapshot found has its log.
func (s *Store) retain() error {
	l, err := s.dir.List()
	if err != nil {
		return err
	}
	whole := slices.DeleteFunc(slices.Clone(l.Snaps), s.isDamaged)
	drop := len(whole) - s.opts.KeepSnapshots
	if drop > 0 && s.opts.KeepFor > 0 {
		drop, err = s.agedOut(whole[:drop+1])
	}
	if drop <= 0 || err != nil {
		return err
	}
	oldest := whole[drop]
	i, _ := slices.BinarySearch(l.Snaps, oldest)
	if err := s.dir.Remove(l.Snaps[:i], storefile.SnapSuffix); err != nil {
		return err
	}
	n := 0
	for n < len(l.Logs) && l.Logs[n] < oldest {
		n++
	}
	return s.dir.Remove(l.Logs[:n], storefile.LogSuffix)
}

// agedOut returns how many of the first snapshots are not needed for the states of the
// time that Options.KeepFor says: all before the last one that is older. One whose header is
// damaged, or that the disk does not give back, has no time; what is before it decides.
func (s *Store) agedOut(snaps []uint64) (int, error) {
	now := s.dir.FS.Now()
	since := now.Add(-s.opts.KeepFor)
	for i, index := range slices.Backward(snaps) {
		made, err := s.snapshotMade(index, now)
		if errors.Is(err, ErrCorrupt) || fsys.Unreadable(err) {
			continue
		}
		if err != nil {
			return 0, storedir.Wrap("looking for snapshots that are no longer needed", err)
		}
		if !made.After(since) {
			return i, nil
		}
	}
	return 0, nil
}

// snapshotMade returns the time of the last commit in the snapshot of index; that of the
// file, if a clock that was ahead has made the commit: as times don't go back in a log, it
// would be that moment for ages.
func (s *Store) snapshotMade(index uint64, now time.Time) (time.Time, error) {
	h, _, err := s.dir.SnapHeader(index)
	made := moment(h.Time)
	if err != nil || !made.After(now) {
		return made, err
	}
	if changed := s.modTime(s.dir.Snap(index)); !changed.IsZero() {
		made = changed
	}
	return made, nil
}

// isDamaged reports whether the snapshot of index can't be used: Open found that,
// and it was not made again since.
func (s *Store) isDamaged(index uint64) bool {
	return s.recovery.refused(s.dir.Snap(index)) && !s.remade[index]
}
