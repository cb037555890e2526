//go:build unix

package fsys

import (
	"errors"
	"io/fs"
	"os"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// safely is added to every open: no final symbolic link is followed, a FIFO
// does not block, a terminal does not become the controlling one.
const safely = unix.O_NOFOLLOW | unix.O_NONBLOCK | unix.O_NOCTTY | unix.O_CLOEXEC

// A spot is where a path leads: name is looked up in the directory that is open as
// dir. path is for errors.
type spot struct {
	dir        int
	name, path string
}

// named is where the path leads by itself.
func named(path string) spot { return spot{unix.AT_FDCWD, path, path} }

func openFile(at spot, mode Mode, perm fs.FileMode) (*os.File, error) {
	switch mode {
	case Create:
		return openRegular(at, os.O_RDWR|os.O_CREATE|os.O_EXCL, perm)
	case ReadWrite:
		return openRegular(at, os.O_RDWR, 0)
	}
	return openRegular(at, os.O_RDONLY, 0)
}

func openLock(at spot, perm fs.FileMode) (*os.File, error) {
	return openRegular(at, os.O_RDWR|os.O_CREATE, perm)
}

// openRegular opens what is at a spot safely and makes sure that it got a regular
// file, whatever happened there since it was looked at.
func openRegular(at spot, flag int, perm fs.FileMode) (*os.File, error) {
	var fd int
	err := unleased(func() error {
		return retry(func() (err error) {
			fd, err = unix.Openat(at.dir, at.name, flag|safely, uint32(perm.Perm()))
			return err
		})
	})
	if err != nil {
		// How the kernels say that O_NOFOLLOW met a link.
		if err == unix.ELOOP || err == unix.EMLINK {
			return nil, regular(at.path, fs.ModeSymlink)
		}
		return nil, &fs.PathError{Op: "open", Path: at.path, Err: err}
	}
	var st unix.Stat_t
	if err = retry(func() error { return unix.Fstat(fd, &st) }); err != nil {
		err = &fs.PathError{Op: "open", Path: at.path, Err: err}
	} else {
		err = regular(at.path, modeOf(uint32(st.Mode))) //nolint:unconvert // its type depends on the system
	}
	if err == nil {
		err = os.NewSyscallError("fcntl", unix.SetNonblock(fd, false)) // which was for opening
	}
	if err != nil {
		_ = unix.Close(fd) // never written to
		return nil, err
	}
	return os.NewFile(uintptr(fd), at.path), nil
}

// unleased repeats an open that does not wait until another process gives up a lease of the
// file, as servers of files hold them for their clients. The first try has asked for it.
// The holder takes milliseconds, and the kernel waits for it no longer than
// /proc/sys/fs/lease-break-time: 45 seconds, unless that is changed.
func unleased(open func() error) error {
	const most = 100 * time.Millisecond
	start := time.Now()
	for pause := time.Millisecond; ; pause = min(2*pause, most) {
		err := open()
		if err != unix.EWOULDBLOCK || time.Since(start) > leaseTime {
			return err
		}
		time.Sleep(pause)
	}
}

// leaseTime is how long an open waits for a lease.
const leaseTime = time.Minute

// lockLog is lockFile for a file that others are to read meanwhile.
func lockLog(fd uintptr) error {
	if locksAreMandatory(fd) {
		return errors.ErrUnsupported
	}
	return lockFile(fd)
}

func unlockLog(fd uintptr) { unlockFile(fd) }

func rename(from, to spot) error {
	return retry(func() error { return unix.Renameat(from.dir, from.name, to.dir, to.name) })
}

func unlink(at spot) error {
	return retry(func() error { return unix.Unlinkat(at.dir, at.name, 0) })
}

func rmdir(path string) error {
	return retry(func() error { return syscall.Rmdir(path) }) // x/sys has none for AIX
}

func openDir(dir string) (*os.File, error) {
	return os.OpenFile(dir, os.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
}

func syncDir(dir string) error {
	f, err := openDir(dir)
	if err != nil {
		return errors.Unwrap(err)
	}
	defer func() { _ = f.Close() }() // opened for reading
	return syncOpenDir(f)
}

// syncAbove is syncDir for the parent of a directory, of which it passes over that it is on a
// file system that is read-only: the directory is a mount point there, or what is to be written
// to it will fail, too.
func syncAbove(parent string) error {
	err := syncDir(parent)
	if err == unix.EROFS {
		return nil
	}
	return err
}

// syncOpenDir syncs a directory where that can be done.
func syncOpenDir(f *os.File) error {
	err := errors.Unwrap(f.Sync())
	if isUnsyncable(err) {
		return nil
	}
	return err
}

// isUnsyncable tells the errors that say that directories can't be synced. EBADF is of a server
// that syncs only what is open for writing, as a directory never is. EROFS is none of them: where
// something was changed, it says that the file system has failed since, as btrfs does.
func isUnsyncable(err error) bool {
	return err == unix.EINVAL || err == unix.EBADF || errors.Is(err, unix.ENOTSUP) || errors.Is(err, unix.EOPNOTSUPP)
}

// fstatat is lstat where there is nothing better.
func fstatat(at spot) (Info, error) {
	var st unix.Stat_t
	if err := retry(func() error { return unix.Fstatat(at.dir, at.name, &st, unix.AT_SYMLINK_NOFOLLOW) }); err != nil {
		return Info{}, err
	}
	return infoOf(&st), nil
}

func fstat(fd uintptr) (Info, error) {
	var st unix.Stat_t
	if err := retry(func() error { return unix.Fstat(int(fd), &st) }); err != nil {
		return Info{}, err
	}
	return infoOf(&st), nil
}

// idAt returns the identity of what a path leads to; a link is followed.
func idAt(path string) (FileID, error) {
	var st unix.Stat_t
	if err := retry(func() error { return unix.Stat(path, &st) }); err != nil {
		return FileID{}, err
	}
	return infoOf(&st).ID, nil
}

// infoOf converts what the kernel says; the types of its fields depend on the
// system.
func infoOf(st *unix.Stat_t) Info {
	return Info{
		Mode: modeOf(uint32(st.Mode)), Size: st.Size, Links: int64(st.Nlink), //nolint:unconvert // see above
		ID: FileID{Dev: uint64(st.Dev), Ino: uint64(st.Ino)}, //nolint:unconvert // see above
	}
}

// modeOf converts the type and the permissions in a kernel's st_mode.
func modeOf(mode uint32) fs.FileMode {
	perm := fs.FileMode(mode) & fs.ModePerm
	switch mode & unix.S_IFMT {
	case unix.S_IFREG:
		return perm
	case unix.S_IFDIR:
		return perm | fs.ModeDir
	case unix.S_IFLNK:
		return perm | fs.ModeSymlink
	case unix.S_IFIFO:
		return perm | fs.ModeNamedPipe
	case unix.S_IFSOCK:
		return perm | fs.ModeSocket
	case unix.S_IFCHR:
		return perm | fs.ModeDevice | fs.ModeCharDevice
	case unix.S_IFBLK:
		return perm | fs.ModeDevice
	}
	return perm | fs.ModeIrregular
}

// isRefused tells the errors that say that a system call can't be made.
func isRefused(err error) bool {
	for _, refusal := range [...]unix.Errno{unix.ENOSYS, unix.ENOTSUP, unix.EOPNOTSUPP, unix.EINVAL, unix.EPERM, unix.EACCES} {
		if errors.Is(err, refusal) {
			return true
		}
	}
	return false
}

func isNoSpace(err error) bool {
	return errors.Is(err, unix.ENOSPC) || errors.Is(err, unix.EDQUOT) || isFileLimit(err)
}

func isFileLimit(err error) bool { return errors.Is(err, unix.EFBIG) }

// retry repeats a call that a signal interrupted.
func retry(call func() error) error {
	for {
		if err := call(); err != unix.EINTR {
			return err
		}
	}
}
