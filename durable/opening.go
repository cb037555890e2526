package durable

import (
	"errors"
	"fmt"

	"github.com/stateio/stateio/store"
)

// An openError says what a directory holds that can't be read as the map or value that it was
// opened as, most often since the types are others: what is wrong, and then where.
type openError struct {
	err    error
	replay *store.ReplayError // in err
}

// opening returns an error of a store that was opened, in words of this package if it is one of
// the machine's.
func opening(err error) error {
	var replay *store.ReplayError
	if !errors.As(err, &replay) {
		return err
	}
	return &openError{err, replay}
}

func (e *openError) Error() string {
	r := e.replay
	return fmt.Sprintf("%v (found in update %d, at offset %d of %s; nothing was changed)", r.Err, r.Index, r.Offset, r.Path)
}

func (e *openError) Unwrap() error { return e.err }
