package store

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"slices"
)

// RestoreOptions have [RestoreAt] tell what it does. Nil and zero tell nothing. RestoreAt
// calls the functions itself, one at a time, and goes on when they return.
type RestoreOptions struct {
	// Progress is called with how many bytes were read, and how many there are to read,
	// about every 256 KiB and at the end. A snapshot counts twice, as it is verified before
	// the machine gets it. total changes where an older snapshot has to be used, or a newer
	// one has come; done never goes back, and is total in the end if the error is nil.
	Progress func(done, total int64)
	// State is called before each Restore of the machine, with the index of the update that
	// the state is right after: first that of a snapshot, if there is one, then those of
	// the states that [Store.Replace] has installed since.
	State func(index uint64)
}

// RestoreAt gives m the state that the store in directory dir had right after
// update index. m must be in its initial state. It changes nothing on disk and
// takes no lock, so it works while the store is open, for updates that are
// durable. Nil opts are the defaults.
//
// The error is ErrNotRetained if that state can no longer be had, or not yet:
// Options.KeepSnapshots says what is kept. It is that of ctx when that ends meanwhile, be
// it while a snapshot is verified, while the machine reads it, or between two updates.
// Otherwise errors are those of Open. After an error m may hold any part of a state.
func RestoreAt(ctx context.Context, dir string, m Machine, index uint64, opts *RestoreOptions) error {
	if m == nil {
		return errors.New("store: restoring needs a Machine, not nil")
	}
	l := &loader{dir: filesIn(dir), m: m, machine: clockedBy(m), target: index, ctx: ctx}
	if opts != nil {
		l.meter.tell, l.restoring = opts.Progress, opts.State
	}
	err := l.restoreAt()
	if err == nil {
		l.meter.end()
	}
	return err
}

// restoreAt is RestoreAt.
func (l *loader) restoreAt() error {
	dir, index := l.dir.Path, l.target
	files, err := l.dir.Find()
	if err != nil {
		return err
	}
	if !files.Reaches(index) {
		return &opError{is: ErrNotRetained, msg: fmt.Sprintf("the state of update %d is older than what is kept in %s", index, dir)}
	}
	l.list = files
	err = l.load()
	switch {
	case errors.Is(err, fs.ErrNotExist) && !l.machineError:
		now, lerr := l.dir.List()
		initial := l.report.Snapshot == "" && l.report.Updates == 0
		switch {
		case lerr != nil || now.Same(files):
		case !now.Reaches(index):
			return &opError{is: ErrNotRetained, msg: fmt.Sprintf("the state of update %d was dropped from %s meanwhile", index, dir)}
		case now.HasSnapshot(index) || initial:
			return l.again() // a snapshot replaces what the machine holds
		}
	case errors.Is(err, ErrCorrupt) && !l.machineError:
		// A store that is open writes on after index: look at the whole again, in
		// the way that allows for that.
		if whole, cerr := undamaged(l.ctx, dir); cerr == nil && whole {
			return &opError{is: ErrNotRetained, msg: files.WhyNot(index, dir)}
		}
	}
	if err == nil && l.report.Index < index {
		err = &opError{is: ErrNotRetained, msg: fmt.Sprintf("%s ends with update %d, before %d", dir, l.report.Index, index)}
	}
	return err
}

// again begins anew; how far that is it tells after what it has told.
func (l *loader) again() error {
	*l = loader{dir: l.dir, m: l.m, machine: l.machine, target: l.target, ctx: l.ctx, meter: l.meter, restoring: l.restoring}
	return l.restoreAt()
}

// undamaged reports whether Check finds nothing wrong.
func undamaged(ctx context.Context, dir string) (bool, error) {
	reports, err := Check(ctx, dir, nil)
	return !slices.ContainsFunc(reports, func(r FileReport) bool { return len(r.Damage) > 0 }), err
}
