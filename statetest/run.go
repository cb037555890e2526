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
	r := &runner{subject: subject{newMachine: newMachine, equal: o.Equal}, opts: o, shrinkTime: shrinkTime}
	stream := take(updates, o.Updates)
	if len(stream) == 0 {
		t.Errorf("statetest: the stream holds no updates, so there is nothing to check")
		return
	}
	for _, c := range checks {
		if f := r.try(c, stream); f != nil {
			t.Errorf("%s", r.report(r.explain(f), t.Name()))
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

// checks are in such an order that each can rely on the ones before it.
var checks = []*check{
	encodingCheck,
	independentCheck,
	deterministicCheck,
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
	refused     int           // updates of the stream
	crashStates int           // opened and judged
	shrinkTime  time.Duration // to spend at most on looking for fewer updates
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
