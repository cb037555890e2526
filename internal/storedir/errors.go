package storedir

import (
	"errors"
	"fmt"

	"github.com/stateio/stateio/internal/fsys"
	"github.com/stateio/stateio/internal/storefile"
)

var (
	// ErrLocked reports that the directory is open elsewhere, in this process or another.
	ErrLocked = errors.New("store: locked")
	// ErrNoSpace reports that the disk or the quota is full, or the file too large for its
	// file system.
	ErrNoSpace = errors.New("store: no space left")
	// ErrStays says that a log which was given up is there, or may be after a crash.
	// The log before must not go on then: nobody would look for what it holds after
	// where the new one begins.
	ErrStays = errors.New("it may still be there")
)

// Wrap makes an error of the file system one of a store, that says what was being done: one
// for which there was no space is ErrNoSpace. It returns nil for nil.
func Wrap(doing string, err error) error {
	if err == nil {
		return nil
	}
	if errors.Is(err, fsys.ErrNoSpace) && !errors.Is(err, ErrNoSpace) {
		return &storefile.Error{Is: ErrNoSpace, Msg: doing, Cause: err}
	}
	return fmt.Errorf("store: %s: %w", doing, storefile.Bare(err))
}
