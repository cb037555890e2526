package storefile

import (
	"errors"
	"fmt"
	"strings"
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
	return fmt.Sprintf("store: %s is corrupt at offset %d: %v", e.Path, e.Offset, Bare(e.Err))
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
		return prefix + e.Msg
	}
	return prefix + e.Msg + ": " + Bare(e.Cause).Error()
}

// Unwrap returns e.Is, and e.Cause if there is one.
func (e *Error) Unwrap() []error {
	if e.Cause == nil {
		return []error{e.Is}
	}
	return []error{e.Is, e.Cause}
}

// prefix is what messages of package store begin with.
const prefix = "store: "

// Bare returns err, to be a part of an error of package store: if its message begins with the
// name of the package, it is said without.
func Bare(err error) error {
	if err == nil || !strings.HasPrefix(err.Error(), prefix) {
		return err
	}
	return bareError{err}
}

// A bareError is an error whose message lacks the prefix.
type bareError struct{ error }

// Error implements error.
func (e bareError) Error() string { return strings.TrimPrefix(e.error.Error(), prefix) }

// Unwrap returns the error.
func (e bareError) Unwrap() error { return e.error }

// newer returns an ErrVersion that says what is new.
func newer(format string, args ...any) error {
	return &Error{Is: ErrVersion, Msg: fmt.Sprintf(format, args...)}
}
