package statetest

import (
	"bytes"
	"fmt"
	"io"
	"math/rand/v2"
	"testing/iotest"

	"github.com/stateio/stateio/store"
)

// restoreCheck restores snapshots over machines that have a state, from readers
// that give a few bytes at a time.
var restoreCheck = &check{
	name:    "Restore replaces the whole state",
	promise: "Restore replaces the whole state by the one that WriteTo wrote, whatever the state was before",
	run: func(tr *trial) error {
		tr.accepted()
		source := tr.newMachine()
		for k := 0; ; k++ {
			b, err := snapshot(source)
			if err != nil {
				return err
			}
			if err := tr.restorePieces(b, k); err != nil {
				return err
			}
			for had := range dirtyKinds {
				if len(tr.log) > 16 && tr.rng.IntN(dirtyKinds) > 0 {
					continue // in the long run, all have a turn
				}
				if err := tr.restoreOver(b, k, had); err != nil {
					return err
				}
			}
			if k == len(tr.log) {
				return nil
			}
			if err := applyAll(source, k, tr.log[k:k+1]); err != nil {
				return err
			}
		}
	},
}

// restorePieces restores a snapshot into a new machine, piece by piece.
func (tr *trial) restorePieces(b []byte, k int) error {
	m := tr.newMachine()
	r := &reader{r: newPieces(b, tr.rng)}
	defer r.close()
	if err := m.Restore(r); err != nil {
		return fmt.Errorf("given only a part of the snapshot by a call of Read, Restore returned an error: "+
			"use io.ReadFull or io.ReadAll\n%w", err)
	}
	if err := tr.expect(m, k); err != nil {
		return fmt.Errorf("given only a part of the snapshot taken after %s by a call of Read, Restore gave another state: "+
			"use io.ReadFull or io.ReadAll\n%w", plural(k, "update"), err)
	}
	return nil
}

// newPieces returns a reader of b that gives some bytes at a time, as the store
// does with each chunk of a snapshot, and may end with io.EOF together with the last.
func newPieces(b []byte, rng *rand.Rand) io.Reader {
	var r io.Reader = &pieces{b: b, rng: rng}
	if rng.IntN(2) == 0 {
		r = iotest.DataErrReader(r)
	}
	return r
}

// pieces gives a byte first, so that a machine that reads once is sure to be found.
type pieces struct {
	b     []byte
	rng   *rand.Rand
	begun bool
}

func (r *pieces) Read(p []byte) (int, error) {
	if len(r.b) == 0 {
		return 0, io.EOF
	}
	most := 1
	if r.begun {
		most += r.rng.IntN(len(r.b))
	}
	r.begun = true
	n := copy(p, r.b[:most])
	r.b = r.b[n:]
	return n, nil
}

// restoreOver restores a snapshot over a machine that has a state already, and
// goes on from there.
func (tr *trial) restoreOver(b []byte, k, kind int) error {
	m, had, err := tr.dirty(b, kind)
	if err != nil {
		return err
	}
	if err := restore(m, b); err != nil {
		return fmt.Errorf("over a machine that %s: %w", had, err)
	}
	if err := tr.expect(m, k); err != nil {
		return fmt.Errorf("the snapshot taken after %s, restored over a machine that %s, left something of the old state:\n%w",
			plural(k, "update"), had, err)
	}
	if err := applyAll(m, k, tr.log[k:]); err != nil {
		return fmt.Errorf("after Restore over a machine that %s: %w", had, err)
	}
	if err := tr.expect(m, len(tr.log)); err != nil {
		return fmt.Errorf("the snapshot taken after %s, restored over a machine that %s, left something of the old state, "+
			"which shows after the next %d:\n%w", plural(k, "update"), had, len(tr.log)-k, err)
	}
	return nil
}

// dirtyKinds is the number of ways in which dirty can make a machine.
const dirtyKinds = 4

// dirty returns a machine that has a state, and says what it did. The snapshot
// is the one that will be restored over it.
func (tr *trial) dirty(b []byte, kind int) (m store.Machine, had string, err error) {
	m = tr.newMachine()
	switch kind {
	case 0:
		return m, "had applied all updates", applyAll(m, 0, tr.log)
	case 1:
		accepted := 0
		for range tr.updates { // in any order, so some may be refused
			if apply(m, accepted+1, tr.updates[tr.rng.IntN(len(tr.updates))]) == nil {
				accepted++
			}
		}
		return m, "had been given updates in another order", nil
	case 2:
		n := tr.rng.IntN(len(b) + 1)
		// Whether this one succeeds does not matter.
		_ = m.Restore(io.MultiReader(bytes.NewReader(b[:n]), iotest.ErrReader(errRead)))
		return m, fmt.Sprintf("had begun to restore a snapshot, where reading failed after %d bytes,", n), nil
	}
	other, err := tr.replay(tr.rng.IntN(len(tr.log) + 1))
	if err != nil {
		return nil, "", err
	}
	if b, err = snapshot(other); err != nil {
		return nil, "", err
	}
	return m, "had restored another snapshot", restore(m, b)
}
