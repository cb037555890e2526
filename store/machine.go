package store

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math"
	"reflect"
	"time"

	"github.com/stateio/stateio/internal/strictjson"
)

// A Machine is the state that a [Store] keeps, with the code that changes it.
//
// The store calls Apply, Snapshot and Restore one at a time, and never while a
// function passed to [Store.View] runs. The io.WriterTo that Snapshot returned
// runs concurrently with all of them.
type Machine interface {
	// Apply changes the state as update says. It must be deterministic: the same
	// updates in the same order, applied to the same state, give the same state
	// at any time and on any machine, so it must not look at clocks, random
	// numbers, the environment or the order of a map.
	//
	// The result is returned to the caller of [Store.Update], and not kept. A result
	// that points into the state is read there while Apply changes it: return a copy.
	//
	// An error says that the update is refused: the state is then as it was before, the
	// update is not logged, and the error goes to the caller as it is. Apply must not
	// keep update, which belongs to the caller, nor change it (what it leaves there is
	// logged), nor call methods of the store. A panic in Apply fails the store and goes
	// on to the caller.
	Apply(update []byte) (result any, err error)

	// Snapshot captures the state as it is now, and should be quick, since
	// updates wait for it: take a copy, clone a map, keep the root of a
	// persistent tree. Several captured states may be there at once, as when
	// Backup runs during a snapshot. The WriteTo of what it returns writes the captured state
	// later, in the background, concurrently with calls of Apply, which must not change it.
	// It is called once, or not at all when the snapshot is given up. If it is
	// also an io.Closer, it is closed at the end, whatever happened. A panic in Snapshot, or
	// in WriteTo or Close of what it returns, is an error of whoever wanted the state, and
	// so is runtime.Goexit.
	Snapshot() (io.WriterTo, error)

	// Restore replaces the whole state by the one that WriteTo wrote, whatever
	// the state was before. It need not read up to the end. The store has
	// verified the snapshot before; an error makes [Open] fail, and so does one of reading
	// that Restore passes over. [Store.Replace] calls it, too, and Open again for what that
	// has logged.
	Restore(snapshot io.Reader) error
}

// An UpdateChecker is a [Machine] that can tell whether it understands an update without
// applying it: those that [Untyped] returns do, and so do all that are typed.
//
// A store needs no such thing: an update that Apply refuses is not logged. A node of a
// cluster does, since there updates are logged before they are applied. It asks before it
// sends an update, and one that it meets in the log and does not understand ends the
// process: a newer release has made it, and to pass it over would be to lose it.
type UpdateChecker interface {
	// CheckUpdate returns why the machine does not understand an update, and nil if it
	// does. The answer rests on the bytes alone, and is the same on all nodes of one
	// release. It may be called from several goroutines at once, also while Apply runs. It
	// must not keep or change the slice.
	CheckUpdate(update []byte) error
}

// A TypeChecker is a [Machine], or a [Codec] of one, that can tell from its types alone that it
// would lose something in silence. Opening a store, or a node of a cluster, asks it, before
// anything is made: [JSON], [Versions], [JSONState] and the machines of [Untyped] and package
// durable are such.
type TypeChecker interface {
	// CheckType returns an error that says what would be lost, and what to do about it.
	CheckType() error
}

// checkType returns what v has to say against its types.
func checkType(v any) error {
	if c, ok := v.(TypeChecker); ok {
		return c.CheckType()
	}
	return nil
}

// A TimedMachine is a [Machine] whose updates depend on the time or on their index.
// The store calls ApplyAt in place of Apply, which it never calls then: embed
// [NoApply] for that.
//
// What is said of Apply holds for ApplyAt. The time is that of the commit that makes
// the update durable, by the clock of the machine on which it was made; it is fixed
// before the first update of the commit is applied, written with it, and the same
// whenever the update is replayed. So it may be before the call that made the update: by as
// long as the commit has taken updates by then, which it does until the one before it is on
// the disk and Options.SyncInterval is over. It never goes back within a store, whatever the
// clock does, also after [Import] on another machine: after a commit made with a clock
// that was ahead, it stays until the clock has caught up, and a warning is logged. Of a
// clock after 2262 it is the last time that files can hold; of one before 1970 in a new
// store it is the zero time. It has no monotonic part, and is in UTC. index is that of
// the update: the first ever has index 1. An update that is refused has the index and
// time that the next one may get.
type TimedMachine interface {
	Machine
	ApplyAt(at time.Time, index uint64, update []byte) (result any, err error)
}

// NoApply is embedded by a [TimedMachine] that has no use for Apply.
type NoApply struct{}

// Apply returns an error.
func (NoApply) Apply([]byte) (any, error) { return nil, errNoApply }

