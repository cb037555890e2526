package statetest

import (
	"errors"
	"fmt"
	"io"
)

// givenUpCheck abandons snapshots, as the store does when the disk is full or
// the store is closed.
var givenUpCheck = &check{
	name: "a snapshot given up does no harm",
	promise: "WriteTo is called once, or not at all when the snapshot is given up; " +
		"if the state is also an io.Closer, it is closed at the end, whatever happened",
	run: func(tr *trial) error {
		tr.accepted()
		m, size := tr.newMachine(), 64
		for k := 0; ; k++ {
			state, err := capture(m)
			if err != nil {
				return fmt.Errorf("after snapshots were given up: %w", err)
			}
			did, err := tr.giveUp(state, size)
			if err != nil {
				return err
			}
			b, err := snapshot(m)
			if err == nil {
				size, err = len(b), tr.expectSnapshot(b, k)
			}
			if err != nil {
				return fmt.Errorf("after %s, and a snapshot that was %s: %w", plural(k, "update"), did, err)
			}
			if k == len(tr.log) {
				return nil
			}
			if err := applyAll(m, k, tr.log[k:k+1]); err != nil {
				return err
			}
		}
	},
}

// giveUp abandons a captured state in one of three ways, and says in which.
// size is the number of bytes that a snapshot has, about.
func (tr *trial) giveUp(state io.WriterTo, size int) (did string, err error) {
	if tr.rng.IntN(2) == 0 {
		return "never written", release(state)
	}
	w := &fullDisk{room: tr.rng.IntN(size + 1)}
	_, err = state.WriteTo(w)
	switch {
	case w.full && err == nil:
		err = errors.New("WriteTo returned nil although its writer had returned an error: return that")
	case w.full:
		err = nil // as it should be
	}
	return "broken off by an error of the writer", errorOf(err, release(state))
}

// fullDisk is a writer with room for some bytes.
type fullDisk struct {
	room int
	full bool // an error was returned
}

var errFull = errors.New("statetest: this write fails, as when a disk is full")

func (w *fullDisk) Write(p []byte) (int, error) {
	if n := w.room; n < len(p) {
		w.room, w.full = 0, true
		return n, errFull
	}
	w.room -= len(p)
	return len(p), nil
}
