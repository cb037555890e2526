package osfile

import (
	"errors"
	"os"

	"golang.org/x/sys/windows"
)

// Windows has no handle of a directory that can be synced; NTFS journals names.
const canSyncDir = false

// CanLock tells whether there are locks on this platform.
const CanLock = true

func noDirSync(error) bool { return false }

func syncAll(string) error { return nil }

func retry(op func() error) error { return op() }

// lock locks one byte far past any file's end: Windows locks keep others from
// reading and writing what they cover.
func lock(f *os.File) error {
	at := &windows.Overlapped{OffsetHigh: 1 << 30}
	return control(f, func(fd uintptr) error {
		h := windows.Handle(fd)
		// The handle's own lock would be in the way too.
		_ = windows.UnlockFileEx(h, 0, 1, 0, at)
		err := windows.LockFileEx(h, windows.LOCKFILE_EXCLUSIVE_LOCK|windows.LOCKFILE_FAIL_IMMEDIATELY, 0, 1, 0, at)
		if errors.Is(err, windows.ERROR_LOCK_VIOLATION) {
			return ErrLocked
		}
		return err
	})
}
