package statetest

import (
	"bytes"
	"fmt"
	"math/rand/v2"

	"github.com/cespare/xxhash/v2"

	"github.com/stateio/stateio/store"
)

// A subject is the machine under test, as the user gave it.
type subject struct {
	newMachine func() store.Machine
	equal      func(a, b store.Machine) bool // nil: by the bytes of snapshots
}

// A trial puts one sequence of updates through one check.
type trial struct {
	subject
	run     *runner
	rng     *rand.Rand
	updates [][]byte // never changed, and never given to a machine but as a copy
	attempt int      // above 0: the trial is one of many, and should be short
	later   func()   // lets years go by, where not nil
	between func()   // lets time go by between two updates, where not nil

	log    [][]byte // the updates that the machine accepts: what a store logs; see accepted
	takes  []bool   // of each update, whether it is in log
	logged bool     // log and takes are set
	known  []digest // of the reference states, by number of updates; see expect
}

// A digest is that of a snapshot, or zero.
type digest struct {
	sum   uint64
	known bool
}

// apply gives m a copy of update, which gets that index if it is not refused.
func apply(m store.Machine, index int, update []byte) error {
	_, err := applyTo(m, uint64(index), bytes.Clone(update))
	return err
}

// applyAll applies updates of the log that were accepted before, after so many.
func applyAll(m store.Machine, before int, log [][]byte) error {
	for i, u := range log {
		if err := apply(m, before+i+1, u); err != nil {
			return fmt.Errorf("Apply accepted update %d of the log when it was made, and refused it in a replay: %w", before+i+1, err)
		}
	}
	return nil
}

// accepted sets tr.log to the updates that a machine accepts.
func (tr *trial) accepted() {
	if tr.logged {
		return
	}
	m := tr.newMachine()
	for _, u := range tr.updates {
		takes := apply(m, len(tr.log)+1, u) == nil
		tr.takes = append(tr.takes, takes)
		if takes {
			tr.log = append(tr.log, u)
		}
	}
	tr.logged = true
	tr.known = make([]digest, len(tr.log)+1)
}

// replay returns a machine that has applied the first k updates of the log and
// to which nothing else has happened.
func (tr *trial) replay(k int) (store.Machine, error) {
	m := tr.newMachine()
	return m, applyAll(m, 0, tr.log[:k])
}

// expect returns what is wrong if m is not in the state after the first k
// updates of the log.
func (tr *trial) expect(m store.Machine, k int) error {
	if tr.equal != nil {
		want, err := tr.replay(k)
		if err != nil {
			return err
		}
		return tr.compare(m, want)
	}
	got, err := snapshot(m)
	if err != nil {
		return err
	}
	return tr.expectSnapshot(got, k)
}

// expectSnapshot returns what is wrong if b is not a snapshot of the state after
// the first k updates of the log.
func (tr *trial) expectSnapshot(b []byte, k int) error {
	if tr.equal != nil {
		m := tr.newMachine()
		if err := restore(m, b); err != nil {
			return err
		}
		return tr.expect(m, k)
	}
	sum := xxhash.Sum64(b)
	if tr.known[k].known && tr.known[k].sum == sum {
		return nil
	}
	m, err := tr.replay(k)
	if err != nil {
		return err
	}
	want, err := snapshot(m)
	if err != nil {
		return err
	}
	tr.known[k] = digest{xxhash.Sum64(want), true}
	return difference(b, want)
}

// compare returns what is wrong if the two machines are not in the same state.
func (s *subject) compare(got, want store.Machine) error {
	if s.equal != nil && s.equal(got, want) {
		return nil
	}
	a, err := snapshot(got)
	if err != nil {
		return err
	}
	b, err := snapshot(want)
	if err != nil {
		return err
	}
	if s.equal != nil {
		return fmt.Errorf("Options.Equal says so; the snapshots are\n%s\n%s", line("got", a, 0), line("want", b, 0))
	}
	return difference(a, b)
}
