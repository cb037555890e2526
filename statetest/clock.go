package statetest

import (
	"errors"
	"testing"
	"testing/synctest"
	"time"
)

// clockCheck gives pairs of machines the same updates, the first one all at once, the
// second one years later on the clock of a synctest bubble, with time between them: a clock
// that is looked at in seconds or days, or for what has gone by since the last update,
// shows the same to two machines that are updated one after the other.
var clockCheck = &check{
	name: "Apply does not look at the clock",
	promise: "the same updates in the same order, applied to the same state, give the same state " +
		"at any time and on any machine, so it must not look at clocks, random numbers, the environment or the order of a map",
	run: func(tr *trial) error {
		if tr.run.bubble == nil || !tr.inBubble(func() { _ = guarded(func() error { return tr.deterministic(1) }) }) {
			return nil
		}
		var err error
		tr.inBubble(func() {
			tr.later = func() { time.Sleep(yearsLater) }
			tr.between = func() { time.Sleep(spans[tr.rng.IntN(len(spans))]) }
			err = guarded(func() error { return tr.deterministic(4) })
		})
		tr.later, tr.between = nil, nil
		var p *panicError
		if errors.As(err, &p) { // it has not panicked outside of the bubble
			return nil
		}
		return err
	},
}

// inBubble calls f in a bubble, and reports whether that holds it: one can't be made within
// another one, nor hold goroutines that the machine leaves behind. Such a goroutine may have a
// ticker, and would tick through the years: nothing is checked unless one that sees no time
// go by has ended.
func (tr *trial) inBubble(f func()) bool {
	return guarded(func() error { tr.run.bubble(f); return nil }) == nil
}

// yearsLater changes the second, minute, hour, weekday, day, month and year.
const yearsLater = (40*365+200)*24*time.Hour + 7*time.Hour + 7*time.Minute + 7*time.Second

// spans go by between two updates: what a time limit, an hour of the day or the end of a
// month may be about. Half of them are short, so that a limit is not always exceeded.
var spans = []time.Duration{
	0, 0, time.Millisecond, 90 * time.Millisecond, 1100 * time.Millisecond, 11 * time.Second,
	61 * time.Second, 31 * time.Minute, 61 * time.Minute, 5 * time.Hour, 25 * time.Hour, 8 * 24 * time.Hour,
}

// bubbleOf returns a function that calls another one in a synctest bubble, or nil
// if t can't make one.
func bubbleOf(t testing.TB) func(f func()) {
	test, ok := t.(*testing.T)
	if !ok {
		return nil
	}
	return func(f func()) { synctest.Test(test, func(*testing.T) { f() }) }
}
