package stateio

import (
	"errors"
	"fmt"

	"github.com/stateio/stateio/internal/fsys"
)

var (
	// ErrCorrupt is what errors.Is finds in every error that reports damage to
	// a state file. Those errors are of type [*CorruptError].
	ErrCorrupt = errors.New("stateio: corrupt state file")

	// ErrLocked is what errors.Is finds in the error of [NewFileWriter] and [Lock]
	// when the file is open for writing elsewhere, or locked there.
	ErrLocked = errors.New("locked")

	// ErrNoLocks is what errors.Is finds in the error of [Lock] where the platform has no
	// locks, so that nothing keeps another writer out. It wraps [errors.ErrUnsupported].
	ErrNoLocks = fmt.Errorf("this platform has no locks that keep another writer out: %w", errors.ErrUnsupported)

	// ErrTaken is what errors.Is finds in the error of a [Writer] whose file was
	// removed, moved, replaced, cut or written to by others, and in that of
	// [NewFileWriter] for a file that was replaced since it was opened.
	ErrTaken = fsys.ErrTaken

	// ErrNoEpoch is what errors.Is finds in the error of [RestoreEpoch] when the
	// file has no such epoch, or has none any more; and in that of whatever reads an epoch
	// which [Truncate] gives back meanwhile.
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

// An AppendError says why a [Writer] could not append, and what became of what was
// to be appended. The Writer is finished: see there.
type AppendError struct {
	Path   string // of the file; empty when it is not known
	Offset int64  // where the first of the entries was to begin, in bytes from the file's start
	// Unknown says that the entries may be in the file or not, or in part. Without it the
	// file holds the entries that it held before, and nothing of these: that is certain for
	// a file of [NewFileWriter] only, when a write failed and what it had written could be
	// cut off. In a file without entries, bytes that were no entry may be gone.
	Unknown bool
	Err     error // what failed

	what string // the entries
}

// Error implements error.
func (e *AppendError) Error() string {
	what, where, kept := e.what, "", ""
	if what != "" {
		what += " "
	}
	if e.Path != "" {
		where = " of " + e.Path
	}
	if !e.Unknown {
		kept = "; nothing of it was kept"
	}
	return fmt.Sprintf("stateio: appending %sat offset %d%s: %v%s; this writer is finished: restore the state and open the file anew",
		what, e.Offset, where, e.Err, kept)
}

// Unwrap returns e.Err.
func (e *AppendError) Unwrap() error { return e.Err }
