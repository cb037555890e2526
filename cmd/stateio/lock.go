package main

import (
	"errors"
	"os"

	"github.com/stateio/stateio"
)

// lock takes the lock of a file, and reports whether it did: where the platform has no locks,
// nobody has one, and that is no error.
func lock(file *os.File) (locked bool, err error) {
	err = stateio.Lock(file)
	if errors.Is(err, stateio.ErrNoLocks) {
		return false, nil
	}
	return err == nil, err
}
