//go:build unix

package fsys

import (
	"errors"
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
