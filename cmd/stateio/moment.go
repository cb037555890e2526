package main

import (
	"context"
	"fmt"
	"strconv"
	"time"

	"github.com/stateio/stateio/store"
)

// moments are the forms in which a time is given; one without a zone is in UTC, as times are printed.
var moments = []string{time.RFC3339Nano, "2006-01-02T15:04:05", "2006-01-02T15:04", "2006-01-02 15:04:05Z07:00", "2006-01-02 15:04:05", "2006-01-02 15:04", "2006-01-02"}

// momentOf returns the time that a text stands for.
func momentOf(text string) (time.Time, bool) {
	if d, err := time.ParseDuration(text); err == nil && d < 0 {
		return time.Now().Add(d), true
	}
	for _, form := range moments {
		if t, err := time.Parse(form, text); err == nil {
			return t, true
		}
	}
	return time.Time{}, false
}

// indexOf returns the index that INDEX|TIME stands for in the store in dir: that of the
// last update made until then. The time is the zero time for an INDEX.
func indexOf(ctx context.Context, dir, flag, text string) (uint64, time.Time, error) {
	if index, err := strconv.ParseUint(text, 10, 64); err == nil {
		return index, time.Time{}, nil
	}
	t, ok := momentOf(text)
	if !ok {
		return 0, t, usageError{fmt.Errorf("%s %q is neither an index nor a time like 2006-01-02T15:04:05Z, 2006-01-02 15:04, or -10m for ten minutes ago", flag, text)}
	}
	until := t
	if t.Nanosecond()%int(time.Millisecond) == 0 {
		until = t.Add(time.Millisecond - 1) // times are printed in milliseconds, rounded down
	}
	index, err := store.IndexAt(ctx, dir, until)
	return index, t, err
}
