package store

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math"
	"path/filepath"
	"slices"
	"sync/atomic"
	"time"

	"github.com/stateio/stateio/internal/fsys"
	"github.com/stateio/stateio/internal/latelog"
	"github.com/stateio/stateio/internal/meter"
	"github.com/stateio/stateio/internal/storedir"
	"github.com/stateio/stateio/internal/storefile"
	"github.com/stateio/stateio/internal/storefs"
)

// recover brings machine and directory into the state from which the store
// goes on.
func (s *Store) recover(ctx context.Context) error {
	start := time.Now()
	files, err := s.dir.List()
	if err != nil {
		return err
	}
	l := &loader{dir: s.dir.Dir, m: s.m, machine: s.machine, list: files, target: math.MaxUint64, owner: true, ctx: ctx}
	l.meter = *meter.New(s.tellOpening(start), nil)
	err = l.load()
	if err != nil {
		return err
	}
	l.meter.End()
	s.dir.ID, s.durable = l.store, l.report.Index
	s.index.Store(l.report.Index)
	s.appliedAt.Store(l.time)
	l.report.ClockAhead = ahead(l.time, s.dir.FS.Now())
	err = s.dir.Tidy(files)
	switch {
	case err != nil:
	case l.tail == nil:
		err = s.begin()
	default:
		err = s.proceed(l)
	}
	if err != nil {
		return err
	}
	s.noteSnapshot(l)
	if err := s.finishInitial(); err != nil {
		return err
	}
	if err := s.countFiles(); err != nil {
		return err
	}
	l.report.Took = time.Since(start)
	s.recovery = l.report
	s.logRecovery()
	s.say.Wait()
	return nil
}

// openingTold is how long Open takes before the operator is told how far it is.
const openingTold = 5 * time.Second

// tellOpening returns what is told how far Open is, which began at start: it tells the
// caller, and the operator after 5 s, 10 s, 20 s and so on.
func (s *Store) tellOpening(start time.Time) func(done, total int64) {
	next := openingTold
	return func(done, total int64) {
		if s.opts.Progress != nil {
			s.opts.Progress(done, total)
		}
		if took := time.Since(start); took >= next && done < total {
			for next <= took {
				next *= 2
			}
			s.say.Info("store: opening", "dir", s.dir.Path, "read", done, "of", total, "for", took.Round(time.Second))
		}
	}
}

// begin makes the first log of a new store. On a full disk that is left to the
// first update.
func (s *Store) begin() error {
	s.dir.NewID()
	// An Open before this one may have made the directory, and failed here.
	if err := s.dir.FS.SyncName(s.dir.Path); err != nil {
		return storedir.Wrap("making a store", err)
	}
	log, err := s.createLog(0)
	if errors.Is(err, ErrNoSpace) {
		return nil
	}
	if err != nil {
		return err
	}
	s.setLog(log)
	return nil
}

// proceed makes the newest log ready to be written on.
func (s *Store) proceed(l *loader) error {
	path := l.tail.Path
	log, err := s.dir.OpenTail(path)
	if err != nil {
		return err
	}
	err = log.BecomeOwn()
	if err == nil || errors.Is(err, fsys.ErrNoSpace) { // then the first update makes the copy
		err = s.settleFiles(log, l)
	}
	if err != nil {
		_ = log.Close()
		return storedir.Wrap("recovering "+path, err)
	}
	s.setLog(storedir.Continue(log, l.tail, s.opts.PreallocateBytes))
	s.dir.CloseFirst() // it was empty, and is removed
	return nil
}

// settleFiles makes durable what was recovered: what a process that was killed
// left in the cache is not. The newest log is open in f.
func (s *Store) settleFiles(f *storedir.OwnFile, l *loader) error {
	for _, path := range l.toSync {
		if path == l.tail.Path {
			continue
		}
		if err := s.dir.SyncFile(path); err != nil {
			return err
		}
	}
	if l.report.TornBytes > 0 {
		if err := f.CutTail(l.tail.End); err != nil {
			return err
		}
	}
	if err := f.Sync(); err != nil {
		return err
	}
	for _, void := range l.voids {
		if err := s.dir.FS.Remove(void); err != nil {
			return err
		}
	}
	return s.dir.FS.SyncDir(s.dir.Path)
}

