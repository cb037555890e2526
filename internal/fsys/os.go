package fsys

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// OS is the file system of the operating system.
type OS struct{}

// Open implements [FS].
func (OS) Open(path string, mode Mode, perm fs.FileMode) (File, error) {
	return openAt(named(path), mode, perm)
}

func openAt(at spot, mode Mode, perm fs.FileMode) (File, error) {
	switch mode {
	case Create:
	case ReadOnly, ReadWrite:
		// A look before the leap: opening a device can have effects (a tape
		// rewinds), so the common mistake is caught without opening anything.
		// openFile checks what was really opened.
		if err := checkRegular(at); err != nil {
			return nil, err
		}
	default:
		return nil, &fs.PathError{Op: "open", Path: at.path, Err: fmt.Errorf("%w: mode %d", fs.ErrInvalid, mode)}
	}
	f, err := openFile(at, mode, perm)
	if err != nil {
		return nil, mark(err)
	}
	return newOSFile(f), nil
}

// Lock implements [FS].
func (OS) Lock(path string, perm fs.FileMode) (io.Closer, error) { return lockAt(named(path), perm) }

func lockAt(at spot, perm fs.FileMode) (io.Closer, error) {
	if err := checkRegular(at); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	f, err := openLock(at, perm)
	if err != nil {
		return nil, mark(err)
	}
	if err := lockFile(f.Fd()); err != nil {
		_ = f.Close() // nothing was written; the lock's error is the one that counts
		return nil, &fs.PathError{Op: "lock", Path: at.path, Err: err}
	}
	return osLock{f}, nil
}

// osLock is a lock file that holds its lock.
type osLock struct{ f *os.File }

// Close unlocks first, for closing alone may come late: a child between fork and
// exec still has the descriptor, and Windows unlocks when it finds the time.
func (l osLock) Close() error {
	unlockFile(l.f.Fd()) // if that failed, or l was closed before, Close says so
	return mark(l.f.Close())
}

// Mkdir implements [FS].
func (OS) Mkdir(path string, perm fs.FileMode) error { return mark(os.Mkdir(path, perm)) }

// Rename implements [FS].
func (OS) Rename(oldpath, newpath string) error { return renameAt(named(oldpath), named(newpath)) }

func renameAt(from, to spot) error {
	if err := rename(from, to); err != nil {
		return &os.LinkError{Op: "rename", Old: from.path, New: to.path, Err: NoSpace(err)}
	}
	return nil
}

// Remove implements [FS].
func (OS) Remove(path string) error { return removeAt(named(path)) }

func removeAt(at spot) error {
	if err := unlink(at); err != nil {
		return &fs.PathError{Op: "remove", Path: at.path, Err: err}
	}
	return nil
}

// RemoveDir implements [FS].
func (OS) RemoveDir(path string) error {
	if err := rmdir(path); err != nil {
		return &fs.PathError{Op: "rmdir", Path: path, Err: err}
	}
	return nil
}

// Stat implements [FS].
func (OS) Stat(path string) (Info, error) { return statAt(named(path), "stat") }

func statAt(at spot, op string) (Info, error) {
	info, err := lstat(at)
	if err != nil {
		return Info{}, &fs.PathError{Op: op, Path: at.path, Err: err}
	}
	return info, nil
}

// ModTime implements [FS].
func (OS) ModTime(path string) (time.Time, error) {
	info, err := os.Lstat(path)
	if err != nil {
		return time.Time{}, err
	}
	return info.ModTime(), nil
}

// Now implements [FS].
func (OS) Now() time.Time { return time.Now() }

// List implements [FS].
func (OS) List(dir string) ([]Entry, error) {
	des, err := os.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	entries := make([]Entry, len(des))
	for i, de := range des {
		entries[i] = Entry{Name: de.Name(), Type: de.Type()}
	}
	return entries, nil
}

// SyncDir implements [FS].
func (OS) SyncDir(dir string) error {
	if err := syncDir(dir); err != nil {
		return &fs.PathError{Op: "syncdir", Path: dir, Err: NoSpace(err)}
	}
	return nil
}

// Free implements [FS].
func (OS) Free(dir string) (int64, error) {
	n, err := free(dir)
	if err != nil && !errors.Is(err, errors.ErrUnsupported) {
		return 0, &fs.PathError{Op: "free", Path: dir, Err: err}
	}
	return n, err
}

// SyncName implements [FS].
func (OS) SyncName(dir string) error {
	parent := Parent(dir)
	err := syncAbove(parent)
	if errors.Is(err, fs.ErrPermission) {
		err = syncAround(dir)
	}
	if err != nil {
		return &fs.PathError{Op: "syncdir", Path: parent, Err: NoSpace(err)}
	}
	return nil
}

// Parent returns the directory that holds the name of a directory, which is not "." for ".".
func Parent(dir string) string { return filepath.Join(dir, "..") }

// osFile is an open file. What package os has no method for works on fd, which
// stays valid while mu is held and closed is false.
type osFile struct {
	f    *os.File
	path atomic.Pointer[string] // where it is now

	mu     sync.RWMutex // guards fd against Close; held shared by system calls on fd
	fd     uintptr
	locked atomic.Bool
	closed bool
}

func newOSFile(f *os.File) *osFile {
	path := f.Name()
	o := &osFile{f: f, fd: f.Fd()}
	o.path.Store(&path)
	return o
}

