package inspect

import (
	"fmt"

	"github.com/stateio/stateio"
)

// A Place says what part of a state file a damaged range belongs to.
type Place uint8

// The places, from the gravest to the most harmless.
const (
	Current  Place = 1 + iota // the current epoch, or after it
	Obsolete                  // an epoch before the current one
	Padding                   // bytes between entries, which hold nothing
	TornTail                  // the remainder of a write that a crash cut short
)

// String returns "current", "obsolete", "padding" or "torn tail"; these words do not change.
func (p Place) String() string {
	switch p {
	case Current:
		return "current"
	case Obsolete:
		return "obsolete"
	case Padding:
		return "padding"
	case TornTail:
		return "torn tail"
	}
	return fmt.Sprintf("unknown place %d", uint8(p))
}

// Damage is a range of a state file that holds no intact entry, but should. It
// is an error, too; errors.Is finds [stateio.ErrCorrupt] in it unless it is a
// torn tail.
type Damage struct {
	Path   string // of the file; empty when it is not known
	Offset int64  // where the range starts, in bytes
	Length int64  // of the range, in bytes; more than 0
	Place  Place
	Reason string // what is wrong, about the first that is wrong in the range
}

// End returns where the range ends.
func (d *Damage) End() int64 { return d.Offset + d.Length }

// Error implements error.
func (d *Damage) Error() string {
	path := d.Path
	if path == "" {
		path = "the state file"
	}
	what := "is damaged"
	if d.Place == TornTail {
		what = "has a torn tail"
	}
	return fmt.Sprintf("inspect: %s %s at offset %d, %d bytes: %s", path, what, d.Offset, d.Length, d.Reason)
}

// Is reports whether target is [stateio.ErrCorrupt] and d is no torn tail.
func (d *Damage) Is(target error) bool {
	return target == stateio.ErrCorrupt && d.Place != TornTail
}
