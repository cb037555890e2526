package store

import (
	"bytes"
	"errors"
	"time"
)

// A TimedMachine is a [Machine] whose updates depend on the time or on their index.
// The store calls ApplyAt in place of Apply, which it never calls then: embed
// [NoApply] for that.
//
// What is said of Apply holds for ApplyAt. The time is that of the commit that makes
// the update durable, by the clock of the machine on which it was made; it is fixed
// before the first update of the commit is applied, written with it, and the same
// whenever the update is replayed. It never goes back within a store, whatever the
// clock does, also after [Import] on another machine: after a commit made with a clock
// that was ahead, it stays until the clock has caught up, and a warning is logged. It has
// no monotonic part, and is in UTC. index is that of the update: the first ever has index
// 1. An update that is refused has the index and time that the next one may get.
type TimedMachine interface {
	Machine
	ApplyAt(at time.Time, index uint64, update []byte) (result any, err error)
}

// NoApply is embedded by a [TimedMachine] that has no use for Apply.
type NoApply struct{}

// Apply returns an error.
func (NoApply) Apply([]byte) (any, error) { return nil, errNoApply }

var errNoApply = errors.New("store: Apply was called of a machine that has only ApplyAt")

// A clocked is a machine, timed or not.
type clocked struct {
	m     Machine
	timed TimedMachine // m, if it is one, or nil
}

func clockedBy(m Machine) clocked {
	timed, _ := m.(TimedMachine)
	return clocked{m, timed}
}

// apply applies an update of the commit at that time, in nanoseconds since 1970.
func (c *clocked) apply(at int64, index uint64, update []byte) (any, error) {
	if c.timed == nil {
		return c.m.Apply(update)
	}
	return c.timed.ApplyAt(moment(at), index, update)
}

// replay applies u, as a log holds it.
func (c *clocked) replay(u *logged) error {
	if u.state {
		return c.m.Restore(bytes.NewReader(u.data))
	}
	_, err := c.apply(u.at, u.index, u.data)
	return err
}

// A logged is an update as a log holds it.
type logged struct {
	index uint64
	at    int64  // the time of its commit, in nanoseconds since 1970; 0: not known
	data  []byte // of the reader, until it reads on
	state bool   // data is a whole state: see [Store.Replace]
}

// moment returns the time that at is, in nanoseconds since 1970; the zero time if it
// is not known.
func moment(at int64) time.Time {
	if at == 0 {
		return time.Time{}
	}
	return time.Unix(0, at).UTC()
}
