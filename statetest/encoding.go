package statetest

import (
	"bytes"
	"fmt"
)

// encodingCheck makes sure that states can be compared by the bytes of their
// snapshots.
var encodingCheck = &check{
	name:    "equal states have equal snapshots",
	promise: "statetest compares states by the bytes of their snapshots, unless Options.Equal is given",
	run: func(tr *trial) error {
		if tr.equal != nil {
			return nil
		}
		again := 3
		if tr.attempt > 0 {
			again = 20 // few updates are left, so few orders
		}
		m := tr.newMachine()
		accepted := 0
		for k := 0; ; k++ {
			first, err := snapshot(m)
			if err != nil {
				return err
			}
			for range again {
				second, err := snapshot(m)
				if err != nil {
					return err
				}
				if !bytes.Equal(first, second) {
					return explainEncoding(first, second, k)
				}
			}
			if k == len(tr.updates) {
				return nil
			}
			if apply(m, accepted+1, tr.updates[k]) == nil { // refusing is fine
				accepted++
			}
		}
	},
}

func explainEncoding(first, second []byte, k int) error {
	why := "Either Snapshot, WriteTo or Close changes the state, which they must not, or the encoding differs each time: " +
		"then give Options.Equal, a function that compares two machines."
	if bytes.Equal(sorted(first), sorted(second)) {
		why = "They hold the same bytes in another order, as when a map is encoded by ranging over it. " +
			"Encode it in the order of its keys, or give Options.Equal, a function that compares two machines."
	}
	return fmt.Errorf("two snapshots of one machine, taken one right after the other after %s, differ:\n%w\n%s",
		plural(k, "update"), excerpts(second, first), why)
}
