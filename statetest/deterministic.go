package statetest

import (
	"fmt"

	"github.com/stateio/stateio/store"
)

// deterministicCheck gives pairs of machines the same updates.
var deterministicCheck = &check{
	name: "Apply is deterministic",
	promise: "the same updates in the same order, applied to the same state, give the same state " +
		"at any time and on any machine, so it must not look at clocks, random numbers, the environment or the order of a map",
	run: func(tr *trial) error { return tr.deterministic(8) },
}

// deterministic makes that many pairs.
func (tr *trial) deterministic(pairs int) error {
	for i := range pairs {
		k := len(tr.updates)
		if i%2 == 1 {
			k = tr.rng.IntN(k + 1) // a difference may be gone at the end
		}
		a, b := tr.newMachine(), tr.newMachine()
		refused, err := tr.feed(a, b, k)
		if err != nil {
			return err
		}
		if k == len(tr.updates) {
			tr.run.refused = refused
		}
		if err := tr.compare(b, a); err != nil {
			return fmt.Errorf("two machines that were given the same %s are in different states:\n%w", plural(k, "update"), err)
		}
	}
	return nil
}

// feed applies the first k updates to both machines, one after the other so that
// time goes by between them, and returns how many were refused.
func (tr *trial) feed(a, b store.Machine, k int) (refused int, err error) {
	errs := make([]error, k)
	for i, u := range tr.updates[:k] {
		if errs[i] = apply(a, i-refused+1, u); errs[i] != nil {
			refused++
		}
	}
	if tr.later != nil {
		tr.later()
	}
	accepted := 0
	for i, u := range tr.updates[:k] {
		if tr.between != nil {
			tr.between()
		}
		err := apply(b, accepted+1, u)
		if (err == nil) != (errs[i] == nil) {
			return 0, fmt.Errorf("of two machines with the same updates before, one refused update %d and one did not: %w", i+1, errorOf(err, errs[i]))
		}
		if err == nil {
			accepted++
		}
	}
	return refused, nil
}
