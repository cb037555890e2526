package store

import (
	"errors"
	"fmt"

	"github.com/stateio/stateio/internal/storefs"
)

// RestoreAt gives m the state that the store in directory dir had right after
// update index. m must be in its initial state. It changes nothing on disk and
// takes no lock, so it works beside a store that is open, for updates that are
// durable.
//
// The error is ErrNotRetained if that state can no longer be had, or not yet:
// Options.KeepSnapshots says what is kept. Otherwise errors are those of Open.
func RestoreAt(dir string, m Machine, index uint64) error {
	if m == nil {
		return errors.New("store: restoring needs a Machine, not nil")
	}
	fs := storefs.For(dir)
	files, err := list(fs, dir)
	if err != nil {
		return err
	}
	if files.empty() {
		return fmt.Errorf("store: there is no store in %s", dir)
	}
	if !files.reaches(index) {
		return &opError{is: ErrNotRetained, msg: fmt.Sprintf("the state of update %d is older than what is kept in %s", index, dir)}
	}
	l := &loader{fs: fs, dir: dir, m: m, list: files, target: index}
	err = l.load()
	if err == nil && l.report.Index < index {
		err = &opError{is: ErrNotRetained, msg: fmt.Sprintf("%s ends with update %d, before %d", dir, l.report.Index, index)}
	}
	return err
}

// reaches reports whether there is a file to start from for the state of index.
func (l *listing) reaches(index uint64) bool {
	return len(l.snaps) > 0 && l.snaps[0] <= index || len(l.logs) > 0 && l.logs[0] == 0
}
