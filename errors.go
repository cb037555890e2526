package stateio

import (
	"errors"
	"fmt"

	"github.com/stateio/stateio/internal/osfile"
)

var (
	// ErrCorrupt is what errors.Is finds in every error that reports damage to
	// a state file. Those errors are of type [*CorruptError].
	ErrCorrupt = errors.New("stateio: corrupt state file")

	// ErrLocked is what errors.Is finds in the error of [NewFileWriter] when
	// the file is open for writing elsewhere.
	ErrLocked = osfile.ErrLocked

	// ErrTaken is what errors.Is finds in the error of a [Writer] whose file was
	// removed, moved, replaced, cut or written to by others, and in that of
	// [NewFileWriter] for a file that was replaced since it was opened.
	ErrTaken = osfile.ErrTaken

	// ErrNoEpoch is what errors.Is finds in the error of [RestoreEpoch] when the
	// file has no such epoch, or has none any more.
	ErrNoEpoch = errors.New("no such epoch")
)

// A CorruptError says where a state file is damaged, and how.
type CorruptError struct {
	Path   string // of the file; empty when it is not known
	Offset int64  // of the record or entry that is broken, in bytes from the file's start
	Err    error  // what is wrong there
}

// Error implements error.
func (e *CorruptError) Error() string {
	path := e.Path
	if path == "" {
		path = "the state file"
	}
	return fmt.Sprintf("stateio: %s is corrupt at offset %d: %v", path, e.Offset, e.Err)
}

// Unwrap returns e.Err.
func (e *CorruptError) Unwrap() error { return e.Err }

// Is reports whether target is [ErrCorrupt].
func (e *CorruptError) Is(target error) bool { return target == ErrCorrupt }
