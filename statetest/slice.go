package statetest

import (
	"bytes"
	"fmt"

	"github.com/stateio/stateio/store"
)

// sliceCheck passes all updates in one buffer, which is scribbled over as soon
// as Apply has returned.
var sliceCheck = &check{
	name:    "Apply does not keep or change the update",
	promise: "Apply must not keep update, which belongs to the caller",
	run: func(tr *trial) error {
		tr.accepted()
		m := tr.newMachine()
		var buf []byte
		accepted := 0
		for i, u := range tr.updates {
			buf = append(append(buf[:0], u...), behind...)
			if err := tr.lend(m, accepted+1, i, buf[:len(u)]); err != nil {
				return err
			}
			if tr.takes[i] {
				accepted++
			}
			for j := range buf {
				buf[j] = "#scribbled-over "[(i+j)%16]
			}
			if err := tr.expect(m, accepted); err != nil {
				return fmt.Errorf("the state has changed when the slice of update %d was overwritten after Apply had returned: "+
					"clone what is kept, or make a string of it\n%w", i+1, err)
			}
		}
		return nil
	},
}

// lend gives m the i-th update, which lies in the slice, with behind after it, and
// returns what is wrong with what it has made of both.
func (tr *trial) lend(m store.Machine, index, i int, slice []byte) error {
	_, err := applyTo(m, uint64(index), slice)
	u := tr.updates[i]
	whose := "which the store is about to log"
	if !tr.takes[i] {
		whose = "which it refused, and which its caller may make again"
	}
	switch {
	case err != nil && tr.takes[i]:
		return fmt.Errorf("Apply accepted update %d when it came in a slice of its own, and refused it in a buffer used before: %w", i+1, err)
	case err == nil && !tr.takes[i]:
		return fmt.Errorf("Apply refused update %d when it came in a slice of its own, and accepted it in a buffer used before", i+1)
	case !bytes.Equal(slice, u):
		return fmt.Errorf("Apply has changed the bytes of update %d, %s:\n%w", i+1, whose, excerpts(slice, u))
	case string(slice[len(u):len(u)+len(behind)]) != behind:
		return fmt.Errorf("Apply has written after the end of update %d, into memory that is not its own, "+
			"as append(update, ...) does: clone it, or cut its capacity with slices.Clip", i+1)
	}
	return nil
}

// behind is in the capacity behind each update.
const behind = "-behind-the-end-"
