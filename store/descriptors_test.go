package store_test

import (
	"context"
	"fmt"
	"syscall"
	"testing"

	"github.com/stateio/stateio/internal/fsys/faultfs"
	"github.com/stateio/stateio/store"
)

// needsDescriptor are the operations for which a kernel needs a new descriptor.
const needsDescriptor = faultfs.OpOpen | faultfs.OpCreate | faultfs.OpLock | faultfs.OpHold

// Whenever the process runs out of descriptors, once or for ever, while a snapshot is
// made: the store goes on, and makes the next one when there are some.
func TestAShortageOfDescriptorsIsNoFailure(t *testing.T) {
	for _, errno := range []syscall.Errno{syscall.EMFILE, syscall.ENFILE} {
		for _, forever := range []bool{false, true} {
			for n := int64(1); ; n++ {
				dir := fmt.Sprintf("/short/%d/%v/%d", errno, forever, n)
				_, f := memory(t, dir)
				m := &journal{}
				s := open(t, dir, m, &store.Options{SnapshotBytes: -1, KeepSnapshots: 1})
				update(t, s, "one")
				check(t, s.Snapshot(t.Context()))
				update(t, s, "two")
				fault := f.Inject(faultfs.Fault{Kinds: needsDescriptor, N: n, Err: errno, Forever: forever})
				err := s.Snapshot(context.Background())
				update(t, s, "three")
				hits := fault.Hits()
				if hits == 0 && err != nil {
					t.Error(err)
				}
				f.Heal()
				update(t, s, "four")
				check(t, s.Snapshot(t.Context()))
				check(t, s.Close())
				m = &journal{}
				open(t, dir, m, nil).Close()
				if len(m.updates) != 4 {
					t.Errorf("%v at operation %d: %q are there", errno, n, m.updates)
				}
				if hits == 0 {
					break
				}
			}
		}
	}
}