// noteSnapshot sets what is known of the newest snapshot.
func (s *Store) noteSnapshot(l *loader) {
	if l.report.Snapshot != "" && len(l.report.Refused) == 0 {
		s.newest = snapshotInfo{true, l.report.SnapshotIndex, l.snapshotSize}
		s.stats.snapshotTime = s.modTime(l.report.Snapshot)
	}
	s.sinceSnapshot = l.report.Bytes - l.snapshotSize
	s.tooManyLogs = l.report.Logs > manyLogs
	s.setAutoLocked()
}

// manyLogs is how many logs, one for each time the store was closed, may have to
// be replayed before a snapshot is due however small they are.
const manyLogs = 64

func (s *Store) logRecovery() {
	r := s.recovery
	for _, refused := range r.Refused {
		s.say.Warn("store: snapshot is damaged, an older one was used", "path", refused.Path, "error", refused.Err)
	}
	s.batchMu.Lock()
	s.sayAheadLocked(s.appliedAt.Load(), s.dir.FS.Now())
	s.batchMu.Unlock()
	if r.TornBytes > 0 {
		s.say.Warn("store: cut off the remainder of an unfinished commit", "path", r.TornPath, "offset", r.TornOffset, "bytes", r.TornBytes)
	}
	if len(r.Refused) > 0 || r.TornBytes > 0 {
		s.say.Info("store: open", "dir", s.dir.Path, "recovery", latelog.String(r))
		return
	}
	s.say.Debug("store: open", "dir", s.dir.Path, "recovery", latelog.String(r))
}

// A loader gives a machine its state back from a directory, and changes
// nothing there.
type loader struct {
	dir     storefile.Dir
	m       Machine
	machine clocked // m
	list    *storefile.Listing
	target  uint64          // the update to stop after
	owner   bool            // nobody else writes: cached pages may be dropped
	ctx     context.Context // ends loading

	store    [16]byte // id, of the first file read
	hasStore bool
	time     int64 // of the commit of the last update loaded, in nanoseconds since 1970
	report   Recovery

	moved     *atomic.Uint64     // increased with each update; nil: nothing is
	meter     meter.Meter        // told how much is read
	restoring func(index uint64) // called before each Restore of the machine; nil: nothing is

	snapshotSize int64 // bytes of the file that was restored
	machineError bool  // what failed was the machine, or reading for it

	doubtful uint64   // logs from this one on may have an end that is not durable
	toSync   []string // paths of those that were replayed

	// The newest log, read to its end and closed. Nil if there is none, or the
	// target was reached before.
	tail *storefile.LogReader
	// voids are the paths of empty logs after it, which are not in use.
	voids []string
}

// givenUp returns an error when ctx has ended.
func (l *loader) givenUp() error {
	if l.report.Updates%64 == 0 && l.ctx.Err() != nil {
		l.machineError = true // it holds a part
		return fmt.Errorf("store: loading %s, up to update %d: %w", l.dir.Path, l.report.Index, l.ctx.Err())
	}
	return nil
}

// load restores a snapshot and replays the logs after it.
func (l *loader) load() error {
	if err := l.list.Interrupted(l.dir.Path); err != nil || l.list.Empty() {
		return err
	}
	if err := l.chained(); err != nil {
		return err
	}
	if err := l.dir.OneStore(l.list, l.target); err != nil {
		return err
	}
	if err := l.loadSnapshot(); err != nil {
		return err
	}
	err := l.replay()
	if l.report.Snapshot == "" && len(l.report.Refused) > 0 && errors.Is(err, ErrCorrupt) {
		// That the logs do not reach back to the beginning is the consequence.
		return l.report.Refused[0].Err
	}
	return err
}

// chained makes sure that no log is missing. A past state needs only what leads to it: the log
// after the newest snapshot before it, and none if that is the snapshot's.
func (l *loader) chained() error {
	needed := *l.list
	if !l.owner {
		i, exact := slices.BinarySearch(needed.Snaps, l.target)
		if exact {
			return nil
		}
		needed.Snaps = needed.Snaps[max(0, i-1):i]
	}
	return l.dir.Chained(&needed, l.target)
}

