package storefile

import (
	"errors"
	"fmt"

	"github.com/stateio/stateio/internal/fsys"
)

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

// Size returns the size of an open file, in bytes.
func Size(f fsys.File) (int64, error) {
	info, err := f.Stat()
	if err != nil {
		return 0, fmt.Errorf("store: %w", err)
	}
	return info.Size, nil
}
