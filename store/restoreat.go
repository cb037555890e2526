package store

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"slices"
)

// RestoreAt gives m the state that the store in directory dir had right after
// update index. m must be in its initial state. It changes nothing on disk and
// takes no lock, so it works while the store is open, for updates that are
// durable.
//
// The error is ErrNotRetained if that state can no longer be had, or not yet:
// Options.KeepSnapshots says what is kept. Otherwise errors are those of Open.
func RestoreAt(dir string, m Machine, index uint64) error {
	if m == nil {
		return errors.New("store: restoring needs a Machine, not nil")
	}
	in := filesIn(dir)
	files, err := in.Find()
	if err != nil {
		return err
	}
	if !files.Reaches(index) {
		return &opError{is: ErrNotRetained, msg: fmt.Sprintf("the state of update %d is older than what is kept in %s", index, dir)}
	}
	l := &loader{dir: in, m: m, machine: clockedBy(m), list: files, target: index, ctx: context.Background()}
	err = l.load()
	switch {
	case errors.Is(err, fs.ErrNotExist) && !l.machineError:
		now, lerr := in.List()
		initial := l.report.Snapshot == "" && l.report.Updates == 0
		switch {
		case lerr != nil || now.Same(files):
		case !now.Reaches(index):
			return &opError{is: ErrNotRetained, msg: fmt.Sprintf("the state of update %d was dropped from %s meanwhile", index, dir)}
		case now.HasSnapshot(index) || initial:
			return RestoreAt(dir, m, index) // a snapshot replaces what m holds
		}
	case errors.Is(err, ErrCorrupt) && !l.machineError:
		// A store that is open writes on after index: look at the whole again, in
		// the way that allows for that.
		if whole, cerr := undamaged(dir); cerr == nil && whole {
			return &opError{is: ErrNotRetained, msg: files.WhyNot(index, dir)}
		}
	}
	if err == nil && l.report.Index < index {
		err = &opError{is: ErrNotRetained, msg: fmt.Sprintf("%s ends with update %d, before %d", dir, l.report.Index, index)}
	}
	return err
}

// undamaged reports whether Check finds nothing wrong.
func undamaged(dir string) (bool, error) {
	reports, err := Check(context.Background(), dir, nil)
	return !slices.ContainsFunc(reports, func(r FileReport) bool { return len(r.Damage) > 0 }), err
}
