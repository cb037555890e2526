package main

import (
	"context"
	"fmt"
	"strconv"
	"time"

	"github.com/stateio/stateio/store"
)

// moments are the forms in which a time is given; one without a zone is local.
var moments = []string{time.RFC3339Nano, "2006-01-02T15:04:05", "2006-01-02T15:04", "2006-01-02 15:04:05", "2006-01-02 15:04", "2006-01-02"}

// indexOf returns the index that INDEX|TIME stands for in the store in dir: that of the
// last update made until then.
func indexOf(ctx context.Context, dir, flag, text string) (uint64, error) {
	if index, err := strconv.ParseUint(text, 10, 64); err == nil {
		return index, nil
	}
	if d, err := time.ParseDuration(text); err == nil && d < 0 {
		return store.IndexAt(ctx, dir, time.Now().Add(d))
	}
	for _, form := range moments {
		if t, err := time.ParseInLocation(form, text, time.Local); err == nil {
			if t.Nanosecond()%int(time.Millisecond) == 0 {
				t = t.Add(time.Millisecond - 1) // times are printed in milliseconds, rounded down
			}
			return store.IndexAt(ctx, dir, t)
		}
	}
	return 0, usageError{fmt.Errorf("%s %q is neither an index nor a time like 2006-01-02T15:04:05Z, 2006-01-02 15:04, or -10m for ten minutes ago", flag, text)}
}
