package store

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"time"

	"github.com/stateio/stateio/internal/storefile"
)

// IndexAt returns the index of the last update in the store in directory dir that was
// made at time t or before, which [RestoreAt] takes: 0 if the first was made later. Times
// are those of the commits, by the clock of the machine on which they were made. It reads
// the log of that time, changes nothing and takes no lock, so it works while the store is
// open; updates that are not yet durable may count.
//
// Times never go back in a store. If an update bears one that is still to come, the clock
// was ahead when it was made, and those that follow bear it, too: what of them was made
// before t nobody knows, and the error is ErrClockAhead.
//
// The error is ErrNotRetained if updates that far back are no longer kept; otherwise it is
// that of ctx, when that ends meanwhile, or one of [ReadUpdates].
func IndexAt(ctx context.Context, dir string, t time.Time) (index uint64, err error) {
	return indexAt(ctx, filesIn(dir), t)
}

func indexAt(ctx context.Context, in storefile.Dir, t time.Time) (uint64, error) {
	l, err := in.Find()
	if err != nil {
		return 0, err
	}
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
	return 0, &opError{is: ErrNotRetained, msg: fmt.Sprintf("updates made before %s are no longer in %s", t.Format(time.RFC3339Nano), in.Path)}
}

// clockAhead says that the updates that may be meant by t bear the time at, which is to come.
func clockAhead(in storefile.Dir, t, at time.Time) error {
	return &opError{is: ErrClockAhead, msg: fmt.Sprintf(
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
