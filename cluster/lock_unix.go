//go:build unix

package cluster

import (
	"errors"
	"fmt"
	"io"
	"os"
	"syscall"

	"github.com/stateio/stateio/store"
)

// lockFile makes and locks the file at path, until the lock is closed; see store.ErrLocked.
func lockFile(path string) (io.Closer, error) {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, err
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		_ = f.Close()
		if errors.Is(err, syscall.EWOULDBLOCK) {
			return nil, fmt.Errorf("%w: %s is locked by another process, or another node of this one: close that first", store.ErrLocked, path)
		}
		return nil, fmt.Errorf("locking %s: %w", path, err)
	}
	return &heldLock{f}, nil
}

// heldLock is a file that is locked.
type heldLock struct{ f *os.File }

// Close unlocks first, for closing alone may come late: a child of the program that is
// between fork and exec has the descriptor still, and with it the lock.
func (l *heldLock) Close() error {
	unlockFile(l.f) // if that failed, Close says so
	return l.f.Close()
}

// lockMeta locks the database of the log until unlockFile. Bbolt would wait without end
// for a node that has it open: one whose file LOCK was removed.
func lockMeta(f *os.File) error {
	err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
	if errors.Is(err, syscall.EWOULDBLOCK) {
		return fmt.Errorf("%w: another process, or another node of this one, has %s open, though it does not hold the file LOCK of the directory, which was removed or replaced: close that node first", store.ErrLocked, f.Name())
	}
	if err != nil {
		return fmt.Errorf("locking %s: %w", f.Name(), err)
	}
	return nil
}

func unlockFile(f *os.File) { _ = syscall.Flock(int(f.Fd()), syscall.LOCK_UN) }
