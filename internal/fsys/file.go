package fsys

import (
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
)

// What follows is for an open *os.File, which is what a state file comes as.

// LockFile takes the exclusive advisory lock of f without waiting, or returns
// ErrLocked if it was opened again elsewhere and is locked there. Locking f once
// more succeeds. The lock goes when f is closed, or its process ends in any way. On
// Windows, locking f once more gives the lock up for a moment, in which another
// process may take it; ErrLocked says that one did. errors.ErrUnsupported says that
// the platform (see [CanLock]) or the file system has no such locks, or that a
// sandbox forbids them.
func LockFile(f *os.File) error { return control(f, lockAgain) }

// DataEnd returns an offset of f, at most limit, after which there is nothing
// but a hole up to limit. It is limit itself where holes can't be seen. The
// file's position is left alone.
func DataEnd(f *os.File, limit int64) int64 { return dataEnd(f, limit) }

// Describe returns the name of r, which is empty if it has none, and where its data ends
// before limit: see [DataEnd].
func Describe(r io.ReaderAt, limit int64) (name string, end int64) {
	if named, ok := r.(interface{ Name() string }); ok {
		name = named.Name()
	}
	if f, ok := r.(*os.File); ok && limit > 0 {
		return name, DataEnd(f, limit)
	}
	return name, limit
}

// Punch gives the space of the first n bytes of f back to the file system; they
// read as zeros from then on. It returns errors.ErrUnsupported where that can't
// be done.
func Punch(f *os.File, n int64) error {
	return control(f, func(fd uintptr) error { return optional(punch(fd, n)) })
}

// StatFile is Stat of package os, which Windows answers about a closed file with an error
// of its own. Here it is [fs.ErrClosed] everywhere.
func StatFile(f *os.File) (fs.FileInfo, error) {
	info, err := f.Stat()
	if err != nil && control(f, func(uintptr) error { return nil }) != nil {
		err = &fs.PathError{Op: "stat", Path: f.Name(), Err: fs.ErrClosed}
	}
	return info, err
}

// Allocated returns how many bytes of storage f takes up.
func Allocated(f *os.File) (int64, error) { return allocated(f) }

// Forget drops the clean pages of f from offset off on from the page cache,
// where the platform can, so that they are read from storage again. After a
// failed write-back, Linux keeps pages in memory as if they had been written
// (https://lwn.net/Articles/752063/); this is how to see what was.
func Forget(f *os.File, off int64) {
	off -= off % int64(os.Getpagesize())
	_ = control(f, func(fd uintptr) error { return dropCache(fd, off) }) // it is advice
}

// SyncFileName makes the name of the file at path durable in its directory, as [FS.SyncDir]
// does for all names. A directory that may not be opened is no obstacle: then the whole file
// system is synced, on Linux, unless that is forbidden, too.
func SyncFileName(path string) error {
	dir := filepath.Dir(path)
	err := syncDir(dir)
	if errors.Is(err, fs.ErrPermission) {
		err = syncAround(path)
	}
	if err = optional(err); err != nil && !errors.Is(err, errors.ErrUnsupported) {
		return &fs.PathError{Op: "syncdir", Path: dir, Err: NoSpace(err)}
	}
	return nil
}

// control calls op with the file descriptor of f, again while it is interrupted.
func control(f *os.File, op func(fd uintptr) error) error {
	conn, err := f.SyscallConn()
	if err != nil {
		return err
	}
	var opErr error
	if err := conn.Control(func(fd uintptr) { opErr = retry(func() error { return op(fd) }) }); err != nil {
		return fs.ErrClosed // there is no other reason
	}
	return opErr
}
