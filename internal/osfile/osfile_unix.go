//go:build unix

package osfile

import (
	"errors"

	"golang.org/x/sys/unix"
)

const canSyncDir = true

// retry calls op again while a signal interrupts it.
func retry(op func() error) error {
	for {
		if err := op(); !errors.Is(err, unix.EINTR) {
			return err
		}
	}
}

// noDirSync reports whether err says that directories can't be synced here, and
// not that syncing one failed.
func noDirSync(err error) bool {
	for _, e := range []error{unix.EINVAL, unix.ENOTSUP, unix.EOPNOTSUPP, unix.ENOSYS, unix.EROFS, unix.EBADF, unix.EACCES, unix.EPERM} {
		if errors.Is(err, e) {
			return true
		}
	}
	return false
}
