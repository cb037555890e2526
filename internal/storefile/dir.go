package storefile

import (
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"slices"

	"github.com/stateio/stateio/internal/fsys"
)

// A Dir is the directory of a store, for all that read it: it knows the names of the
// files, opens them, and tells which logs are in use.
type Dir struct {
	FS   fsys.FS
	Path string
}

// Log returns the path of the log after update base.
func (d Dir) Log(base uint64) string { return filepath.Join(d.Path, FileName(base, LogSuffix)) }

// Snap returns the path of the snapshot of update index.
func (d Dir) Snap(index uint64) string { return filepath.Join(d.Path, FileName(index, SnapSuffix)) }

// OpenLog opens the log after update base, and reads its header. limit returns how many
// bytes of the file may be read; if it is nil, all of them may.
func (d Dir) OpenLog(base uint64, limit func(fsys.File) (int64, error)) (*LogReader, error) {
	path := d.Log(base)
	f, allowed, err := Open(d.FS, path)
	if err != nil {
		return nil, err
	}
	if limit != nil {
		allowed, err = limit(f)
	}
	var r *LogReader
	if err == nil {
		r, err = NewLogReader(f, path, base, allowed)
	}
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	r.file = f
	return r, nil
}

// OpenSnap opens the snapshot of update index, and reads its header.
func (d Dir) OpenSnap(index uint64) (*SnapReader, error) {
	path := d.Snap(index)
	f, size, err := Open(d.FS, path)
	if err != nil {
		return nil, err
	}
	r, err := NewSnapReader(f, path, index, size)
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	r.file = f
	return r, nil
}

// LogHeader reads the header of the log after update base, and returns the size of the
// file.
func (d Dir) LogHeader(base uint64) (Header, int64, error) {
	return ReadHeader(d.FS, d.Log(base), base, LogKind)
}

// SnapHeader reads the header of the snapshot of update index, and returns the size of
// the file.
func (d Dir) SnapHeader(index uint64) (Header, int64, error) {
	return ReadHeader(d.FS, d.Snap(index), index, SnapKind)
}

// LogSizes returns how large the logs after these updates are, in bytes. One that can't be
// looked at has no size, and the first error says why: that it is gone is none, since reading
// it says so.
func (d Dir) LogSizes(bases []uint64) ([]int64, error) { return d.sizes(d.Log, bases) }

// SnapSizes is LogSizes for the snapshots of these updates.
func (d Dir) SnapSizes(indexes []uint64) ([]int64, error) { return d.sizes(d.Snap, indexes) }

func (d Dir) sizes(path func(index uint64) string, indexes []uint64) (sizes []int64, first error) {
	for _, index := range indexes {
		info, err := d.FS.Stat(path(index))
		if err != nil {
			info.Size = 0
		}
		if err != nil && first == nil && !errors.Is(err, fs.ErrNotExist) {
			first = fmt.Errorf("store: %w", err)
		}
		sizes = append(sizes, info.Size)
	}
	return sizes, first
}

// LogUse returns the header of the log after update base, and whether anything was written
// after it: a log without that may never have come into use.
func (d Dir) LogUse(base uint64) (h Header, used bool, err error) {
	r, err := d.OpenLog(base, nil)
	if err != nil {
		return h, false, err
	}
	defer r.Close()
	used, err = r.touched()
	return r.Header, used, err
}

// Void reports whether nothing was written to the log after update base but its header.
func (d Dir) Void(base uint64) (bool, error) {
	_, used, err := d.LogUse(base)
	return err == nil && !used, err
}

