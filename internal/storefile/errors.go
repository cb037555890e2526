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

// A newerError is an ErrVersion that says what is new.
type newerError struct{ msg string }

func (e *newerError) Error() string        { return "store: " + e.msg }
func (e *newerError) Is(target error) bool { return target == ErrVersion }

func newer(format string, args ...any) error {
	return &newerError{fmt.Sprintf(format, args...)}
}
