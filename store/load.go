package store

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path/filepath"
	"slices"
	"sync/atomic"

	"github.com/stateio/stateio/internal/fsys"
	"github.com/stateio/stateio/internal/storefile"
)

// A loader gives a machine its state back from a directory, and changes
// nothing there.
type loader struct {
	fs      fsys.FS
	dir     string
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

	moved *atomic.Uint64 // increased with each update; nil: nothing is

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

func (l *loader) path(index uint64, suffix string) string {
	return filepath.Join(l.dir, storefile.FileName(index, suffix))
}

// givenUp returns an error when ctx has ended.
func (l *loader) givenUp() error {
	if l.report.Updates%64 == 0 && l.ctx.Err() != nil {
		l.machineError = true // it holds a part
		return fmt.Errorf("store: loading %s, up to update %d: %w", l.dir, l.report.Index, l.ctx.Err())
	}
	return nil
}

// load restores a snapshot and replays the logs after it.
func (l *loader) load() error {
	if err := l.list.Interrupted(l.dir); err != nil || l.list.Empty() {
		return err
	}
	_, needless := slices.BinarySearch(l.list.Snaps, l.target) // a snapshot of the target needs no log
	for _, index := range l.list.Snaps {
		if index > l.target || needless && !l.owner {
			break
		}
		// Each snapshot begins with a new log, and is dropped before that is.
		if _, ok := slices.BinarySearch(l.list.Logs, index); !ok {
			return l.missing(index)
		}
	}
	if err := l.loadSnapshot(); err != nil {
		return err
	}
	if l.report.Snapshot == "" && l.report.refused(l.path(0, storefile.SnapSuffix)) {
		// A snapshot of index 0 is a state that no log leads to.
		return l.report.Refused[0].Err
	}
	err := l.replay()
	if l.report.Snapshot == "" && len(l.report.Refused) > 0 && errors.Is(err, ErrCorrupt) {
		// That the logs do not reach back to the beginning is the consequence.
		return l.report.Refused[0].Err
	}
	return err
}

// loadSnapshot restores the newest snapshot that is whole, if there is one.
func (l *loader) loadSnapshot() error {
	for i := len(l.list.Snaps) - 1; i >= 0; i-- {
		index := l.list.Snaps[i]
		if index > l.target {
			continue
		}
		if whole, err := l.tryRestore(l.path(index, storefile.SnapSuffix), index); whole || err != nil {
			return err
		}
	}
	return nil
}

// tryRestore verifies the snapshot at path before it restores it, so that one that
// is damaged, or that the disk does not give back, does not touch the machine. It
// reports whether it was whole.
func (l *loader) tryRestore(path string, index uint64) (whole bool, err error) {
	f, size, err := storefile.Open(l.fs, path)
	var h storefile.Header
	if err == nil {
		defer f.Close()
		h, err = l.verify(f, path, index, size)
	}
	refused := errors.Is(err, ErrCorrupt) || fsys.Unreadable(err)
	if err == nil {
		err = l.sameAsLog(h, path)
		refused = errors.Is(err, ErrCorrupt)
	}
	if refused {
		l.report.Refused = append(l.report.Refused, RefusedSnapshot{path, err})
		return false, nil
	}
	if err != nil {
		return false, err
	}
	return true, l.restore(f, path, index, size)
}

// verify reads the snapshot in f.
func (l *loader) verify(f fsys.File, path string, index uint64, size int64) (storefile.Header, error) {
	s, err := storefile.NewSnapReader(f, path, index, size)
	if err != nil {
		return storefile.Header{}, err
	}
	defer s.Close()
	return s.Header, s.Verify()
}

// restore gives the machine the verified snapshot in f. After an error, as of a
// disk that reads differently now, the machine may hold any part of it, so that
// nothing else can be tried.
func (l *loader) restore(f fsys.File, path string, index uint64, size int64) error {
	s, err := storefile.NewSnapReader(f, path, index, size)
	if err != nil {
		return err
	}
	defer s.Close()
	if err := l.m.Restore(contextReader{l.ctx, s}); err != nil {
		l.machineError = true
		return fmt.Errorf("store: restoring %s: %w", path, err)
	}
	l.report.Snapshot, l.report.SnapshotIndex, l.report.Index = path, index, index
	l.time = s.Header.Time
	l.report.Bytes, l.snapshotSize = size, size
	return nil
}

// sameAsLog makes sure that the snapshot with header h is of the store that the
// log after it is of, before the machine gets to see it. A snapshot of the target
// needs no log, so one that is damaged or missing is no matter then.
func (l *loader) sameAsLog(h storefile.Header, path string) error {
	log := l.path(h.Base, storefile.LogSuffix)
	of, _, err := storefile.ReadHeader(l.fs, log, h.Base, storefile.LogKind)
	needless := h.Base == l.target && !l.owner
	switch {
	case needless && (errors.Is(err, fs.ErrNotExist) || errors.Is(err, ErrCorrupt) || fsys.Unreadable(err)):
		return nil
	case err != nil:
		return err
	case of.Store != h.Store:
		return storefile.Corrupt(path, 0, "it belongs to another store than %s", log)
	}
	return nil
}

// A contextReader is an io.Reader until its context ends.
type contextReader struct {
	ctx context.Context
	r   *storefile.SnapReader
}

func (r contextReader) Read(p []byte) (int, error) {
	if err := r.ctx.Err(); err != nil {
		return 0, err
	}
	return r.r.Read(p)
}

// WriteTo implements io.WriterTo, without a copy.
func (r contextReader) WriteTo(w io.Writer) (int64, error) {
	return r.r.WriteTo(contextWriter{r.ctx, w})
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
			return l.missing(index)
		}
		if ended, err := l.replayLog(i); ended || err != nil {
			return err
		}
		if l.report.Index == index {
			return storefile.SealedEmpty(l.path(index, storefile.LogSuffix))
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
		void, err := storefile.IsVoid(l.fs, l.path(index, storefile.LogSuffix), index)
		if err != nil {
			return err
		}
		if !void {
			break
		}
	}
	l.doubtful = l.list.Logs[i]
	return nil
}

