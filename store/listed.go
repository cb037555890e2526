package store

import (
	"errors"
	"io/fs"

	"github.com/stateio/stateio/internal/storefile"
)

// A listed is what a store's directory held when it was listed.
type listed struct {
	dir   storefile.Dir
	files *storefile.Listing
	err   error
}

func list(dir storefile.Dir) listed {
	files, err := dir.List()
	return listed{dir, files, err}
}

// absent reports whether there was no store, or one that was being made: one without a
// log is none.
func (l listed) absent() bool {
	return errors.Is(l.err, fs.ErrNotExist) || l.err == nil && len(l.files.Logs) == 0
}

// outdates reports whether err, of reading the store since, may come of its being restored
// meanwhile, in its place or from elsewhere. It is no evidence of damage then: the next look
// is. An error of the machine is never outdated.
func (l listed) outdates(err error) bool {
	var machine *machineError
	var refused *ReplayError // by Apply, which is not called twice with an update
	if errors.As(err, &machine) || errors.As(err, &refused) {
		return false
	}
	return errors.Is(err, fs.ErrNotExist) || l.remade()
}

// remade reports whether files came or went since.
func (l listed) remade() bool {
	now := list(l.dir)
	return l.absent() || now.absent() || l.err == nil && now.err == nil && !l.files.Same(now.files)
}
