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
	for _, base := range slices.Backward(l.Logs) {
		h, used, err := in.LogUse(base)
		switch {
		case errors.Is(err, fs.ErrNotExist):
			continue // it was dropped, or given up, meanwhile
		case err != nil:
			return 0, err
		case used && (base == 0 || !moment(h.Time).After(t)):
			return lastUntil(ctx, in.Path, base, t)
		case !used && base == 0:
			return 0, nil
		case !used && !moment(h.Time).After(t):
			return base, nil
		}
	}
	return 0, &opError{is: ErrNotRetained, msg: fmt.Sprintf("updates made before %s are no longer in %s", t.Format(time.RFC3339Nano), in.Path)}
}

// lastUntil returns the index of the last update made at time t or before, which is in
// the log of base, or base.
func lastUntil(ctx context.Context, dir string, base uint64, t time.Time) (uint64, error) {
	last := base
	for u, err := range ReadUpdates(ctx, dir, base+1) {
		if err != nil {
			return 0, err
		}
		if u.Time.After(t) {
			break
		}
		last = u.Index
	}
	return last, nil
}
