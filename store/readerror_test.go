package store_test

import (
	"errors"
	"syscall"
	"testing"

	"github.com/stateio/stateio/internal/crashtest"
	"github.com/stateio/stateio/internal/fsys"
	"github.com/stateio/stateio/internal/storefs"
	"github.com/stateio/stateio/store"
)

// A log that is longer than what is read at once has no seal yet. Whichever read of
// it fails, Open fails with that error, or has everything, and so has the next one.
func TestAReadErrorInALongLogLosesNothing(t *testing.T) {
	const dir = "/longlog"
	mem := fsys.NewMem(fsys.MemOptions{})
	unmount := storefs.Mount(dir, mem)
	h, m := crashtest.NewHistory(), &crashtest.Machine{}
	s := open(t, dir, m, &store.Options{SnapshotBytes: -1, PreallocateBytes: 1})
	for range 120 {
		if _, err := s.Update(t.Context(), h.Next(10_000)); err != nil {
			t.Fatal(err)
		}
		h.Acked(h.Len())
	}
	killed := mem.Kill()
	s.Close()
	unmount()
	for n := int64(1); ; n++ {
		left := killed.Kill()
		fs := fsys.NewFaulty(left)
		fault := fs.Inject(fsys.Fault{Kinds: fsys.OpRead, N: n, Err: syscall.EIO})
		unmount := storefs.Mount(dir, fs)
		m := &crashtest.Machine{}
		s, err := store.Open(dir, m, quiet(&store.Options{PreallocateBytes: 1}))
		if err == nil {
			err = errors.Join(h.Check(m), s.Close())
		} else if errors.Is(err, syscall.EIO) {
			err = nil
		}
		unmount()
		if err == nil {
			err = recovers(dir, left, h)
		}
		if err != nil {
			t.Errorf("with read %d failed: %v", n, err)
		}
		if fault.Hits() == 0 {
			return
		}
	}
}
