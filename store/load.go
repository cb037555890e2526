package store

import (
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"slices"

	"github.com/stateio/stateio/internal/fsys"
)

// A loader gives a machine its state back from a directory, and changes
// nothing there.
type loader struct {
	fs     fsys.FS
	dir    string
	m      Machine
	list   *listing
	target uint64 // the update to stop behind
	owner  bool   // nobody else writes: cached pages may be dropped

	store    [16]byte // id, of the first file read
	hasStore bool
	report   Recovery

	snapshotSize int64 // bytes of the file that was restored
	machineError bool  // what failed was the machine, or reading for it

	doubtful uint64   // logs from this one on may have an end that is not durable
	toSync   []string // paths of those that were replayed

	// The newest log, read to its end and closed. Nil if there is none, or the
	// target was reached before.
	tail *logReader
	// voids are the paths of empty logs behind it, which are not in use.
	voids []string
}

func (l *loader) path(index uint64, suffix string) string {
	return filepath.Join(l.dir, fileName(index, suffix))
}

// load restores a snapshot and replays the logs behind it.
func (l *loader) load() error {
	if l.list.empty() {
		return nil
	}
	for _, index := range l.list.snaps {
		if index > l.target {
			break
		}
		// Each snapshot begins with a new log, and is dropped before that is.
		if _, ok := slices.BinarySearch(l.list.logs, index); !ok {
			return l.missing(index)
		}
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

// loadSnapshot restores the newest snapshot that is whole, if there is one.
func (l *loader) loadSnapshot() error {
	for i := len(l.list.snaps) - 1; i >= 0; i-- {
		index := l.list.snaps[i]
		if index > l.target {
			continue
		}
		if whole, err := l.tryRestore(l.path(index, snapSuffix), index); whole || err != nil {
			return err
		}
	}
	return nil
}

// tryRestore verifies the snapshot at path before it restores it, so that a
// damaged one does not touch the machine. It reports whether it was whole.
func (l *loader) tryRestore(path string, index uint64) (whole bool, err error) {
	f, size, err := openFile(l.fs, path)
	if err != nil {
		return false, err
	}
	defer f.Close()
	err = l.verify(f, path, index, size)
	if errors.Is(err, ErrCorrupt) {
		l.report.Refused = append(l.report.Refused, RefusedSnapshot{path, err})
		return false, nil
	}
	if err != nil {
		return false, err
	}
	return true, l.restore(f, path, index, size)
}

// verify reads the snapshot in f.
func (l *loader) verify(f fsys.File, path string, index uint64, size int64) error {
	s, err := newSnapReader(f, path, index, size)
	if err != nil {
		return err
	}
	defer s.close()
	if err := s.verify(); err != nil {
		return err
	}
	return l.sameAsLog(s.hdr, path)
}

// restore gives the machine the verified snapshot in f. After an error, as of a
// disk that reads differently now, the machine may hold any part of it, so that
// nothing else can be tried.
func (l *loader) restore(f fsys.File, path string, index uint64, size int64) error {
	s, err := newSnapReader(f, path, index, size)
	if err != nil {
		return err
	}
	defer s.close()
	if err := l.m.Restore(s); err != nil {
		l.machineError = true
		return fmt.Errorf("store: restoring %s: %w", path, err)
	}
	l.report.Snapshot, l.report.SnapshotIndex, l.report.Index = path, index, index
	l.report.Bytes, l.snapshotSize = size, size
	return nil
}

// sameAsLog makes sure that the snapshot with header h is of the store that the
// log behind it is of, before the machine gets to see it.
func (l *loader) sameAsLog(h header, path string) error {
	log := l.path(h.base, logSuffix)
	f, size, err := openFile(l.fs, log)
	if err != nil {
		return err
	}
	defer f.Close()
	r, err := newLogReader(f, log, h.base, min(size, int64(headerSize)))
	if err != nil {
		return err
	}
	r.close()
	if r.hdr.store != h.store {
		return corrupt(path, 0, "it belongs to another store than %s", log)
	}
	return nil
}

// sameStore makes sure that all files are of one store.
func (l *loader) sameStore(h header, path string) error {
	if l.hasStore && h.store != l.store {
		return corrupt(path, 0, "it belongs to another store than the files read before")
	}
	l.store, l.hasStore = h.store, true
	return nil
}

// replay applies the updates behind the snapshot, log by log.
func (l *loader) replay() error {
	if l.owner {
		if err := l.findDoubtful(); err != nil {
			return err
		}
	}
	for l.report.Index < l.target {
		index := l.report.Index
		i, ok := slices.BinarySearch(l.list.logs, index)
		if !ok {
			return l.missing(index)
		}
		if ended, err := l.replayLog(i); ended || err != nil {
			return err
		}
		if l.report.Index == index {
			return sealedEmpty(l.path(index, logSuffix))
		}
	}
	return nil
}

// findDoubtful finds the logs whose ends may not be durable: the last one, and
// the one before if nothing was written to the last one yet.
func (l *loader) findDoubtful() error {
	i := len(l.list.logs) - 1
	for ; i > 0; i-- {
		index := l.list.logs[i]
		void, err := isVoid(l.fs, l.path(index, logSuffix), index)
		if err != nil {
			return err
		}
		if !void {
			break
		}
	}
	l.doubtful = l.list.logs[i]
	return nil
}

// missing returns the error that says that the log behind index is not there.
func (l *loader) missing(index uint64) error {
	return missingLog(l.path(index, logSuffix), index)
}

// sealedEmpty returns the error that says that a log leads to itself.
func sealedEmpty(path string) error { return corrupt(path, 0, "a log without updates is sealed") }

func missingLog(path string, index uint64) error {
	return corrupt(path, 0, "the file is missing, with the updates behind %d", index)
}

// missingImport returns the error that says that an imported state is not there.
func missingImport(dir string) error {
	return corrupt(filepath.Join(dir, fileName(0, snapSuffix)), 0, "the file is missing, with the state that was imported")
}

// replayLog applies the updates of the i-th log, and reports whether it is the
// newest.
func (l *loader) replayLog(i int) (ended bool, err error) {
	path := l.path(l.list.logs[i], logSuffix)
	f, size, err := openFile(l.fs, path)
	if err != nil {
		return false, err
	}
	defer f.Close()
	if l.owner && l.list.logs[i] >= l.doubtful {
		// If a sync failed before, the cache may show what the disk does not hold.
		if err := f.DropCache(); err != nil && !errors.Is(err, errors.ErrUnsupported) {
			return false, fmt.Errorf("store: %w", err)
		}
		l.toSync = append(l.toSync, path)
	}
	r, err := newLogReader(f, path, l.list.logs[i], size)
	if err != nil {
		return false, err
	}
	defer r.close()
	if err = l.apply(r); errors.Is(err, errStop) {
		l.tail = r
		return true, l.checkEnd(i, r)
	}
	// What may follow the seal was space set aside, and never held anything.
	return false, err
}

// apply applies the updates of r up to the target. A nil error means that the
// target was reached, or the seal.
func (l *loader) apply(r *logReader) error {
	if err := l.sameStore(r.hdr, r.path); err != nil {
		return err
	}
	if r.hdr.kind == importKind && l.report.Snapshot == "" {
		return missingImport(l.dir)
	}
	l.report.Logs++
	for l.report.Index < l.target {
		update, err := r.next()
		if err != nil {
			l.report.Bytes += r.end
			if r.sealed {
				return nil
			}
			return err
		}
		if _, err := l.m.Apply(update); err != nil {
			l.machineError = true
			return fmt.Errorf("store: replaying update %d, at offset %d of %s: Apply refused it, as it had not when the update was made: %w",
				r.index, r.off, r.path, err)
		}
		l.report.Index++
		l.report.Updates++
	}
	return nil
}

// checkEnd makes sure that r, the i-th log, which has no seal, may end where
// it does: that nothing which was acknowledged is missing.
func (l *loader) checkEnd(i int, r *logReader) error {
	for _, index := range l.list.logs[i+1:] {
		path := l.path(index, logSuffix)
		void, err := isVoid(l.fs, path, index)
		switch {
		case errors.Is(err, fs.ErrNotExist) && !l.owner:
			continue // who has the store open gave it up before it came into use
		case err != nil:
			return err
		case !void:
			return corrupt(r.path, r.bad, "%s, where update %d or a seal should be: %s follows this log", r.reason, r.index+1, path)
		case r.index < index:
			return corrupt(r.path, r.bad, "%s, where update %d should be: %s shows that it was durable", r.reason, r.index+1, path)
		}
		l.voids = append(l.voids, path)
	}
	t, err := r.readTail()
	if err != nil {
		return err
	}
	if t.proof >= 0 {
		return corrupt(r.path, r.bad, "%s, where update %d should be: the commit of update %d at offset %d shows that it was durable",
			r.reason, r.index+1, t.first, t.proof)
	}
	if l.report.TornBytes = t.torn; t.torn > 0 {
		l.report.TornPath, l.report.TornOffset, l.report.TornReason = r.path, r.end, r.reason
	}
	return nil
}

// isVoid reports whether nothing was written to a log yet but its header.
func isVoid(fs fsys.FS, path string, index uint64) (bool, error) {
	_, used, err := logUse(fs, path, index)
	return err == nil && !used, err
}

// logUse returns the header of a log, and whether anything was written behind it.
func logUse(fs fsys.FS, path string, index uint64) (h header, used bool, err error) {
	f, size, err := openFile(fs, path)
	if err != nil {
		return h, false, err
	}
	defer f.Close()
	r, err := newLogReader(f, path, index, size)
	if err != nil {
		return h, false, err
	}
	defer r.close()
	used, err = r.touched()
	return r.hdr, used, err
}

// openFile opens a file for reading and returns its size.
func openFile(fs fsys.FS, path string) (fsys.File, int64, error) {
	f, err := fs.Open(path, fsys.ReadOnly, 0)
	if err != nil {
		return nil, 0, fmt.Errorf("store: %w", err)
	}
	info, err := f.Stat()
	if err != nil {
		return nil, 0, errors.Join(fmt.Errorf("store: %w", err), f.Close())
	}
	return f, info.Size, nil
}
