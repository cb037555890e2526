package store

import "time"

// clockSlack is how far the last commit may be ahead of the clock without a word: clocks
// are set back by seconds all the time.
const clockSlack = time.Minute

// ahead returns how far the time of a commit, in nanoseconds since 1970, is ahead of now;
// 0 if it is not.
func ahead(last int64, now time.Time) time.Duration {
	return max(0, moment(last).Sub(now))
}

// sayAheadLocked warns when the time of the last commit is ahead of the clock, once until
// the clock has caught up. Up to then all commits have that time. The caller holds batchMu.
func (s *Store) sayAheadLocked(last int64, now time.Time) {
	by := ahead(last, now)
	switch {
	case by == 0:
		s.ahead = false
	case by > clockSlack && !s.ahead:
		s.ahead = true
		s.say.warn("store: the last commit was made with a clock that was ahead of this one: until the clock has caught up, commits keep that time, and states are found by index, not by time",
			"dir", s.dir, "commit", moment(last), "clock", now.UTC(), "ahead", by)
	}
}
