package store

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"slices"
	"sync/atomic"

	"github.com/stateio/stateio/internal/fsys"
	"github.com/stateio/stateio/internal/storefile"
)

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
	meter     meter              // told how much is read
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
	_, needless := slices.BinarySearch(l.list.Snaps, l.target) // a snapshot of the target needs no log
	for _, index := range l.list.Snaps {
		if index > l.target || needless && !l.owner {
			break
		}
		// Each snapshot begins with a new log, and is dropped before that is.
		if _, ok := slices.BinarySearch(l.list.Logs, index); !ok {
			return l.dir.MissingLog(index)
		}
	}
	if err := l.loadSnapshot(); err != nil {
		return err
	}
	if l.report.Snapshot == "" && l.report.refused(l.dir.Snap(0)) {
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
		if whole, err := l.tryRestore(index); whole || err != nil {
			return err
		}
	}
	l.expect(0)
	return nil
}

// tryRestore verifies the snapshot of index before it restores it, so that one that
// is damaged, or that the disk does not give back, does not touch the machine. It
// reports whether it was whole.
func (l *loader) tryRestore(index uint64) (whole bool, err error) {
	path := l.dir.Snap(index)
	s, err := l.dir.OpenSnap(index)
	if err == nil {
		defer s.Close()
		l.expect(index)
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

// expect tells the meter what is read from now on, if the state of index is begun with: its
// snapshot twice, if that is not the initial state, and the logs after it.
func (l *loader) expect(index uint64) {
	if l.meter.tell == nil {
		return
	}
	first, _ := slices.BinarySearch(l.list.Logs, index)
	last, _ := slices.BinarySearch(l.list.Logs, l.target)
	var sizes []int64
	if _, ok := slices.BinarySearch(l.list.Snaps, index); ok {
		size := sizesOf(l.dir.FS, l.dir.Snap, []uint64{index})[0]
		sizes = append(sizes, size, size)
	}
	l.meter.expect(append(sizes, sizesOf(l.dir.FS, l.dir.Log, l.list.Logs[first:max(first, last)])...))
}

// verify reads all of a snapshot, until the context ends.
func (l *loader) verify(s *storefile.SnapReader, path string) error {
	l.meter.next()
	_, err := s.WriteTo(contextWriter{l.ctx, &meteredWriter{w: io.Discard, m: &l.meter}})
	if err != nil && errors.Is(err, l.ctx.Err()) {
		return fmt.Errorf("store: verifying %s: %w", path, err)
	}
	return err
}

// restore gives the machine the verified snapshot in s. After an error, as of a
// disk that reads differently now, the machine may hold any part of it, so that
// nothing else can be tried.
func (l *loader) restore(s *storefile.SnapReader, path string, index uint64) error {
	l.begin(index)
	l.meter.next()
	if err := l.m.Restore(&stateReader{ctx: l.ctx, r: s, m: &l.meter}); err != nil {
		l.machineError = true
		return fmt.Errorf("store: restoring %s: %w", path, err)
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
	m   *meter
	off int64 // how much was read
}

func (r *stateReader) Read(p []byte) (int, error) {
	if err := r.ctx.Err(); err != nil {
		return 0, err
	}
	n, err := r.r.Read(p)
	r.off += int64(n)
	r.m.at(r.off)
	return n, err
}

// WriteTo implements io.WriterTo, without a copy.
func (r *stateReader) WriteTo(w io.Writer) (int64, error) {
	n, err := r.r.WriteTo(contextWriter{r.ctx, &meteredWriter{w: w, m: r.m, off: r.off}})
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

// replayLog applies the updates of the i-th log, and reports whether it is the
// newest.
func (l *loader) replayLog(i int) (ended bool, err error) {
	base, limit := l.list.Logs[i], storefile.Size
	if l.owner && base >= l.doubtful {
		limit = fromDisk
		l.toSync = append(l.toSync, l.dir.Log(base))
	}
	l.meter.next()
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
	if r.Header.Kind == storefile.ImportKind && l.report.Snapshot == "" {
		return l.dir.MissingImport()
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
		if r.State {
			l.begin(r.Index)
		}
		u.index, u.at, u.data, u.state = r.Index, r.Time, update, r.State
		if err := l.machine.replay(&u); err != nil {
			if l.machineError = true; errors.Is(err, ErrShadowGone) {
				return fmt.Errorf("replaying update %d: %w", r.Index, err)
			}
			return &ReplayError{Index: r.Index, Path: r.Path, Offset: r.Off, Err: err}
		}
		l.meter.at(r.End)
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
