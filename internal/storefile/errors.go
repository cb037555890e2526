package storefile

import (
	"errors"
	"fmt"
)

var (
	// ErrCorrupt is what errors.Is finds in a [CorruptError].
	ErrCorrupt = errors.New("store: corrupt")
	// ErrVersion reports a file of another version, or one that needs what this version
	// does not have.
	ErrVersion = errors.New("store: newer format version")
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

// Corrupt returns a [CorruptError].
func Corrupt(path string, off int64, format string, args ...any) error {
	return &CorruptError{Path: path, Offset: off, Err: fmt.Errorf(format, args...)}
}

// An Error is an error of kind Is, said in Msg, with its Cause if there is one.
type Error struct {
	Is    error // a sentinel
	Msg   string
	Cause error // may be nil
}

// Error implements error.
func (e *Error) Error() string {
	if e.Cause == nil {
		return "store: " + e.Msg
	}
	return "store: " + e.Msg + ": " + e.Cause.Error()
}

// Unwrap returns e.Is, and e.Cause if there is one.
func (e *Error) Unwrap() []error {
	if e.Cause == nil {
		return []error{e.Is}
	}
	return []error{e.Is, e.Cause}
}

// newer returns an ErrVersion that says what is new.
func newer(format string, args ...any) error {
	return &Error{Is: ErrVersion, Msg: fmt.Sprintf(format, args...)}
}
