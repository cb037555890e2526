package statetest

import "fmt"

// refusedCheck compares a machine that refused updates with one that was never
// given those.
var refusedCheck = &check{
	name:    "a refused update leaves the state",
	promise: "an error says that the update is refused: the state is then as it was before",
	run: func(tr *trial) error {
		if err := tr.refuses(); err != nil {
			return err
		}
		// In another order, other updates are refused.
		stream := tr.updates
		for range 3 {
			shuffled := make([][]byte, len(stream))
			for i := range shuffled {
				shuffled[i] = stream[tr.rng.IntN(len(stream))]
			}
			tr.updates = shuffled
			if err := tr.refuses(); err != nil {
				return err
			}
		}
		tr.updates = stream
		return nil
	},
}

func (tr *trial) refuses() error {
	m, mirror := tr.newMachine(), tr.newMachine()
	accepted := 0
	for i, u := range tr.updates {
		refused := apply(m, accepted+1, u)
		if refused == nil {
			accepted++
			if err := apply(mirror, accepted, u); err != nil {
				return fmt.Errorf("update %d is accepted by a machine that has refused updates before, "+
					"and not by one that was never given those: %w", i+1, err)
			}
			continue
		}
		if err := tr.compare(m, mirror); err != nil {
			return fmt.Errorf("Apply refused update %d (%w), and changed the state:\n%w", i+1, refused, err)
		}
	}
	if err := tr.compare(m, mirror); err != nil {
		return fmt.Errorf("a machine that has refused updates is not in the state of one that was never given those:\n%w", err)
	}
	return nil
}
