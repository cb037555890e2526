//go:build !unix

package fsys

import (
	"errors"
	"io/fs"
	"sync/atomic"
)

// Hold implements [FS]. There is nothing to be held.
func (fsys OS) Hold(dir string) (Held, error) {
	if err := syncDir(dir); err != nil { // which only looks
		return nil, &fs.PathError{Op: "hold", Path: dir, Err: err}
	}
	return &osHeld{dir: dir}, nil
}

// osHeld is a directory by its name.
type osHeld struct {
	OS
	dir    string
	closed atomic.Bool
}

// LockDir implements [Held].
func (h *osHeld) LockDir() error {
	return &fs.PathError{Op: "lock", Path: h.dir, Err: errors.ErrUnsupported}
}

// Moved implements [Held].
func (h *osHeld) Moved() (bool, error) { return false, nil }

// Close implements [Held].
func (h *osHeld) Close() error {
	if h.closed.Swap(true) {
		return &fs.PathError{Op: "close", Path: h.dir, Err: fs.ErrClosed}
	}
	return nil
}
