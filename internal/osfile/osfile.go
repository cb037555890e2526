// Package osfile holds what a state file needs of an open *os.File beyond
// package os: an advisory lock, holes, and control over the page cache.
package osfile

import (
	"errors"
	"os"
	"path/filepath"
)

// ErrLocked reports that another open file holds the lock.
var ErrLocked = errors.New("locked")

// Lock takes an exclusive advisory lock on f without waiting, or returns
// ErrLocked if it was opened again elsewhere and is locked there. Locking f
// once more succeeds. The lock goes when f is closed, or its process ends in
// any way. On platforms without such locks it does nothing.
func Lock(f *os.File) error { return lock(f) }

// DataEnd returns an offset of f, at most limit, behind which there is nothing
// but a hole up to limit. It is limit itself where holes can't be seen. The
// file's position is left alone.
func DataEnd(f *os.File, limit int64) int64 { return dataEnd(f, limit) }

// Punch gives the space of the first n bytes of f back to the file system; they
// read as zeros from then on. It returns errors.ErrUnsupported where that can't
// be done.
func Punch(f *os.File, n int64) error { return punch(f, n) }

// Allocated returns how many bytes of storage f takes up.
func Allocated(f *os.File) (int64, error) { return allocated(f) }

// Forget drops the clean pages of f from offset off on from the page cache,
// where the platform can, so that they are read from storage again. After a
// failed write-back, Linux keeps pages in memory as if they had been written
// (https://lwn.net/Articles/752063/); this is how to see what was.
func Forget(f *os.File, off int64) { forget(f, off) }

// Removed reports whether f has no name any more: it was removed, or another file
// renamed to its name, since it was opened. Where that can't be known (all but
// Unix) it is false.
func Removed(f *os.File) (bool, error) { return removed(f) }

// SyncDir makes the name of f durable in its directory, where the platform has
// a way to.
func SyncDir(f *os.File) error {
	if !canSyncDir {
		return nil
	}
	dir, err := os.Open(filepath.Dir(f.Name()))
	if err != nil {
		return err
	}
	err = dir.Sync()
	if cerr := dir.Close(); err == nil {
		err = cerr
	}
	return err
}

// control calls op with the file descriptor of f, again while it is interrupted.
func control(f *os.File, op func(fd uintptr) error) error {
	conn, err := f.SyscallConn()
	if err != nil {
		return err
	}
	var opErr error
	if err := conn.Control(func(fd uintptr) { opErr = retry(func() error { return op(fd) }) }); err != nil {
		return err
	}
	return opErr
}
