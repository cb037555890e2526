package durable

import (
	"math"
	"testing"
	"time"
)

// However far the next deadline is, it is looked at again soon, since the clock may be set;
// and not at once for ever, whatever the clock says.
func TestDeadlinesAreLookedAtAgainSoon(t *testing.T) {
	const second, never = int64(time.Second), int64(math.MaxInt64)
	for _, c := range []struct {
		now, next int64
		want      time.Duration
	}{
		{0, second, time.Second},
		{second, 0, 0},
		{0, 3600 * second, 10 * time.Second},
		{0, never - 1, 10 * time.Second},
		{0, never, time.Hour},
		{-second, never, time.Hour}, // a clock before 1970
		{-second, never - 1, 10 * time.Second},
		{-second, second, 2 * time.Second},
	} {
		if got := untilLook(c.now, c.next); got != c.want {
			t.Errorf("at %d, with a deadline at %d: %v, want %v", c.now, c.next, got, c.want)
		}
	}
}
