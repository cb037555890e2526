package fsys

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"sync"
)

// OS is the file system of the operating system.
type OS struct{}

// Open implements [FS].
func (OS) Open(path string, mode Mode, perm fs.FileMode) (File, error) {
	switch mode {
	case Create:
	case ReadOnly, ReadWrite:
		// A look before the leap: opening a device can have effects (a tape
		// rewinds), so the common mistake is caught without opening anything.
		// openFile checks what was really opened.
		if err := checkRegular(path); err != nil {
			return nil, err
		}
	default:
		return nil, &fs.PathError{Op: "open", Path: path, Err: fmt.Errorf("%w: mode %d", fs.ErrInvalid, mode)}
	}
	f, err := openFile(path, mode, perm)
	if err != nil {
		return nil, mark(err)
	}
	return newOSFile(f), nil
}

// Lock implements [FS].
func (OS) Lock(path string, perm fs.FileMode) (io.Closer, error) {
	if err := checkRegular(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	f, err := openLock(path, perm)
	if err != nil {
		return nil, mark(err)
	}
	if err := lockFile(f); err != nil {
		_ = f.Close() // nothing was written; the lock's error is the one that counts
		return nil, &fs.PathError{Op: "lock", Path: path, Err: err}
	}
	return osLock{f}, nil
}

// osLock is a lock file that holds its lock.
type osLock struct{ f *os.File }

// Close unlocks first, for closing alone may come late: a child between fork and
// exec still has the descriptor, and Windows unlocks when it finds the time.
func (l osLock) Close() error {
	unlockFile(l.f) // if that failed, or l was closed before, Close says so
	return mark(l.f.Close())
}

// Mkdir implements [FS].
func (OS) Mkdir(path string, perm fs.FileMode) error { return mark(os.Mkdir(path, perm)) }

// Rename implements [FS].
func (OS) Rename(oldpath, newpath string) error {
	if err := rename(oldpath, newpath); err != nil {
		return &os.LinkError{Op: "rename", Old: oldpath, New: newpath, Err: noSpace(err)}
	}
	return nil
}

// Remove implements [FS].
func (OS) Remove(path string) error {
	if err := unlink(path); err != nil {
		return &fs.PathError{Op: "remove", Path: path, Err: err}
	}
	return nil
}

// Stat implements [FS].
func (OS) Stat(path string) (Info, error) {
	fi, err := os.Lstat(path)
	if err != nil {
		return Info{}, err
	}
	return Info{Mode: fi.Mode(), Size: fi.Size(), Links: links(fi)}, nil
}

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
		return &fs.PathError{Op: "syncdir", Path: dir, Err: noSpace(err)}
	}
	return nil
}

// osFile is an open file. What package os has no method for works on fd, which
// stays valid while mu is held and closed is false.
type osFile struct {
	f *os.File

	mu     sync.RWMutex // guards fd against Close; held shared by system calls on fd
	fd     uintptr
	closed bool
}

func newOSFile(f *os.File) *osFile { return &osFile{f: f, fd: f.Fd()} }

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
		return &fs.PathError{Op: op, Path: f.f.Name(), Err: noSpace(err)}
	}
	return nil
}

func (f *osFile) ReadAt(p []byte, off int64) (int, error) { return f.f.ReadAt(p, off) }

func (f *osFile) WriteAt(p []byte, off int64) (int, error) {
	n, err := f.f.WriteAt(p, off)
	return n, mark(err)
}

func (f *osFile) Sync() error { return mark(f.f.Sync()) }

func (f *osFile) Truncate(size int64) error { return mark(f.f.Truncate(size)) }

func (f *osFile) DropCache() error { return f.onFD("dropcache", dropCache) }

func (f *osFile) Preallocate(off, n int64) error {
	return f.onFD("preallocate", func(fd uintptr) error {
		if off < 0 || n <= 0 || off+n < 0 {
			return fmt.Errorf("%w: %d bytes at %d", fs.ErrInvalid, n, off)
		}
		return preallocate(fd, off, n)
	})
}

func (f *osFile) Stat() (Info, error) {
	var info Info
	err := f.onFD("stat", func(fd uintptr) (err error) {
		info, err = stat(fd)
		return err
	})
	return info, err
}

func (f *osFile) Close() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.closed = true
	return mark(f.f.Close())
}

// checkRegular reports what is wrong with path as a file to open.
func checkRegular(path string) error {
	fi, err := os.Lstat(path)
	var pathErr *fs.PathError
	if errors.As(err, &pathErr) {
		pathErr.Op = "open"
	}
	if err != nil {
		return err
	}
	return regular(path, fi.Mode())
}

// regular returns ErrNotRegular, saying what there is instead, unless mode is
// that of a regular file.
func regular(path string, mode fs.FileMode) error {
	if mode.IsRegular() {
		return nil
	}
	return &fs.PathError{Op: "open", Path: path, Err: fmt.Errorf("%w but %s", ErrNotRegular, kind(mode))}
}

// kind names the type of a file for an error message.
func kind(mode fs.FileMode) string {
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

// mark makes errors.Is(err, ErrNoSpace) work on an error of package os. It
// returns any other err, and nil, as it is.
func mark(err error) error {
	if err == nil {
		return nil // before pe, which is allocated
	}
	var pe *fs.PathError
	if errors.As(err, &pe) {
		pe.Err = noSpace(pe.Err)
	}
	return err
}

// noSpace wraps the kernel's ways of saying so, and returns any other err as
// it is.
func noSpace(err error) error {
	if isNoSpace(err) && !errors.Is(err, ErrNoSpace) {
		return noSpaceError{err}
	}
	return err
}

// noSpaceError is an ErrNoSpace that shows the error it comes from.
type noSpaceError struct{ cause error }

func (e noSpaceError) Error() string        { return e.cause.Error() }
func (e noSpaceError) Is(target error) bool { return target == ErrNoSpace }
func (e noSpaceError) Unwrap() error        { return e.cause }
