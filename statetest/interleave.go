package statetest

import (
	"fmt"
	"time"

	"github.com/stateio/stateio/store"
)

// interleaveCheck makes an update during each Write that WriteTo makes, one
// step at a time, so that nothing depends on the scheduler.
var interleaveCheck = &check{
	name: "a snapshot does not change while it is written",
	promise: "WriteTo writes the captured state later, in the background, concurrently with calls of Apply, " +
		"which must not change it",
	run: func(tr *trial) error {
		tr.accepted()
		locked := false
		for alone := range 4 {
			w := &interleaver{m: tr.newMachine(), log: tr.log, locked: locked}
			for w.k < len(w.log) {
				// Some updates alone, so that each meets snapshots of all sizes.
				for range min(alone, len(w.log)-w.k) {
					if err := w.next(); err != nil {
						return err
					}
				}
				if err := tr.interleave(w); err != nil {
					return err
				}
				alone = tr.rng.IntN(4)
			}
			locked = w.locked
			if err := tr.expect(w.m, w.k); err != nil {
				return fmt.Errorf("after snapshots were written during updates, the machine is in another state:\n%w", err)
			}
		}
		return nil
	},
}

// interleave captures the state, and writes it while updates are made.
func (tr *trial) interleave(w *interleaver) error {
	at := w.k
	state, err := capture(w.m)
	if err != nil {
		return err
	}
	w.b = w.b[:0]
	_, err = state.WriteTo(w)
	if err = errorOf(w.wait(), err, release(state)); err != nil {
		return fmt.Errorf("while the state captured after %s was written, and the next %d were made: %w", plural(at, "update"), w.k-at, err)
	}
	if err := tr.expectSnapshot(w.b, at); err != nil {
		return fmt.Errorf("the state captured after %s, and written while the next %d were made, is another one: "+
			"what Snapshot returns shares memory with what Apply changes\n%w", plural(at, "update"), w.k-at, err)
	}
	if w.k == at && at < len(w.log) {
		return w.next() // WriteTo wrote nothing
	}
	return nil
}

// An interleaver is a machine with a log to apply, and a writer that applies
// the next update during each Write.
type interleaver struct {
	m   store.Machine
	log [][]byte
	k   int // updates applied, or begun to be; not touched by the goroutine of Write
	b   []byte

	pending <-chan error // the result of an Apply that has not returned yet, or nil
	locked  bool         // WriteTo holds a lock that Apply waits for
}

// patience is how long a Write waits for an Apply. If a machine has WriteTo hold
// a lock, which is allowed though slow, Apply returns only after WriteTo.
const patience = time.Second / 2

// next applies the next update.
func (w *interleaver) next() error {
	w.k++
	return applyAll(w.m, w.k-1, w.log[w.k-1:w.k])
}

// Write implements io.Writer.
func (w *interleaver) Write(p []byte) (int, error) {
	if w.k < len(w.log) && !w.locked {
		w.k++
		before := w.k - 1
		next := w.log[before:w.k]
		w.pending = start(func() error { return applyAll(w.m, before, next) })
		select {
		case err := <-w.pending:
			w.pending = nil
			if err != nil {
				return 0, err
			}
		case <-time.After(patience):
			w.locked = true
		}
	}
	// Only now: until Write returns, p is this writer's, whatever is applied.
	w.b = append(w.b, p...)
	return len(p), nil
}

// wait waits for an Apply that has not returned yet.
func (w *interleaver) wait() error {
	if w.pending == nil {
		return nil
	}
	err := <-w.pending
	w.pending = nil
	return err
}
