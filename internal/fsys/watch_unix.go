//go:build unix

package fsys

import (
	"errors"
	"io/fs"
	"os"
	"syscall"

	"golang.org/x/sys/unix"
)

// watchSystem is what a Watch needs on Unix. Everything is prepared, so that
// looking allocates nothing.
type watchSystem struct {
	conn   syscall.RawConn
	look   func(fd uintptr) // fills info and err
	info   Info
	err    error
	linked bool // the file had a name of some kind when the watch began
	path   pathID
}

func (w *Watch) begin(f *os.File) (err error) {
	if w.conn, err = f.SyscallConn(); err != nil {
		return err
	}
	w.look = func(fd uintptr) { w.info, w.err = stat(f, fd) }
	if err := w.stat(); err != nil {
		return err
	}
	w.linked = w.info.Links > 0
	return nil
}

func (w *Watch) setName(name string) {
	w.name = name
	w.path = newPathID(name)
}

// stat looks at the open file.
func (w *Watch) stat() error {
	if err := w.conn.Control(w.look); err != nil {
		return fs.ErrClosed // there is no other reason
	}
	return w.err
}

// Size returns an error unless the file has size bytes and, if it ever had a
// name, still has one. It makes one system call.
func (w *Watch) Size(size int64) error {
	switch err := w.stat(); {
	case err != nil:
		return err
	case w.linked && w.info.Links == 0:
		return taken("it was removed: %w", fs.ErrNotExist)
	}
	return checkSize(w.info.Size, size)
}

// Check is Size, and that the file's name, if it is watched, leads to it. That
// the name can't be looked at is no evidence against it. It makes two system
// calls.
func (w *Watch) Check(size int64) error {
	if err := w.Size(size); err != nil || w.name == "" {
		return err
	}
	id, err := w.path.look()
	switch {
	case errors.Is(err, unix.ENOENT), errors.Is(err, unix.ENOTDIR):
		return taken("it was moved: nothing is at %s any more: %w", w.name, fs.ErrNotExist)
	case err == nil && id != w.info.ID:
		return taken("another file is at %s now: %w", w.name, fs.ErrNotExist)
	}
	return nil
}
