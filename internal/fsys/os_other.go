//go:build !unix && !windows

package fsys

import (
	"errors"
	"io/fs"
	"os"
	"syscall"
)

// These systems (Plan 9, and WebAssembly with or without JavaScript) have what
// package os has: no locks, no sync of a directory, and no call that acts on an open
// directory. What is at a path may change between a look at it and the next call.

// A spot is where a path leads.
type spot struct{ path string }

func named(path string) spot { return spot{path} }

func openFile(at spot, mode Mode, perm fs.FileMode) (*os.File, error) {
	switch mode {
	case Create:
		return openRegular(at.path, os.O_RDWR|os.O_CREATE|os.O_EXCL, perm)
	case ReadWrite:
		return openRegular(at.path, os.O_RDWR, 0)
	}
	return openRegular(at.path, os.O_RDONLY, 0)
}

func openLock(at spot, perm fs.FileMode) (*os.File, error) {
	return openRegular(at.path, os.O_RDWR|os.O_CREATE, perm)
}

// openRegular makes sure that it got a regular file.
func openRegular(path string, flag int, perm fs.FileMode) (*os.File, error) {
	f, err := os.OpenFile(path, flag, perm.Perm())
	if err != nil {
		return nil, err
	}
	fi, err := f.Stat()
	if err == nil {
		err = regular(path, fi.Mode())
	}
	if err != nil {
		_ = f.Close() // never written to
		return nil, err
	}
	return f, nil
}

// lockLog is lockFile for a file that others are to read meanwhile.
func lockLog(fd uintptr) error { return lockFile(fd) }

func unlockLog(fd uintptr) { unlockFile(fd) }

func rename(from, to spot) error { return cause(os.Rename(from.path, to.path)) }

// unlink looks first, for os.Remove takes directories too.
func unlink(at spot) error {
	info, err := lstat(at)
	if err != nil {
		return err
	}
	if info.Mode.IsDir() {
		return syscall.EISDIR
	}
	return cause(os.Remove(at.path))
}

// rmdir looks first, for os.Remove takes files too.
func rmdir(path string) error {
	info, err := lstat(named(path))
	if err != nil {
		return err
	}
	if !info.Mode.IsDir() {
		return syscall.ENOTDIR
	}
	return cause(os.Remove(path))
}

// syncDir only looks.
func syncDir(dir string) error {
	fi, err := os.Stat(dir)
	if err != nil {
		return cause(err)
	}
	if !fi.IsDir() {
		return syscall.ENOTDIR
	}
	return nil
}

func syncAbove(parent string) error { return syncDir(parent) }

// syncAround has nothing to do, as syncDir has not.
func syncAround(string) error { return nil }

func stat(f *os.File, _ uintptr) (Info, error) { return infoOf(f.Stat()) }

func lstat(at spot) (Info, error) { return infoOf(os.Lstat(at.path)) }

// infoOf takes what package os says, which has neither the links nor the identity.
func infoOf(fi fs.FileInfo, err error) (Info, error) {
	if err != nil {
		return Info{}, cause(err)
	}
	return Info{Mode: fi.Mode(), Size: fi.Size(), Links: 1}, nil
}

// cause is the error of the system in one of package os.
func cause(err error) error {
	if inner := errors.Unwrap(err); inner != nil {
		return inner
	}
	return err
}

// isRefused tells the errors that say that a system call can't be made.
func isRefused(err error) bool { return errors.Is(err, errors.ErrUnsupported) }

// retry calls what nothing interrupts here.
func retry(call func() error) error { return call() }

// Datasync is a full sync: there is no other.
func (f *osFile) Datasync() error { return f.Sync() }

func preallocate(uintptr, int64, int64) error { return errors.ErrUnsupported }

func dropCache(uintptr, int64) error { return errors.ErrUnsupported }

func free(string) (int64, error) { return 0, errors.ErrUnsupported }

var unreadable = []error{syscall.EIO}
