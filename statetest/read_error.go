package statetest

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"testing/iotest"
)

// readErrorCheck has the disk fail while a snapshot is restored.
var readErrorCheck = &check{
	name:    "Restore reports a read error",
	promise: "Restore replaces the whole state by the one that WriteTo wrote; an error makes Open fail",
	run: func(tr *trial) error {
		tr.accepted()
		for range 32 {
			k := tr.rng.IntN(len(tr.log) + 1)
			source, err := tr.replay(k)
			if err != nil {
				return err
			}
			b, err := snapshot(source)
			if err != nil {
				return err
			}
			n := tr.rng.IntN(len(b) + 1)
			m := tr.newMachine()
			r := &reader{r: io.MultiReader(bytes.NewReader(b[:n]), iotest.ErrReader(errRead))}
			err = m.Restore(r)
			r.close()
			if err != nil {
				continue
			}
			// It need not read up to the end, but then it has what it needs.
			if err := tr.expect(m, k); err != nil {
				return fmt.Errorf("reading the snapshot failed after %d of %d bytes, and Restore returned nil with another state: "+
					"part of it is lost and nobody is told\n%w", n, len(b), err)
			}
		}
		return nil
	},
}

var errRead = errors.New("statetest: this read fails, as when a disk is broken")