// loadSnapshot restores the newest snapshot that is whole, if there is one.
func (l *loader) loadSnapshot() error {
	for i := len(l.list.Snaps) - 1; i >= 0; i-- {
		index := l.list.Snaps[i]
		if index > l.target {
			continue
		}
		if whole, err := l.tryRestore(index); whole || err != nil {
			return err
		}
	}
	if l.report.refused(l.dir.Snap(0)) {
		// A snapshot of index 0 is a state that no log leads to.
		return l.report.Refused[0].Err
	}
	if err := l.dir.HasBeginning(l.list); err != nil {
		if len(l.report.Refused) > 0 && errors.Is(err, ErrCorrupt) {
			err = l.report.Refused[0].Err // which came first
		}
		return err
	}
	return l.expect(0)
}

// tryRestore verifies the snapshot of index before it restores it, so that one that
// is damaged, or that the disk does not give back, does not touch the machine. It
// reports whether it was whole.
func (l *loader) tryRestore(index uint64) (whole bool, err error) {
	path := l.dir.Snap(index)
	s, err := l.dir.OpenSnap(index)
	if err == nil {
		defer s.Close()
		if err := l.expect(index, s.Size(), s.Size()); err != nil {
			return false, err
		}
		err = l.verify(s, path)
	}
	refused := errors.Is(err, ErrCorrupt) || fsys.Unreadable(err)
	if err == nil {
		err = l.sameAsLog(s.Header, path)
		if err == nil && l.hasStore && s.Header.Store != l.store {
			err = storefile.Corrupt(path, 0, "it belongs to another store than the one that was read before: somebody has put it in its place")
		}
		refused = errors.Is(err, ErrCorrupt)
	}
	if refused {
		l.report.Refused = append(l.report.Refused, RefusedSnapshot{path, err})
		return false, nil
	}
	if err == nil {
		err = s.Rewind()
	}
	if err != nil {
		return false, err
	}
	return true, l.restore(s, path, index)
}

// expect tells the meter what is read from now on, if the state of index is begun with: what
// its snapshot takes, if that is not the initial state, and the logs after it. A log that
// can't be looked at is an error for the owner, and else what comes of reading it.
func (l *loader) expect(index uint64, snapshot ...int64) error {
	if !l.meter.Tells() {
		return nil
	}
	first, _ := slices.BinarySearch(l.list.Logs, index)
	last, _ := slices.BinarySearch(l.list.Logs, l.target)
	logs, err := l.dir.LogSizes(l.list.Logs[first:max(first, last)])
	l.meter.Expect(append(snapshot, logs...))
	if !l.owner {
		return nil
	}
	return err
}

// verify reads all of a snapshot, until the context ends.
func (l *loader) verify(s *storefile.SnapReader, path string) error {
	l.meter.Next()
	_, err := s.WriteTo(contextWriter{l.ctx, &meter.Writer{W: io.Discard, M: &l.meter}})
	if err != nil && errors.Is(err, l.ctx.Err()) {
		return fmt.Errorf("store: verifying %s: %w", path, err)
	}
	return err
}

// restore gives the machine the verified snapshot in s. After an error, as of a
// disk that reads differently now, the machine may hold any part of it, so that
// nothing else can be tried. Nor can it if the machine has passed over one of reading.
func (l *loader) restore(s *storefile.SnapReader, path string, index uint64) error {
	l.begin(index)
	l.meter.Next()
	err := l.m.Restore(&stateReader{ctx: l.ctx, r: s, m: &l.meter})
	if rerr := s.Err(); rerr != nil && !errors.Is(err, rerr) {
		err = rerr
	}
	if err = cmp.Or(err, l.ctx.Err()); err != nil {
		l.machineError = true
		return fmt.Errorf("store: restoring %s: %w", path, storefile.Bare(err))
	}
	l.report.Snapshot, l.report.SnapshotIndex, l.report.Index = path, index, index
	l.time = s.Header.Time
	l.report.Bytes, l.snapshotSize = s.Size(), s.Size()
	return nil
}

