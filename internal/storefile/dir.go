package storefile

import (
	"errors"
	"io/fs"
	"path/filepath"

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

// VoidOrGone is Void, for a reader that does not keep others from changing the directory: a
// log that is gone was given up before it came into use.
func (d Dir) VoidOrGone(base uint64) (bool, error) {
	void, err := d.Void(base)
	if errors.Is(err, fs.ErrNotExist) {
		return true, nil
	}
	return void, err
}

// MissingLog returns the error that says that the log after update base is not there.
func (d Dir) MissingLog(base uint64) error {
	return Corrupt(d.Log(base), 0, "the file is missing, with the updates after %d", base)
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
