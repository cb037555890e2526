package statetest

import (
	"errors"
	"fmt"
	"io"
	"time"
)

// captureCheck writes captured states late: after further updates, after other
// snapshots, and after Restore.
var captureCheck = &check{
	name: "a captured snapshot does not change",
	promise: "WriteTo writes the captured state later, in the background, concurrently with calls of Apply, which must not change it; " +
		"it runs concurrently with all of Apply, Snapshot and Restore",
	run: func(tr *trial) (err error) {
		tr.accepted()
		var held captures
		defer func() { err = errors.Join(err, held.releaseAll()) }()
		m := tr.newMachine()
		for k := range len(tr.log) + 1 {
			var state io.WriterTo
			if err := tr.beside(&held, k, "Snapshot", func() (err error) {
				state, err = capture(m)
				return err
			}); err != nil {
				return err
			}
			held = append(held, captured{state, k})
			if len(held) > maxHeld {
				if err := tr.write(&held, tr.rng.IntN(len(held)-1), fmt.Sprintf("update %d was made", k)); err != nil {
					return err
				}
			}
			if k < len(tr.log) {
				if err := tr.beside(&held, k+1, "Apply", func() error { return applyAll(m, k, tr.log[k:k+1]) }); err != nil {
					return err
				}
			}
		}
		for len(held) > maxHeld/2 {
			if err := tr.write(&held, 0, "all updates were made"); err != nil {
				return err
			}
		}
		empty, err := snapshot(tr.newMachine())
		if err != nil {
			return err
		}
		if err := restore(m, empty); err != nil {
			return err
		}
		for len(held) > 0 {
			if err := tr.write(&held, len(held)-1, "another snapshot was restored"); err != nil {
				return err
			}
		}
		return nil
	},
}

// maxHeld is how many captured states are held at once: each may be as large as
// the state.
const maxHeld = 8

// captures are states to be written.
type captures []captured

type captured struct {
	state io.WriterTo
	k     int // updates before it
}

// How long a method may take while captured states are held, before they are released to see
// whether it waits for that: so many looks, for a process that is stopped for hours (a frozen
// container, a virtual machine that pauses) has not waited for hours.
const (
	heldLooks = 50
	heldLook  = 100 * time.Millisecond // from one look to the next
)

// beside calls a method of the machine, by f, which must not wait for the states
// held. The first k updates of the log show it if it does.
func (tr *trial) beside(held *captures, k int, method string, f func() error) error {
	done := start(f)
	looks := time.NewTicker(heldLook)
	defer looks.Stop()
	if ended, err := endsWithin(heldLooks, looks.C, done); ended {
		return err
	}
	err := held.releaseAll()
	*held = nil
	<-done //nolint:errcheck // it came late, and is not what is wrong
	tr.updates = tr.log[:k]
	return errorOf(err, &waitError{method})
}

// endsWithin reports whether a method has ended, and how, within so many looks.
func endsWithin(n int, looks <-chan time.Time, done <-chan error) (ended bool, err error) {
	for range n {
		select {
		case err := <-done:
			return true, err
		case <-looks:
		}
	}
	return false, nil
}

// A waitError says that a method waits until captured states are released.
type waitError struct{ method string }

func (e *waitError) Error() string {
	return e.method + " waits until the states captured before are closed: in a store, all updates would wait until " +
		"a snapshot is written. Let Snapshot take a copy and give up its locks"
}

// write writes the i-th of the states held, and checks it.
func (tr *trial) write(held *captures, i int, after string) error {
	c := (*held)[i]
	*held = append((*held)[:i:i], (*held)[i+1:]...)
	b, err := written(c.state)
	if err != nil {
		return err
	}
	if err := tr.expectSnapshot(b, c.k); err != nil {
		return fmt.Errorf("the state captured after %s, and written after %s, is another one: "+
			"what Snapshot returns shares memory with what Apply or Restore change\n%w", plural(c.k, "update"), after, err)
	}
	return nil
}

// releaseAll releases what is left when the check ends early.
func (held captures) releaseAll() error {
	var errs []error
	for _, c := range held {
		errs = append(errs, release(c.state))
	}
	return errors.Join(errs...)
}
