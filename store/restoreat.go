package store

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"slices"

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
	fsy := storefs.For(dir)
	files, err := list(fsy, dir)
	if err != nil {
		return err
	}
	if files.empty() {
		return fmt.Errorf("store: there is no store in %s", dir)
	}
	if !files.reaches(index) {
		return &opError{is: ErrNotRetained, msg: fmt.Sprintf("the state of update %d is older than what is kept in %s", index, dir)}
	}
	l := &loader{fs: fsy, dir: dir, m: m, list: files, target: index}
	err = l.load()
	switch {
	case errors.Is(err, fs.ErrNotExist) && !l.machineError:
		now, lerr := list(fsy, dir)
		initial := l.report.Snapshot == "" && l.report.Updates == 0
		switch {
		case lerr != nil || slices.Equal(now.snaps, files.snaps) && slices.Equal(now.logs, files.logs):
		case !now.reaches(index):
			return &opError{is: ErrNotRetained, msg: fmt.Sprintf("the state of update %d was dropped from %s meanwhile", index, dir)}
		case now.hasSnapshot(index) || initial:
			return RestoreAt(dir, m, index) // a snapshot replaces what m holds
		}
	case errors.Is(err, ErrCorrupt) && !l.machineError:
		// A store that is open writes on behind index: look at the whole again, in
		// the way that allows for that.
		if whole, cerr := undamaged(dir); cerr == nil && whole {
			return &opError{is: ErrNotRetained, msg: files.whyNot(index, dir)}
		}
	}
	if err == nil && l.report.Index < index {
		err = &opError{is: ErrNotRetained, msg: fmt.Sprintf("%s ends with update %d, before %d", dir, l.report.Index, index)}
	}
	return err
}

// undamaged reports whether Check finds nothing wrong.
func undamaged(dir string) (bool, error) {
	reports, err := Check(context.Background(), dir)
	return !slices.ContainsFunc(reports, func(r FileReport) bool { return len(r.Damage) > 0 }), err
}

// reaches reports whether there is a file to start from for the state of index.
func (l *listing) reaches(index uint64) bool {
	return l.hasSnapshot(index) || len(l.logs) > 0 && l.logs[0] == 0
}

// hasSnapshot reports whether there is a snapshot to start from for the state of
// index.
func (l *listing) hasSnapshot(index uint64) bool { return len(l.snaps) > 0 && l.snaps[0] <= index }

// whyNot says why the state of index can't be had from a directory in which
// nothing is damaged.
func (l *listing) whyNot(index uint64, dir string) string {
	if len(l.snaps) > 0 && index < l.snaps[0] {
		// A crash may bring back some of the logs that were being removed.
		return fmt.Sprintf("logs that lead to the state of update %d were dropped from %s, behind a snapshot of update %d", index, dir, l.snaps[0])
	}
	return fmt.Sprintf("update %d is not yet durable in %s", index, dir)
}