var errNoApply = errors.New("store: Apply was called on a machine that has only ApplyAt")

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
	index   uint64
	unitEnd uint64 // of the last update of its unit, a [Store.Change]; index, if it is one by itself
	at      int64  // the time of its commit, in nanoseconds since 1970; 0: not known
	data    []byte // of the reader, until it reads on
	state   bool   // data is a whole state: see [Store.Replace]
}

// update returns u as it is told.
func (u *logged) update() Update {
	return Update{Index: u.index, Time: moment(u.at), Data: bytes.Clone(u.data), State: u.state, More: u.index < u.unitEnd}
}

// moment returns the time that at is, in nanoseconds since 1970; the zero time if it
// is not known.
func moment(at int64) time.Time {
	if at == 0 {
		return time.Time{}
	}
	return time.Unix(0, at).UTC()
}

// nanoseconds returns now in nanoseconds since 1970, as files hold it: of a clock before 1678
// or after 2262 the first or last time that they can hold.
func nanoseconds(now time.Time) int64 {
	switch n := now.UnixNano(); {
	case moment(n).Equal(now) || n == 0 && now.Equal(time.Unix(0, 0)):
		return n
	case now.Year() < 1970:
		return math.MinInt64
	}
	return math.MaxInt64
}

// clockSlack is how far the last commit may be ahead of the clock without a word: clocks
// are set back by seconds all the time.
const clockSlack = time.Minute

// ahead returns how far the time of a commit, in nanoseconds since 1970, is ahead of now;
// 0 if it is not.
func ahead(last int64, now time.Time) time.Duration {
	return max(0, moment(last).Sub(now))
}

// JSONState is a state that is kept as JSON: a machine embeds it, and has Snapshot and
// Restore. What is left to write is Apply, which changes State.
//
//	type inventory struct{ store.JSONState[map[string]int] }
//
//	func newInventory() *inventory {
//		return &inventory{store.JSONState[map[string]int]{State: map[string]int{}}}
//	}
//
//	func (i *inventory) Apply(item string) (int, error) {
//		i.State[item]++
//		return i.State[item], nil
//	}
//
// Snapshot encodes all of State while updates wait, and decodes it to see whether it can
// be read back: about 20 ms for each megabyte, so this is for states of some megabytes. It
// encodes as [JSON] does, and with the same care: what JSON can't hold, or T can't be read
// back from, is an error of Snapshot.
//
// Opening a store is an error if T, or what it holds, has fields that encoding/json would leave
// out in silence: see [JSON]. What is in no snapshot by its rules, and no error, are fields tagged
// json:"-" and the types of what an interface holds, so that an int in an any comes back as a
// float64. Such fields come back as zero, when the store is opened and the log before the
// snapshot is gone; statetest.Run finds what Apply depends on and a snapshot lacks.
type JSONState[T any] struct {
	State T
}

// CheckType implements [TypeChecker].
func (s *JSONState[T]) CheckType() error {
	if err := strictjson.LeftOut(reflect.TypeFor[T]()); err != nil {
		return fmt.Errorf("store: the state: %w; or write Snapshot and Restore yourself, in place of store.JSONState", err)
	}
	return nil
}

// Snapshot implements [Machine].
func (s *JSONState[T]) Snapshot() (io.WriterTo, error) {
	b, err := JSON[T]{}.Append(nil, s.State)
	if err != nil {
		return nil, fmt.Errorf("store: encoding the state: %w", err)
	}
	if _, err := (JSON[T]{}).Decode(b); err != nil { // what Open would say, when nothing is lost yet
		return nil, fmt.Errorf("store: the state could not be read back as it is: %w", err)
	}
	return bytes.NewReader(b), nil
}

// Restore implements [Machine].
func (s *JSONState[T]) Restore(snapshot io.Reader) error {
	b, err := io.ReadAll(snapshot)
	if err != nil {
		return err
	}
	state, err := JSON[T]{}.Decode(b)
	if err != nil {
		return fmt.Errorf("store: decoding the state: %w", err)
	}
	s.State = state
	return nil
}

// A WriterFunc is a function as an io.WriterTo, for what Machine.Snapshot returns: it
// writes a state that was captured, and returns the first error of w.
type WriterFunc func(w io.Writer) error

// WriteTo implements io.WriterTo: it calls f, and counts the bytes that were written.
func (f WriterFunc) WriteTo(w io.Writer) (int64, error) {
	c := &countingWriter{w: w}
	err := f(c)
	return c.n, err
}

// A countingWriter counts what is written.
type countingWriter struct {
	w io.Writer
	n int64
}

func (c *countingWriter) Write(p []byte) (int, error) {
	n, err := c.w.Write(p)
	c.n += int64(n)
	return n, err
}