// sameAsLog makes sure that the snapshot with header h is of the store that the
// log after it is of, before the machine gets to see it. A snapshot of the target
// needs no log, so one that is damaged or missing is no matter then.
func (l *loader) sameAsLog(h storefile.Header, path string) error {
	of, _, err := l.dir.LogHeader(h.Base)
	needless := h.Base == l.target && !l.owner
	switch {
	case needless && (errors.Is(err, fs.ErrNotExist) || errors.Is(err, ErrCorrupt) || fsys.Unreadable(err)):
		return nil
	case err != nil:
		return err
	case of.Store != h.Store:
		return storefile.Corrupt(path, 0, "it belongs to another store than %s", l.dir.Log(h.Base))
	}
	return nil
}

// begin tells that the machine is about to get the state right after an update.
func (l *loader) begin(index uint64) {
	if l.restoring != nil {
		l.restoring(index)
	}
}

// A stateReader is what a machine reads its state from: a snapshot, until the context ends.
type stateReader struct {
	ctx context.Context
	r   *storefile.SnapReader
	m   *meter.Meter
	off int64 // how much was read
}

func (r *stateReader) Read(p []byte) (int, error) {
	if err := r.ctx.Err(); err != nil {
		return 0, err
	}
	n, err := r.r.Read(p)
	r.off += int64(n)
	r.m.At(r.off)
	return n, err
}

// WriteTo implements io.WriterTo, without a copy.
func (r *stateReader) WriteTo(w io.Writer) (int64, error) {
	n, err := r.r.WriteTo(contextWriter{r.ctx, &meter.Writer{W: w, M: r.m, Off: r.off}})
	r.off += n
	return n, err
}

// sameStore makes sure that all files are of one store.
func (l *loader) sameStore(h storefile.Header, path string) error {
	if l.hasStore && h.Store != l.store {
		return storefile.Corrupt(path, 0, "it belongs to another store than the files read before")
	}
	l.store, l.hasStore = h.Store, true
	return nil
}

// replay applies the updates after the snapshot, log by log.
func (l *loader) replay() error {
	if l.owner {
		if err := l.findDoubtful(); err != nil {
			return err
		}
	}
	for l.report.Index < l.target {
		index := l.report.Index
		i, ok := slices.BinarySearch(l.list.Logs, index)
		if !ok {
			return l.dir.MissingLog(index)
		}
		if ended, err := l.replayLog(i); ended || err != nil {
			return err
		}
		if l.owner {
			if err := l.dir.Unpassed(l.list.Logs[i+1:], l.report.Index); err != nil {
				return err
			}
		}
		if l.report.Index == index {
			return storefile.SealedEmpty(l.dir.Log(index))
		}
	}
	return nil
}

// findDoubtful finds the logs whose ends may not be durable: the last one, and
// the one before if nothing was written to the last one yet.
func (l *loader) findDoubtful() error {
	i := len(l.list.Logs) - 1
	for ; i > 0; i-- {
		index := l.list.Logs[i]
		void, err := l.dir.Void(index)
		if err != nil && !errors.Is(err, ErrCorrupt) { // of damage, reading it tells, if it is needed
			return err
		}
		if !void {
			break
		}
	}
	l.doubtful = l.list.Logs[i]
	return nil
}

// replayLog applies the updates of the i-th log, and reports whether it is the
// newest.
func (l *loader) replayLog(i int) (ended bool, err error) {
	base, limit := l.list.Logs[i], storefile.Size
	if l.owner && base >= l.doubtful {
		limit = fromDisk
		l.toSync = append(l.toSync, l.dir.Log(base))
	}
	l.meter.Next()
	r, err := l.dir.OpenLog(base, limit)
	if err != nil {
		return false, err
	}
	defer r.Close()
	if err = l.apply(r); errors.Is(err, storefile.ErrStop) {
		l.tail = r
		return true, l.checkEnd(i, r)
	}
	// What may follow the seal was space set aside, and never held anything.
	return false, err
}

// fromDisk returns the size of a log, of which the cache holds nothing then: if a sync
// failed before, it may show what the disk does not hold.
func fromDisk(f fsys.File) (int64, error) {
	if err := f.DropCache(); err != nil && !errors.Is(err, errors.ErrUnsupported) {
		return 0, fmt.Errorf("store: %w", err)
	}
	return storefile.Size(f)
}

