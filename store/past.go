package store

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"sort"
	"time"

	"github.com/stateio/stateio/internal/meter"
	"github.com/stateio/stateio/internal/storefile"
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
// Options.KeepSnapshots says what is kept; and if update index is one of a [Store.Change], and
// not the last one, since there was no state between them: the message has the indexes before
// and after. It is that of ctx when that ends meanwhile, be
// it while a snapshot is verified, while the machine reads it, or between two updates.
// It is fs.ErrNotExist if there is no store in dir. Otherwise errors are those of Open.
// After an error m may hold any part of a state.
func RestoreAt(ctx context.Context, dir string, m Machine, index uint64, opts *RestoreOptions) error {
	if m == nil {
		return errors.New("store: restoring needs a Machine, not nil")
	}
	l := &loader{dir: filesIn(dir), m: m, machine: clockedBy(m), target: index, ctx: ctx}
	if opts != nil {
		l.meter, l.restoring = *meter.New(opts.Progress, nil), opts.State
	}
	err := l.restoreAt()
	if err == nil {
		l.meter.End()
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
		if err := l.dir.HasBeginning(files); err != nil {
			return err
		}
		return &storefile.Error{Is: ErrNotRetained, Msg: fmt.Sprintf("the state of update %d is older than what is kept in %s", index, dir)}
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
			return &storefile.Error{Is: ErrNotRetained, Msg: fmt.Sprintf("the state of update %d was dropped from %s meanwhile", index, dir)}
		case now.HasSnapshot(index) || initial:
			return l.again() // a snapshot replaces what the machine holds
		}
	case errors.Is(err, ErrCorrupt) && !l.machineError:
		// A store that is open writes on after index: look at the whole again, in
		// the way that allows for that.
		switch whole, cerr := undamaged(l.ctx, dir); {
		case cerr == nil && whole:
			return &storefile.Error{Is: ErrNotRetained, Msg: files.WhyNot(index, dir)}
		case l.ctx.Err() != nil:
			return fmt.Errorf("store: looking whether %s is damaged: %w", dir, l.ctx.Err())
		}
	}
	if err == nil && l.report.Index < index {
		err = &storefile.Error{Is: ErrNotRetained, Msg: fmt.Sprintf("%s ends with update %d, before %d", dir, l.report.Index, index)}
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

// IndexAt returns the index of the last update in the store in directory dir that was
// made at time t or before, which [RestoreAt] takes: 0 if the first was made later. Times
// are those of the commits, by the clock of the machine on which they were made: a commit
// has the time at which its first update was applied, and others that joined it later count
// with that one; see [TimedMachine]. It reads the log of that time, changes nothing and
// takes no lock, so it works while the store is open; updates that are not yet durable may
// count.
//
// Times never go back in a store. If an update bears one that is still to come, the clock
// was ahead when it was made, and those that follow bear it, too: what of them was made
// before t nobody knows, and the error is ErrClockAhead.
//
// The error is ErrNotRetained if updates that far back are no longer kept, and fs.ErrNotExist
// if there is no store in dir; otherwise it is that of ctx, when that ends meanwhile, or one of
// [ReadUpdates].
func IndexAt(ctx context.Context, dir string, t time.Time) (index uint64, err error) {
	return indexAt(ctx, filesIn(dir), t)
}

func indexAt(ctx context.Context, in storefile.Dir, t time.Time) (uint64, error) {
	for {
		l, err := in.Find()
		if err != nil {
			return 0, err
		}
		index, err := indexIn(ctx, in, l, t)
		if errors.Is(err, ErrNotRetained) {
			// A store that is open may have dropped what was to be read.
			if now, lerr := in.Find(); lerr != nil || !now.Same(l) {
				continue
			}
		}
		return index, err
	}
}

// indexIn is indexAt for the files of l.
func indexIn(ctx context.Context, in storefile.Dir, l *storefile.Listing, t time.Time) (uint64, error) {
	oldest := int64(0) // the time before the oldest log
	for _, base := range slices.Backward(l.Logs) {
		h, used, err := in.LogUse(base)
		switch {
		case errors.Is(err, fs.ErrNotExist):
			continue // it was dropped, or given up, meanwhile
		case err != nil:
			return 0, err
		case used && (base == 0 || !moment(h.Time).After(t)):
			return lastUntil(ctx, in, base, t)
		case !used && base == 0:
			return 0, nil
		case !used && !moment(h.Time).After(t):
			return base, nil
		}
		oldest = h.Time
	}
	if ahead(oldest, in.FS.Now()) > clockSlack {
		return 0, clockAhead(in, t, moment(oldest))
	}
	back := ""
	if oldest != 0 {
		back = ", which goes back to " + moment(oldest).UTC().Format(time.RFC3339Nano)
	}
	return 0, &storefile.Error{Is: ErrNotRetained, Msg: fmt.Sprintf("updates made before %s are no longer in %s%s", t.UTC().Format(time.RFC3339Nano), in.Path, back)}
}

// clockAhead says that the updates that may be meant by t bear the time at, which is to come.
func clockAhead(in storefile.Dir, t, at time.Time) error {
	return &storefile.Error{Is: ErrClockAhead, Msg: fmt.Sprintf(
		"which update was the last one before %s is not known: the clock was ahead when updates in %s were made, so that they and all that followed bear the time %s or a later one, which is still to come; give an index in place of a time",
		t.Format(time.RFC3339Nano), in.Path, at.Format(time.RFC3339Nano))}
}

// lastUntil returns the index of the last update made at time t or before, which is in
// the log of base, or base.
func lastUntil(ctx context.Context, in storefile.Dir, base uint64, t time.Time) (uint64, error) {
	last := base
	for u, err := range ReadUpdates(ctx, in.Path, base+1) {
		switch {
		case err != nil:
			return 0, err
		case ahead(u.Time.UnixNano(), in.FS.Now()) > clockSlack && u.Time.After(t):
			return 0, clockAhead(in, t, u.Time)
		case u.Time.After(t):
			return last, nil
		}
		last = u.Index
	}
	return last, nil
}

// Bisect returns the first update in the store in directory dir after which bad holds: the
// one that broke the state. It searches the snapshots by halves, so once bad holds for one
// of them, it must hold for all later ones. Then it replays the updates after the last
// good snapshot, and calls bad after each, and after the last one of a [Store.Change] only: the
// result is the first of them after which bad holds, whatever comes later. newMachine returns a new machine in its initial state each
// time. bad must not change the machine. Nothing is changed on disk, and the store may be
// open.
//
// The error is [ErrNotRetained] if bad holds for the oldest state that is kept, or for
// none up to the end. Otherwise it is that of ctx, or one of [RestoreAt].
func Bisect(ctx context.Context, dir string, newMachine func() Machine, bad func(Machine) bool) (Update, error) {
	if newMachine == nil || bad == nil {
		return Update{}, errors.New("store: bisecting needs a function that makes machines, and one that judges them, not nil")
	}
	l, err := filesIn(dir).Find()
	if err != nil {
		return Update{}, err
	}
	starts := l.Snaps
	if l.Reaches(0) && !l.HasSnapshot(0) {
		starts = append([]uint64{0}, starts...)
	}
	if len(starts) == 0 {
		_, err := Load(ctx, dir, newMachine()) // which says what is missing
		return Update{}, fmt.Errorf("store: bisecting %s: %w", dir, storefile.Bare(err))
	}
	m, index, err := lastGood(ctx, dir, starts, newMachine, bad)
	if err != nil {
		return Update{}, err
	}
	return firstBad(ctx, dir, m, index, bad)
}

// firstBad replays the updates after index, unit by unit, up to the first state that is bad.
func firstBad(ctx context.Context, dir string, m Machine, index uint64, bad func(Machine) bool) (found Update, err error) {
	machine := clockedBy(m)
	c := &cursor{dir: filesIn(dir), next: index + 1, once: true}
	defer c.close()
	var refused error
	err = c.readAll(ctx, func(u *logged) bool {
		for ; u != nil; u = c.rest() {
			if refused = machine.replay(u); refused != nil {
				return false
			}
		}
		if bad(m) {
			found = c.u.update()
		}
		return found.Index == 0
	})
	switch {
	case refused != nil:
		return Update{}, fmt.Errorf("store: bisecting %s: the machine refused update %d, as it had not when the update was made: %w", dir, c.u.index, storefile.Bare(refused))
	case err != nil:
		return Update{}, err
	case found.Index == 0:
		return Update{}, &storefile.Error{Is: ErrNotRetained, Msg: fmt.Sprintf("no update up to %d, the last one in %s, gives a state that is bad", c.next-1, dir)}
	}
	return found, nil
}

// lastGood returns a machine in the last of the states of these indexes that is not bad.
func lastGood(ctx context.Context, dir string, indexes []uint64, newMachine func() Machine, bad func(Machine) bool) (Machine, uint64, error) {
	good := make([]Machine, len(indexes))
	var err error
	n := sort.Search(len(indexes), func(i int) bool {
		if err != nil {
			return true
		}
		m := newMachine()
		if err = RestoreAt(ctx, dir, m, indexes[i], nil); err != nil {
			return true
		}
		if bad(m) {
			return true
		}
		clear(good[:i]) // no longer needed
		good[i] = m
		return false
	})
	switch {
	case err != nil:
		return nil, 0, fmt.Errorf("store: bisecting %s: %w", dir, storefile.Bare(err))
	case n == 0:
		return nil, 0, &storefile.Error{Is: ErrNotRetained, Msg: fmt.Sprintf("the oldest state in %s, that of index %d, is bad already", dir, indexes[0])}
	}
	return good[n-1], indexes[n-1], nil
}