// missing returns the error that says that the log after index is not there.
func (l *loader) missing(index uint64) error {
	return storefile.MissingLog(l.path(index, storefile.LogSuffix), index)
}

// replayLog applies the updates of the i-th log, and reports whether it is the
// newest.
func (l *loader) replayLog(i int) (ended bool, err error) {
	path := l.path(l.list.Logs[i], storefile.LogSuffix)
	f, size, err := storefile.Open(l.fs, path)
	if err != nil {
		return false, err
	}
	defer f.Close()
	if l.owner && l.list.Logs[i] >= l.doubtful {
		// If a sync failed before, the cache may show what the disk does not hold.
		if err := f.DropCache(); err != nil && !errors.Is(err, errors.ErrUnsupported) {
			return false, fmt.Errorf("store: %w", err)
		}
		l.toSync = append(l.toSync, path)
	}
	r, err := storefile.NewLogReader(f, path, l.list.Logs[i], size)
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

// apply applies the updates of r up to the target. A nil error means that the
// target was reached, or the seal.
func (l *loader) apply(r *storefile.LogReader) error {
	if err := l.sameStore(r.Header, r.Path); err != nil {
		return err
	}
	if r.Header.Kind == storefile.ImportKind && l.report.Snapshot == "" {
		return storefile.MissingImport(l.dir)
	}
	l.report.Logs++
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
		if _, err := l.machine.apply(r.Time, r.Index, update); err != nil {
			l.machineError = true
			return &ReplayError{Index: r.Index, Path: r.Path, Offset: r.Off, Err: err}
		}
		l.time = r.Time
		l.report.Index++
		l.report.Updates++
		if l.moved != nil {
			l.moved.Add(1)
		}
	}
	return nil
}

// checkEnd makes sure that r, the i-th log, which has no seal, may end where
// it does: that nothing which was acknowledged is missing.
func (l *loader) checkEnd(i int, r *storefile.LogReader) error {
	for _, index := range l.list.Logs[i+1:] {
		path := l.path(index, storefile.LogSuffix)
		void, err := storefile.IsVoid(l.fs, path, index)
		switch {
		case errors.Is(err, fs.ErrNotExist) && !l.owner:
			continue // who has the store open gave it up before it came into use
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
