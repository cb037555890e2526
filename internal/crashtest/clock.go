package crashtest

import (
	"sync/atomic"
	"time"
)

// A clock shows another time whenever it is read, and at times goes back by an hour, or
// on by one: the same times in each run.
type clock struct{ reads atomic.Int64 }

func (c *clock) now() time.Time {
	n := c.reads.Add(1)
	t := time.Unix(1_800_000_000, 0).Add(time.Duration(n) * time.Millisecond)
	switch n % 64 / 16 {
	case 1:
		return t.Add(-time.Hour)
	case 2:
		return t.Add(time.Hour)
	}
	return t
}
