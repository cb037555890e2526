// Package osfile holds what a state file needs of an open *os.File beyond
// package os: an advisory lock, holes, and control over the page cache.
package osfile

import (
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
)

// ErrLocked reports that another open file holds the lock.
var ErrLocked = errors.New("locked")

// Lock takes an exclusive advisory lock on f without waiting, or returns
// ErrLocked if it was opened again elsewhere and is locked there. Locking f
// once more succeeds. The lock goes when f is closed, or its process ends in
// any way. On platforms without such locks it does nothing; where a file system
// has none, or a sandbox forbids them, that is an error, because a second writer
// would not be kept out.
func Lock(f *os.File) error { return lock(f) }

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
func Punch(f *os.File, n int64) error { return punch(f, n) }

// Stat is that of package os, which Windows answers about a closed file with an error
// of its own. Here it is [fs.ErrClosed] everywhere.
func Stat(f *os.File) (fs.FileInfo, error) {
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
func Forget(f *os.File, off int64) { forget(f, off) }

// SyncDir makes the name at path durable in its directory, where the platform has
// a way to. A directory that may not be opened for reading is no obstacle: then
// the whole file system is synced, on Linux. Nor is a file system that has no sync
// of directories, or can't be written to.
func SyncDir(path string) error {
	if !canSyncDir {
		return nil
	}
	dir, err := os.Open(filepath.Dir(path))
	if errors.Is(err, fs.ErrPermission) {
		return syncAll(path)
	}
	if err != nil {
		return err
	}
	err = dir.Sync()
	if noDirSync(err) {
		err = nil
	}
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
