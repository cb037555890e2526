//go:build !unix && !windows

package fsys

import (
	"errors"
	"io/fs"
	"os"
)

// watchSystem is empty: package os has all that these systems tell.
type watchSystem struct{}

func (*Watch) begin(*os.File) error { return nil }

func (w *Watch) setName(name string) { w.name = name }

// Size returns an error unless the file has size bytes.
func (w *Watch) Size(size int64) error {
	_, err := w.sized(size)
	return err
}

// sized is Size, and returns what it saw.
func (w *Watch) sized(size int64) (fs.FileInfo, error) {
	info, err := StatFile(w.file)
	if err != nil {
		return nil, err
	}
	return info, checkSize(info.Size(), size)
}

// Check is Size, and that the file's name, if it is watched, leads to it. That
// the name can't be looked at is no evidence against it.
func (w *Watch) Check(size int64) error {
	info, err := w.sized(size)
	if err != nil || w.name == "" {
		return err
	}
	switch at, err := os.Stat(w.name); {
	case errors.Is(err, fs.ErrNotExist):
		return taken("it was moved: nothing is at %s any more: %w", w.name, fs.ErrNotExist)
	case err == nil && !os.SameFile(info, at):
		return taken("another file is at %s now: %w", w.name, fs.ErrNotExist)
	}
	return nil
}
