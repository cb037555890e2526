package statetest

import (
	"time"

	"github.com/stateio/stateio/store"
)

// A dated is a machine with ApplyAt, whose updates have the same time whenever a
// check makes them, in a store or without one: the time follows from the index.
type dated struct{ store.TimedMachine }

// ApplyAt implements store.TimedMachine.
func (d dated) ApplyAt(_ time.Time, index uint64, update []byte) (any, error) {
	return d.TimedMachine.ApplyAt(timeOf(index), index, update)
}

// timeOf returns the time of an update: that of its commit, of up to three updates.
func timeOf(index uint64) time.Time {
	const perCommit = 3
	first := time.Date(2026, time.January, 31, 23, 59, 0, 0, time.UTC)
	return first.Add(time.Duration(index/perCommit) * 1500 * time.Millisecond)
}

// undated returns the user's machine.
func undated(m store.Machine) store.Machine {
	if d, ok := m.(dated); ok {
		return d.TimedMachine
	}
	return m
}

// newSubject returns the machines under test.
func newSubject(newMachine func() store.Machine, equal func(a, b store.Machine) bool) subject {
	s := subject{newMachine: func() store.Machine {
		m := newMachine()
		if timed, ok := m.(store.TimedMachine); ok {
			return dated{timed}
		}
		return m
	}}
	if equal != nil {
		s.equal = func(a, b store.Machine) bool { return equal(undated(a), undated(b)) }
	}
	return s
}

// applyTo gives m an update, which gets that index if it is not refused.
func applyTo(m store.Machine, index uint64, update []byte) (any, error) {
	if timed, ok := m.(store.TimedMachine); ok {
		return timed.ApplyAt(timeOf(index), index, update)
	}
	return m.Apply(update)
}
