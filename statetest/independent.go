package statetest

import (
	"bytes"
	"fmt"
	"slices"

	"github.com/stateio/stateio/store"
)

// independentCheck finds machines that share state: by a package-level
// variable, or because newMachine returns the same one twice. Nothing else can
// be checked with those.
var independentCheck = &check{
	name:    "machines are independent",
	promise: "newMachine returns a new machine each time, in its initial state",
	run: func(tr *trial) error {
		idle, busy := tr.newMachine(), tr.newMachine()
		before, err := snapshot(idle)
		if err != nil {
			return err
		}
		accepted := 0
		for _, u := range tr.updates {
			if apply(busy, accepted+1, u) == nil { // refusing is fine
				accepted++
			}
			after, err := snapshot(idle)
			if err != nil {
				return err
			}
			if tr.touched(idle, busy, before, after) {
				return fmt.Errorf("a machine to which nothing was done has changed when another one was updated:\n%w",
					excerpts(after, before))
			}
		}
		return nil
	},
}

// touched reports whether the idle machine has changed, of which these are
// snapshots.
func (tr *trial) touched(idle, busy store.Machine, before, after []byte) bool {
	if tr.equal == nil {
		return !bytes.Equal(before, after)
	}
	// The bytes may be in any order; and if the machines share all they have,
	// Equal can't tell them apart.
	return tr.equal(idle, busy) && !bytes.Equal(sorted(before), sorted(after))
}

func sorted(b []byte) []byte {
	b = slices.Clone(b)
	slices.Sort(b)
	return b
}
