//go:build unix && !aix

package fsys

import "golang.org/x/sys/unix"

// CanLock tells whether the platform has locks of files.
const CanLock = true

// lockFile takes an flock: it belongs to the open file, so it excludes other
// opens in the same process too, and the kernel frees it with the last
// descriptor, of which there is one since children do not inherit it.
//
// EACCES is no refusal: a server that shares files with Windows says so of a lock
// that another of its clients has.
func lockFile(fd uintptr) error {
	err := retry(func() error { return unix.Flock(int(fd), unix.LOCK_EX|unix.LOCK_NB) })
	switch err {
	case nil:
		return nil
	case unix.EWOULDBLOCK:
		return ErrLocked
	case unix.EACCES:
		return err
	case unix.ENOLCK:
		return refusedError{err}
	}
	return optional(err)
}

// lockAgain is lockFile, which a file that has the lock passes.
func lockAgain(fd uintptr) error { return lockFile(fd) }

func unlockFile(fd uintptr) { _ = unix.Flock(int(fd), unix.LOCK_UN) }
