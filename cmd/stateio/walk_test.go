package main

import (
	"math"
	"testing"

	"github.com/stateio/stateio/store"
)

// A walk never goes back, and comes to its end with the last update.
func TestAWalkCoversTheLogs(t *testing.T) {
	files := []store.File{
		{First: 1, Last: 100, Size: 100 * (updateHead + 50)},
		{First: 101, Last: 100, Size: 200}, // without updates
		{First: 101, Last: 200, Size: 100 * (updateHead + 10)},
		{First: 201, Size: 50 * (updateHead + 20)},
		{Snapshot: true, First: 100, Last: 100, Size: 1 << 30},
	}
	size := func(index uint64) int {
		switch {
		case index <= 100:
			return 50
		case index <= 200:
			return 10
		}
		return 20
	}
	for _, r := range []struct{ first, last, logs uint64 }{
		{1, 250, 4}, {101, 250, 2}, {201, 250, 1}, {1, 100, 1}, {51, 150, 3}, {120, 130, 1}, {51, 60, 1},
	} {
		last := r.last
		if last == 250 {
			last = math.MaxUint64
		}
		w := newWalk(files, r.first, last)
		if len(w.logs) != int(r.logs) {
			t.Errorf("%d to %d: %d logs, want %d", r.first, r.last, len(w.logs), r.logs)
		}
		before := int64(0)
		for index := r.first; index <= r.last; index++ {
			done := w.read(index, size(index))
			if done <= before || done > w.total {
				t.Fatalf("%d to %d: %d of %d bytes after %d, at update %d", r.first, r.last, done, w.total, before, index)
			}
			before = done
		}
		if before < w.total-2 { // of rounding
			t.Errorf("%d to %d: it ends after %d of %d bytes", r.first, r.last, before, w.total)
		}
	}
	w := newWalk(files, 101, 130)
	w.read(5000, 1<<20)
	if w.past+w.in < w.total {
		t.Error("a log that was dropped meanwhile holds it up")
	}
}
