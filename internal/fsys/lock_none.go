//go:build aix || !(unix || windows)

package fsys

import "errors"

// The locks of AIX are of a process, and go as soon as the process closes any
// descriptor of the file. The other systems have none.

// CanLock tells whether the platform has locks of files.
const CanLock = false

func lockFile(uintptr) error { return errors.ErrUnsupported }

func lockAgain(uintptr) error { return errors.ErrUnsupported }

func unlockFile(uintptr) {}
