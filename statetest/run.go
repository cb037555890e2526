package statetest

import (
	"bytes"
	"iter"
	"testing"
	"time"

	"github.com/stateio/stateio/store"
)

// Run tortures the state machine that newMachine makes, with the given stream
// of updates, and fails t if the machine breaks the contract of [store.Machine]:
// the package documentation lists the checks. Nil opts are the defaults.
//
// newMachine is called often, must return a new machine in its initial state
// each time, and machines must not share anything that updates change. The
// stream is read once, up to Options.Updates; each slice need only be valid for
// its turn of the loop, and is not changed. Among the updates should be ones
// that Apply refuses.
//
// The first check that fails ends Run, by t.Errorf, with the shortest sequence
// of updates that was found to show the failure and the seed that repeats it. A
// panic in the machine is such a failure too.
//
// Run may be called from several tests at once.
func Run(t testing.TB, newMachine func() store.Machine, updates iter.Seq[[]byte], opts *Options) {
	t.Helper()
	o, err := opts.withDefaults()
	if err != nil {
		t.Errorf("statetest: %v", err)
		return
	}
	if newMachine == nil || updates == nil {
		t.Errorf("statetest: Run needs a function that makes machines and a stream of updates, not nil")
		return
	}
	if newMachine() == nil {
		t.Errorf("statetest: the function that makes machines has returned nil")
		return
	}
	w := newWatch(t.Name())
	r := &runner{subject: newSubject(w.count(newMachine), o.Equal), opts: o, bubble: bubbleOf(t), shrinkTime: shrinkTime}
	stream := take(updates, o.Updates)
	if len(stream) == 0 {
		t.Errorf("statetest: the stream holds no updates, so there is nothing to check")
		return
	}
	for _, c := range checks {
		t.Logf("statetest: check %q", c.name) // with -v, it is seen now
		if !r.check(t, w, c, stream) {
			return
		}
	}
	if r.refused == len(stream) {
		t.Errorf("statetest: Apply has refused all %d updates, so there is nothing to check", len(stream))
		return
	}
	t.Logf("statetest: %d updates, %d of them refused, %d crash states, seed %d",
		len(stream), r.refused, r.crashStates, o.Seed)
	if r.refused == 0 {
		t.Logf("statetest: no update was refused, so it was not checked that one which is leaves the state as it was")
	}
}

// check reports whether the machine passes check c, and tells t if it does not.
func (r *runner) check(t testing.TB, w *watch, c *check, stream [][]byte) bool {
	t.Helper()
	returned := false
	defer w.over(c)()
	defer func() {
		if !returned {
			t.Errorf("statetest: check %q did not end: %v", c.name, errGoexit)
		}
	}()
	f := r.try(c, stream)
	if f != nil {
		f = r.explain(f)
	}
	returned = true
	if f != nil {
		t.Errorf("%s", r.report(f, t.Name()))
	}
	return f == nil
}

// checks are in such an order that each can rely on the ones before it.
var checks = []*check{
	encodingCheck,
	independentCheck,
	deterministicCheck,
	clockCheck,
	refusedCheck,
	sliceCheck,
	resumeCheck,
	restoreCheck,
	readErrorCheck,
	captureCheck,
	interleaveCheck,
	givenUpCheck,
	besideCheck,
	crashCheck,
	goldenCheck,
}

// A check is one way to find a machine that breaks its contract.
type check struct {
	name    string
	promise string // what package store asks for, in its words
	// run returns what is wrong with the machine, nil if nothing is. It may set
	// the trial's updates to another sequence, which shows the failure.
	run func(*trial) error
	// fixed says that what fails is not the stream, so there is nothing to
	// shrink.
	fixed bool
}

// A runner is one call of Run.
type runner struct {
	subject
	opts        Options
	bubble      func(f func()) // calls f with a clock of its own, or nil
	refused     int            // updates of the stream
	crashStates int            // opened and judged
	shrinkTime  time.Duration  // to spend at most on looking for fewer updates
}

// take returns copies of the first n updates of a stream.
func take(updates iter.Seq[[]byte], n int) [][]byte {
	var taken [][]byte
	for u := range updates {
		taken = append(taken, bytes.Clone(u))
		if len(taken) == n {
			break
		}
	}
	return taken
}
