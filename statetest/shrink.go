package statetest

import (
	"slices"
	"time"
)

const (
	// shrinkTime is enough for most machines, and bearable with a slow one.
	shrinkTime = 10 * time.Second
	// attempts is how often a sequence is tried, with other random choices, until
	// it is taken for one that does not show the failure.
	attempts = 5
)

// shrink leaves out updates as long as what is left still fails the same check.
func (r *runner) shrink(f *failure) *failure {
	end := time.Now().Add(r.shrinkTime)
	for size := len(f.updates); size > 0; {
		found := false
		for to := len(f.updates); to > 0; {
			if time.Now().After(end) {
				return f
			}
			from := max(0, to-size)
			if shorter := r.retry(f, slices.Concat(f.updates[:from], f.updates[to:])); shorter != nil {
				f, found = shorter, true
				to = min(from, len(f.updates))
				continue
			}
			to = from
		}
		if !found || size > 1 {
			size /= 2
		}
		if size == 0 && !found {
			f.sure = true
		}
	}
	return f
}

// retry returns the failure that shows with other, fewer updates, if it is like
// f, or nil.
func (r *runner) retry(f *failure, updates [][]byte) *failure {
	for n := range attempts {
		again, random := r.attempt(f.check, updates, 1+n)
		if again != nil && again.panics == f.panics {
			return again
		}
		if !random {
			break
		}
	}
	return nil
}
