package statetest

import (
	"bytes"
	"fmt"
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
		for i, u := range tr.log {
			buf = append(append(buf[:0], u...), behind...)
			_, err := applyTo(m, uint64(i+1), buf[:len(u)])
			switch {
			case err != nil:
				return fmt.Errorf("Apply accepted update %d when it came in a slice of its own, and refused it in a buffer used before: %w", i+1, err)
			case !bytes.Equal(buf[:len(u)], u):
				return fmt.Errorf("Apply has changed the bytes of update %d, which the store is about to log:\n%w",
					i+1, excerpts(buf[:len(u)], u))
			case string(buf[len(u):]) != behind:
				return fmt.Errorf("Apply has written after the end of update %d, into memory that is not its own, "+
					"as append(update, ...) does: clone it, or cut its capacity with slices.Clip", i+1)
			}
			for j := range buf {
				buf[j] = "#scribbled-over "[(i+j)%16]
			}
			if err := tr.expect(m, i+1); err != nil {
				return fmt.Errorf("the state has changed when the slice of update %d was overwritten after Apply had returned: "+
					"clone what is kept, or make a string of it\n%w", i+1, err)
			}
		}
		return nil
	},
}

// behind is in the capacity behind each update.
const behind = "-behind-the-end-"