// apply applies the updates of r up to the target. A nil error means that the
// target was reached, or the seal.
func (l *loader) apply(r *storefile.LogReader) error {
	if err := l.sameStore(r.Header, r.Path); err != nil {
		return err
	}
	l.report.Logs++
	var u logged // filled in place: to copy it takes as long as to decode an entry
	for l.report.Index < l.target {
		if err := l.givenUp(); err != nil {
			return err
		}
		update, err := r.Next()
		if err != nil {
			l.report.Bytes += r.End
			if r.Sealed {
				return nil
			}
			return err
		}
		if r.UnitEnd > l.target {
			return l.withinUnit(r)
		}
		if r.State {
			l.begin(r.Index)
		}
		u.index, u.at, u.data, u.state = r.Index, r.Time, update, r.State
		if err := l.machine.replay(&u); err != nil {
			if l.machineError = true; errors.Is(err, ErrShadowGone) {
				return fmt.Errorf("replaying update %d: %w", r.Index, err)
			}
			return &ReplayError{Index: r.Index, Path: r.Path, Offset: r.Off, Err: err, unit: r.UnitStart}
		}
		l.meter.At(r.End)
		l.time = r.Time
		l.report.Index++
		l.report.Updates++
		if l.moved != nil {
			l.moved.Add(1)
		}
	}
	return nil
}

// withinUnit says that the target is within the unit whose first update r has read: the store
// never had that state.
func (l *loader) withinUnit(r *storefile.LogReader) error {
	return &storefile.Error{Is: ErrNotRetained, Msg: fmt.Sprintf(
		"there was no state right after update %d of %s: updates %d to %d are those of one change, of which all are there or none; ask for the state of update %d or %d",
		l.target, l.dir.Path, r.Index, r.UnitEnd, r.Index-1, r.UnitEnd)}
}

// checkEnd makes sure that r, the i-th log, which has no seal, may end where
// it does: that nothing which was acknowledged is missing.
func (l *loader) checkEnd(i int, r *storefile.LogReader) error {
	for _, index := range l.list.Logs[i+1:] {
		path := l.dir.Log(index)
		void, err := l.dir.Void(index)
		switch {
		case errors.Is(err, fs.ErrNotExist) && !l.owner:
			continue // the process that has the store open gave it up before it came into use
		case err != nil:
			return err
		case !void:
			return storefile.Corrupt(r.Path, r.Bad, "%s, where update %d or a seal should be: %s follows this log", r.Reason, r.Index+1, path)
		case r.Index < index:
			return storefile.Corrupt(r.Path, r.Bad, "%s, where update %d should be: %s shows that it was durable", r.Reason, r.Index+1, path)
		}
		l.voids = append(l.voids, path)
	}
	t, err := r.ReadTail()
	if err != nil {
		return err
	}
	if t.Proof >= 0 {
		return storefile.Corrupt(r.Path, r.Bad, "%s, where update %d should be: the commit of update %d at offset %d shows that it was durable",
			r.Reason, r.Index+1, t.First, t.Proof)
	}
	if l.report.TornBytes = t.Torn; t.Torn > 0 {
		l.report.TornPath, l.report.TornOffset, l.report.TornReason = r.Path, r.End, r.Reason
	}
	return nil
}

// filesIn returns what reads the directory dir, which may be in use elsewhere.
func filesIn(dir string) storefile.Dir { return storefile.Dir{FS: storefs.For(dir), Path: dir} }

// filesOf is filesIn for what runs long, while the process may change its working
// directory.
func filesOf(dir string) storefile.Dir {
	d := filesIn(dir)
	if path, err := settled(d.FS, dir); err == nil && dir != "" {
		d.Path = path
	}
	return d
}

// settled returns the path of a directory, which stays right if the process changes its working
// directory, and tells the directories above by their names.
func settled(fsy fsys.FS, dir string) (string, error) {
	if _, real := fsy.(fsys.OS); !real {
		return dir, nil
	}
	path, err := filepath.Abs(dir)
	if err != nil {
		return "", fmt.Errorf("store: %w", err)
	}
	return path, nil
}