// Unpassed returns an error if one of the logs that are to follow one which ends with update last
// begins before that, and came into use: it is of another history, and would be passed over.
func (d Dir) Unpassed(logs []uint64, last uint64) error {
	for _, base := range logs {
		if base >= last {
			return nil
		}
		void, err := d.Void(base)
		if err == nil && !void {
			err = Corrupt(d.Log(base), 0, "the log before it ends with update %d, and none has begun in between: somebody has put it there", last)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// VoidOrGone is Void, for a reader that does not keep others from changing the directory: a
// log that is gone was given up before it came into use.
func (d Dir) VoidOrGone(base uint64) (bool, error) {
	void, err := d.Void(base)
	if errors.Is(err, fs.ErrNotExist) {
		return true, nil
	}
	return void, err
}

// Chained returns an error unless each snapshot of l up to index last is followed by a log:
// a snapshot begins with a new one, and is dropped before that is.
func (d Dir) Chained(l *Listing, last uint64) error {
	for _, index := range l.Snaps {
		if _, there := slices.BinarySearch(l.Logs, index); there || index > last {
			continue
		}
		// While the store is open, a listing may miss what comes and goes meanwhile.
		_, err := d.FS.Stat(d.Log(index))
		if errors.Is(err, fs.ErrNotExist) {
			if _, err = d.FS.Stat(d.Snap(index)); err == nil {
				return d.MissingLog(index)
			}
		}
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("store: %w", err)
		}
	}
	return nil
}

// OneStore returns an error if logs of l up to index last belong to different stores: those of
// one were copied to the other, and nobody knows which was meant. Other damage is found, and
// told better, where a log is read.
func (d Dir) OneStore(l *Listing, last uint64) error {
	var first Header
	known := false
	for _, base := range l.Logs {
		if base > last {
			break
		}
		h, _, err := d.LogHeader(base)
		switch {
		case noDamage(err) != nil && !errors.Is(err, ErrVersion) && !fsys.Unreadable(err):
			return err
		case err != nil:
		case known && h.Store != first.Store:
			return Corrupt(d.Log(base), 0, "it belongs to another store than %s: files of two stores are in the directory; move those of one of them elsewhere", d.Log(first.Base))
		default:
			first, known = h, true
		}
	}
	return nil
}

// MissingLog returns the error that says that the log after update base is not there.
func (d Dir) MissingLog(base uint64) error {
	return Corrupt(d.Log(base), 0, "the file is missing, and with it the updates after %d", base)
}

// HasBeginning returns an error if nothing gives the state before the oldest log of l: no
// snapshot does, and it is not the initial one, or no update has made that. A store drops the
// logs before a snapshot, so one is missing then.
func (d Dir) HasBeginning(l *Listing) error {
	for len(l.Logs) > 0 && l.Logs[0] > 0 {
		if len(l.Snaps) > 0 {
			return nil // what is before that was dropped
		}
		// While the store is open, a listing may miss what comes and goes meanwhile.
		now, err := d.List()
		switch {
		case err != nil:
			return err
		case now.Same(l):
			return d.MissingLog(0)
		}
		l = now
	}
	if len(l.Logs) == 0 {
		return nil
	}
	h, _, err := d.LogHeader(0)
	switch {
	case err == nil && h.Kind == ImportKind:
		return d.MissingImport()
	case errors.Is(err, ErrCorrupt) || errors.Is(err, fs.ErrNotExist):
		return nil // reading it says so
	}
	return err
}

// MissingImport returns the error that says that an imported state is not there.
func (d Dir) MissingImport() error {
	return Corrupt(d.Snap(0), 0, "the file is missing, with the state that was imported")
}

// CheckVersion makes sure that the newest file of l is of a version that this package
// knows.
func (d Dir) CheckVersion(l *Listing) error {
	path, k := "", LogKind
	if len(l.Logs) > 0 {
		path = d.Log(l.Logs[len(l.Logs)-1])
	} else {
		path, k = d.Snap(l.Snaps[len(l.Snaps)-1]), SnapKind
	}
	if _, _, err := ReadHeader(d.FS, path, 0, k); errors.Is(err, ErrVersion) {
		return err
	}
	return nil // what else is wrong is found, and told better, later
}
