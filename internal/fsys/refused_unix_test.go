//go:build unix

package fsys

import (
	"errors"
	"io/fs"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// Whatever a sandbox answers instead of a call, the caller is told that there is no
// such call; what a disk or a caller's mistake answers stays what it is.
func TestARefusedCallIsAnUnsupportedOne(t *testing.T) {
	for _, errno := range []unix.Errno{unix.EPERM, unix.EACCES, unix.EINVAL, unix.EOPNOTSUPP, unix.ENOSYS} {
		err := optional(errno)
		if !errors.Is(err, errors.ErrUnsupported) || !errors.Is(err, errno) || err.Error() != errno.Error() {
			t.Errorf("%v became %v", errno, err)
		}
	}
	for _, errno := range []unix.Errno{unix.EIO, unix.ENOSPC, unix.EDQUOT, unix.EFBIG, unix.EBADF, unix.EROFS} {
		if err := optional(errno); errors.Is(err, errors.ErrUnsupported) {
			t.Errorf("%v became %v", errno, err)
		}
	}
	if err := optional(nil); err != nil {
		t.Error(err)
	}
}

// A directory that can't be synced is no obstacle; a file system that has failed, and is read-only
// since (EROFS), is one.
func TestAFailedFileSystemIsNotOneThatSyncsNoDirectories(t *testing.T) {
	for _, errno := range []unix.Errno{unix.EINVAL, unix.EBADF, unix.ENOTSUP, unix.EOPNOTSUPP} {
		if !isUnsyncable(errno) {
			t.Errorf("%v is an obstacle", errno)
		}
	}
	for _, err := range []error{nil, unix.EROFS, unix.EIO, unix.ENOSPC, unix.EACCES} {
		if isUnsyncable(err) {
			t.Errorf("%v is none", err)
		}
	}
}

func TestInterruptedCallsAreRepeated(t *testing.T) {
	for _, end := range []error{nil, syscall.EIO} {
		n := 0
		err := retry(func() error {
			if n++; n < 3 {
				return syscall.EINTR
			}
			return end
		})
		if !errors.Is(err, end) || n != 3 {
			t.Errorf("%d calls, %v; want 3, %v", n, err, end)
		}
	}
}

// A name whose inode the disk does not give back is listed: the rest of a directory is not to
// suffer from it, and whoever opens it is told.
func TestANameWithoutAnInodeIsListed(t *testing.T) {
	for errno, want := range map[unix.Errno]bool{unix.EIO: true, unix.ENOENT: false} {
		e, there, err := entryOf("name", Info{}, &fs.PathError{Op: "list", Path: "name", Err: errno})
		if err != nil || there != want || there && e != (Entry{Name: "name"}) {
			t.Errorf("%v: %+v, %v, %v", errno, e, there, err)
		}
	}
	for _, errno := range []unix.Errno{unix.EACCES, unix.ENOMEM} {
		if _, there, err := entryOf("name", Info{}, errno); err != errno || there {
			t.Errorf("%v: %v, %v", errno, there, err)
		}
	}
}
