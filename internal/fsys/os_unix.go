//go:build unix

package fsys

import (
	"errors"
	"io/fs"
	"os"
	"syscall"

	"golang.org/x/sys/unix"
)

// safely is added to every open: no final symbolic link is followed, a FIFO
// does not block, a terminal does not become the controlling one.
const safely = unix.O_NOFOLLOW | unix.O_NONBLOCK | unix.O_NOCTTY | unix.O_CLOEXEC

func openFile(path string, mode Mode, perm fs.FileMode) (*os.File, error) {
	switch mode {
	case Create:
		return openRegular(path, os.O_RDWR|os.O_CREATE|os.O_EXCL, perm)
	case ReadWrite:
		return openRegular(path, os.O_RDWR, 0)
	}
	return openRegular(path, os.O_RDONLY, 0)
}

func openLock(path string, perm fs.FileMode) (*os.File, error) {
	return openRegular(path, os.O_RDWR|os.O_CREATE, perm)
}

// openRegular opens path safely and makes sure that it got a regular file,
// whatever happened to the path since it was looked at.
func openRegular(path string, flag int, perm fs.FileMode) (*os.File, error) {
	f, err := os.OpenFile(path, flag|safely, perm)
	if err != nil {
		// How the kernels say that O_NOFOLLOW met a link.
		if errors.Is(err, unix.ELOOP) || errors.Is(err, unix.EMLINK) {
			return nil, regular(path, fs.ModeSymlink)
		}
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

// lockFile takes an flock: it belongs to the open file, so it excludes other
// opens in the same process too, and the kernel frees it with the last
// descriptor, of which there is one since children do not inherit it.
func lockFile(f *os.File) error {
	fd := int(f.Fd())
	err := retry(func() error { return unix.Flock(fd, unix.LOCK_EX|unix.LOCK_NB) })
	if errors.Is(err, unix.EWOULDBLOCK) {
		return ErrLocked
	}
	return err
}

func unlockFile(f *os.File) { _ = unix.Flock(int(f.Fd()), unix.LOCK_UN) }

func rename(oldpath, newpath string) error {
	return retry(func() error { return unix.Rename(oldpath, newpath) })
}

func unlink(path string) error {
	return retry(func() error { return unix.Unlink(path) })
}

func syncDir(dir string) error {
	f, err := os.OpenFile(dir, os.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return errors.Unwrap(err)
	}
	err = f.Sync()
	_ = f.Close() // opened for reading
	return errors.Unwrap(err)
}

// fstat takes Mode from the kernel's st_mode; only its type and permission bits
// are of interest to a store.
func fstat(fd uintptr) (Info, error) {
	var st unix.Stat_t
	if err := retry(func() error { return unix.Fstat(int(fd), &st) }); err != nil {
		return Info{}, err
	}
	// The descriptor is known to be of a regular file: no type bit is set.
	return Info{Mode: fs.FileMode(st.Mode) & fs.ModePerm, Size: st.Size, Links: int64(st.Nlink)}, nil
}

func links(fi fs.FileInfo) int64 {
	if st, ok := fi.Sys().(*syscall.Stat_t); ok {
		return int64(st.Nlink)
	}
	return 1
}

func isNoSpace(err error) bool {
	return errors.Is(err, unix.ENOSPC) || errors.Is(err, unix.EDQUOT)
}

// retry repeats a call that a signal interrupted.
func retry(call func() error) error {
	for {
		if err := call(); err != unix.EINTR {
			return err
		}
	}
}
