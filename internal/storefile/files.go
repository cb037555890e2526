package storefile

import (
	"errors"
	"fmt"
	"path/filepath"

	"github.com/stateio/stateio/internal/fsys"
)

// IsVoid reports whether nothing was written to a log yet but its header.
func IsVoid(fs fsys.FS, path string, index uint64) (bool, error) {
	_, used, err := LogUse(fs, path, index)
	return err == nil && !used, err
}

// LogUse returns the header of a log, and whether anything was written after it.
func LogUse(fs fsys.FS, path string, index uint64) (h Header, used bool, err error) {
	f, size, err := Open(fs, path)
	if err != nil {
		return h, false, err
	}
	defer f.Close()
	r, err := NewLogReader(f, path, index, size)
	if err != nil {
		return h, false, err
	}
	defer r.Close()
	used, err = r.touched()
	return r.Header, used, err
}

// Open opens a file for reading and returns its size.
func Open(fs fsys.FS, path string) (fsys.File, int64, error) {
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

// ReadHeader reads the header of the file at path, which by its name is of that kind and
// base, and returns the size of the file.
func ReadHeader(fsy fsys.FS, path string, base uint64, k Kind) (Header, int64, error) {
	f, size, err := Open(fsy, path)
	if err != nil {
		return Header{}, 0, err
	}
	defer f.Close()
	e := newEntries(f, path, 0, min(size, headerBound))
	defer e.Close()
	h, err := readHeader(e, k, base)
	return h, size, err
}

// SealedEmpty returns the error that says that a log leads to itself.
func SealedEmpty(path string) error { return Corrupt(path, 0, "a log without updates is sealed") }

// MissingLog returns the error that says that the log after index is not there.
func MissingLog(path string, index uint64) error {
	return Corrupt(path, 0, "the file is missing, with the updates after %d", index)
}

// MissingImport returns the error that says that an imported state is not there.
func MissingImport(dir string) error {
	return Corrupt(filepath.Join(dir, FileName(0, SnapSuffix)), 0, "the file is missing, with the state that was imported")
}

// Size returns the size of an open file, in bytes.
func Size(f fsys.File) (int64, error) {
	info, err := f.Stat()
	if err != nil {
		return 0, fmt.Errorf("store: %w", err)
	}
	return info.Size, nil
}

// CheckVersion makes sure that the newest file of a store is of a version that
// this package knows.
func CheckVersion(fsy fsys.FS, dir string, l *Listing) error {
	name, k := "", LogKind
	if len(l.Logs) > 0 {
		name = FileName(l.Logs[len(l.Logs)-1], LogSuffix)
	} else {
		name, k = FileName(l.Snaps[len(l.Snaps)-1], SnapSuffix), SnapKind
	}
	if _, _, err := ReadHeader(fsy, filepath.Join(dir, name), 0, k); errors.Is(err, ErrVersion) {
		return err
	}
	return nil // what else is wrong is found, and told better, later
}