// onFD runs a system call on the descriptor. op is for the error. It does not
// allocate unless the call fails.
func (f *osFile) onFD(op string, call func(fd uintptr) error) error {
	f.mu.RLock()
	defer f.mu.RUnlock()
	err := fs.ErrClosed
	if !f.closed {
		err = call(f.fd)
	}
	if err != nil {
		return &fs.PathError{Op: op, Path: *f.path.Load(), Err: NoSpace(err)}
	}
	return nil
}

// here is mark for an error of f, which has the path that f was opened with.
func (f *osFile) here(err error) error {
	if err == nil || err == io.EOF {
		return err // before pe, which is allocated
	}
	var pe *fs.PathError
	if errors.As(err, &pe) {
		pe.Err, pe.Path = NoSpace(pe.Err), *f.path.Load()
	}
	return err
}

func (f *osFile) ReadAt(p []byte, off int64) (int, error) {
	n, err := f.f.ReadAt(p, off)
	return n, f.here(err)
}

func (f *osFile) WriteAt(p []byte, off int64) (int, error) {
	n, err := f.f.WriteAt(p, off)
	return n, f.here(err)
}

func (f *osFile) Sync() error { return f.here(f.f.Sync()) }

func (f *osFile) Truncate(size int64) error { return f.here(f.f.Truncate(size)) }

func (f *osFile) DropCache() error {
	return f.onFD("dropcache", func(fd uintptr) error { return optional(dropCache(fd, 0)) })
}

func (f *osFile) Preallocate(off, n int64) error {
	return f.onFD("preallocate", func(fd uintptr) error {
		if off < 0 || n <= 0 || off+n < 0 {
			return fmt.Errorf("%w: %d bytes at %d", fs.ErrInvalid, n, off)
		}
		// Of a file that must not grow at all, the write in its place will tell.
		return optional(preallocate(fd, off, n))
	})
}

func (f *osFile) Stat() (Info, error) {
	var info Info
	err := f.onFD("stat", func(fd uintptr) (err error) {
		info, err = stat(f.f, fd)
		return err
	})
	return info, err
}

func (f *osFile) Lock() error {
	return f.onFD("lock", func(fd uintptr) error {
		if f.locked.Load() {
			return nil // Windows would refuse it
		}
		err := lockLog(fd)
		if err == nil {
			f.locked.Store(true)
		}
		return err
	})
}

func (f *osFile) Renamed(path string) { f.path.Store(&path) }

// Close unlocks first, as that of an osLock does.
func (f *osFile) Close() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.locked.Swap(false) {
		unlockLog(f.fd)
	}
	f.closed = true
	return f.here(f.f.Close())
}

// checkRegular reports what is wrong with what is at a spot as a file to open.
func checkRegular(at spot) error {
	info, err := statAt(at, "open")
	if err != nil {
		return err
	}
	return regular(at.path, info.Mode)
}

// regular returns ErrNotRegular, saying what there is instead, unless mode is
// that of a regular file.
func regular(path string, mode fs.FileMode) error {
	if mode.IsRegular() {
		return nil
	}
	return &fs.PathError{Op: "open", Path: path, Err: fmt.Errorf("%w but %s", ErrNotRegular, TypeName(mode))}
}

// TypeName names the type of a file for an error message.
func TypeName(mode fs.FileMode) string {
	switch {
	case mode&fs.ModeDir != 0:
		return "a directory"
	case mode&fs.ModeSymlink != 0:
		return "a symbolic link"
	case mode&fs.ModeNamedPipe != 0:
		return "a FIFO"
	case mode&fs.ModeSocket != 0:
		return "a socket"
	case mode&fs.ModeDevice != 0:
		return "a device"
	}
	return "something else"
}

// Unreadable reports whether err says that the disk does not give back what a file
// holds, and would not if it were asked again: not that something was short, refused
// or interrupted.
func Unreadable(err error) bool {
	return slices.ContainsFunc(unreadable, func(e error) bool { return errors.Is(err, e) })
}

// mark makes errors.Is(err, ErrNoSpace) work on an error of package os. It
// returns any other err, and nil, as it is.
func mark(err error) error {
	if err == nil {
		return nil // before pe, which is allocated
	}
	var pe *fs.PathError
	if errors.As(err, &pe) {
		pe.Err = NoSpace(pe.Err)
	}
	return err
}

// NoSpace makes an ErrNoSpace of the kernel's ways of saying so, and returns any other
// err as it is.
func NoSpace(err error) error {
	if isNoSpace(err) && !errors.Is(err, ErrNoSpace) {
		return noSpaceError{err}
	}
	return err
}

// noSpaceError is an ErrNoSpace that shows the error it comes from.
type noSpaceError struct{ cause error }

func (e noSpaceError) Error() string { return e.cause.Error() }
func (e noSpaceError) Is(target error) bool {
	return target == ErrNoSpace || target == ErrFileLimit && isFileLimit(e.cause)
}
func (e noSpaceError) Unwrap() error { return e.cause }

// optional makes err one that is errors.ErrUnsupported, if it says that a system
// call can't be made here: the kernel or the file system lacks it, or a sandbox
// forbids it, with whatever error its author liked best. It is for calls that the
// caller can do without.
func optional(err error) error {
	if err != nil && isRefused(err) && !errors.Is(err, errors.ErrUnsupported) {
		return Refused(err)
	}
	return err
}

// Refused returns an errors.ErrUnsupported that shows err, for a call that can't be made
// here.
func Refused(err error) error { return refusedError{err} }

// refusedError is an errors.ErrUnsupported that shows the error it comes from.
type refusedError struct{ cause error }

func (e refusedError) Error() string        { return e.cause.Error() }
func (e refusedError) Is(target error) bool { return target == errors.ErrUnsupported }
func (e refusedError) Unwrap() error        { return e.cause }
