package fsys

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

// ErrTaken reports that a file is no longer what its writer takes it for: it was
// removed, moved, replaced, cut or written to by others.
var ErrTaken = errors.New("the file was taken away")

// A Watch tells whether an open file is still there, under its name, with the
// bytes that were written to it. It is not safe for concurrent use.
type Watch struct {
	file *os.File
	name string // absolute; empty: no name leads to the file
	watchSystem
}

// NewWatch watches f. The name that counts is f.Name(), as of now. If it leads
// nowhere, or to what is no regular file, then f has no name to be watched: it was
// unlinked on purpose, never had one, or came as a descriptor. If it leads to
// another regular file, f was replaced since it was opened: that is ErrTaken.
func NewWatch(f *os.File) (*Watch, error) {
	w := &Watch{file: f}
	if err := w.begin(f); err != nil {
		return nil, err
	}
	opened, err := StatFile(f)
	if err != nil {
		return nil, err
	}
	named, err := os.Stat(f.Name())
	switch {
	case err != nil:
		return w, nil // nobody can look there: not now, and not later
	case os.SameFile(opened, named):
		// The working directory may be another one later.
		if name, err := filepath.Abs(f.Name()); err == nil {
			w.setName(name)
		}
		return w, nil
	case named.Mode().IsRegular():
		return nil, taken("the name leads to another file than the one that was opened: open it anew: %w", fs.ErrNotExist)
	}
	return w, nil
}

// Named reports whether the file's name leads to it, and is watched.
func (w *Watch) Named() bool { return w.name != "" }

// takenError is ErrTaken, and says what became of the file.
type takenError struct{ error }

func (takenError) Is(target error) bool { return target == ErrTaken }

func (e takenError) Unwrap() error { return errors.Unwrap(e.error) }

func taken(format string, args ...any) error { return takenError{fmt.Errorf(format, args...)} }

// checkSize returns the error for a file that has size bytes, and should have want.
func checkSize(size, want int64) error {
	switch {
	case size < want:
		return taken("it was cut from %d bytes to %d", want, size)
	case size > want:
		return taken("it has %d bytes, and %d were written: somebody else writes to it, too", size, want)
	}
	return nil
}
