package stateio

import (
	"errors"
	"fmt"
	"os"

	"github.com/stateio/stateio/internal/fsys"
)

// Lock takes the lock that [NewFileWriter] takes, for tools that move, replace or
// remove a state file: nobody writes to it meanwhile. It changes and reads nothing, and
// needs a file that is open for writing. The lock is advisory, which other open files of
// the same file then can't have; it is there until osf is closed or the process ends, and
// osf itself may be given to Lock and NewFileWriter again. On Windows, that gives the lock up
// for a moment, in which another process may take it: then the error says that the file is
// locked, and no Writer of osf may be used any more. A child that this program is starting
// has a copy of osf, and the lock with it, until it runs: a file that was just closed may
// be locked for that moment.
//
// A file may have got another name, or its name another file, before it was locked: look
// at that after Lock.
//
// The error wraps [ErrLocked] if the file is locked. It wraps [ErrNoLocks] where the platform
// has no locks (AIX, Plan 9, WebAssembly), and NewFileWriter does without: go on if nobody else
// writes to the file. Any other error is one of the system, and keeps NewFileWriter, too, from
// opening the file: one that wraps [errors.ErrUnsupported], and not ErrNoLocks, says that this
// file system has no locks.
func Lock(osf *os.File) error {
	if err := lock(osf, "locking"); err != nil {
		return err
	}
	if !canLock {
		return fmt.Errorf("stateio: locking %s: %w", osf.Name(), ErrNoLocks)
	}
	return nil
}

// lock is Lock for what its caller is doing, and does nothing where the platform has no
// locks.
func lock(osf *os.File, doing string) error {
	if !canLock {
		return nil
	}
	err := lockFile(osf)
	switch {
	case errors.Is(err, fsys.ErrLocked):
		return fmt.Errorf("stateio: %s %s: it is %w by another writer; only one at a time can have the file", doing, osf.Name(), ErrLocked)
	case err != nil:
		return fmt.Errorf("stateio: locking %s: %w: without a lock another writer would not be kept out", osf.Name(), err)
	}
	return nil
}
