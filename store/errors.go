package store

import (
	"errors"
	"fmt"
)

// What errors.Is finds in the errors of this package.
var (
	// ErrClosed reports that the store is closed, or was before the update could
	// be made.
	ErrClosed = errors.New("store: closed")
	// ErrFailed reports that the store has failed: a write or a sync went wrong,
	// or Apply panicked. It wraps the cause. The state can still be read; to go
	// on, close the store and open it again.
	ErrFailed = errors.New("store: failed")
	// ErrLocked reports that the directory is open elsewhere, in this process or
	// another.
	ErrLocked = errors.New("store: locked")
	// ErrNoSpace reports that the disk or the quota is full. The update was not
	// applied; the store works on, and takes updates again once there is space.
	ErrNoSpace = errors.New("store: no space left")
	// ErrCorrupt reports damage to data that was once durable. Those errors are
	// of type [*CorruptError].
	ErrCorrupt = errors.New("store: corrupt")
	// ErrTooLarge reports an update larger than Options.MaxUpdate. It was not
	// applied.
	ErrTooLarge = errors.New("store: update too large")
	// ErrNotRetained reports that what was asked for is older than the oldest
	// snapshot kept, or was never there.
	ErrNotRetained = errors.New("store: not retained")
	// ErrVersion reports a directory written by a newer version of this package.
	ErrVersion = errors.New("store: newer format version")
	// ErrReentrant reports a method of the store called from within Apply or
	// View, where it would wait for itself.
	ErrReentrant = errors.New("store: called within Apply or View")
)

// A CorruptError says which file of a store is damaged, where, and how. For a
// file that is missing, Path is the one that should be there.
type CorruptError struct {
	Path   string
	Offset int64 // bytes from the file's start
	Err    error // what is wrong there
}

// Error implements error.
func (e *CorruptError) Error() string {
	return fmt.Sprintf("store: %s is corrupt at offset %d: %v", e.Path, e.Offset, e.Err)
}

// Unwrap returns e.Err.
func (e *CorruptError) Unwrap() error { return e.Err }

// Is reports whether target is [ErrCorrupt].
func (e *CorruptError) Is(target error) bool { return target == ErrCorrupt }

func corrupt(path string, off int64, format string, args ...any) error {
	return &CorruptError{Path: path, Offset: off, Err: fmt.Errorf(format, args...)}
}

// An opError is an error of kind is, said in msg, with its cause if there is one.
type opError struct {
	is    error
	msg   string
	cause error
}

func (e *opError) Error() string {
	if e.cause == nil {
		return "store: " + e.msg
	}
	return "store: " + e.msg + ": " + e.cause.Error()
}

func (e *opError) Unwrap() []error {
	if e.cause == nil {
		return []error{e.is}
	}
	return []error{e.is, e.cause}
}
