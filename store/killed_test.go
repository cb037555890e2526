package store_test

import (
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/stateio/stateio/internal/crashtest"
	"github.com/stateio/stateio/internal/fsys/faultfs"
	"github.com/stateio/stateio/internal/fsys/memfs"
	"github.com/stateio/stateio/internal/storefs"
	"github.com/stateio/stateio/store"
)

// Wherever a process is killed: what the next one finds in the cache, and builds
// on, a power cut can't take away.
func TestAPowerCutAfterAKillAtEveryOperation(t *testing.T) {
	const dir = "/killed"
	for n := int64(1); ; n++ {
		mem := memfs.New(memfs.Options{PageSize: 512})
		p := &patient{t: t, dir: dir, mem: mem, fs: faultfs.New(mem), h: crashtest.NewHistory()}
		kill := p.fs.Inject(faultfs.Fault{Kinds: faultfs.Changes, N: n, Stop: true})
		unmount := storefs.Mount(dir, p.fs)
		p.live()
		unmount()
		if err := cutAfterKill(t, dir, mem.Kill(), p.h, rand.New(rand.NewPCG(uint64(n), 4)), 100, 5000); err != nil {
			t.Errorf("killed before change %d: %v", n, err)
		}
		if kill.Hits() == 0 {
			break
		}
	}
}

// cutAfterKill opens what was left, makes updates of these sizes, and judges what
// power cuts before and after each of them leave.
func cutAfterKill(t *testing.T, dir string, mem *memfs.FS, h *crashtest.History, rng *rand.Rand, sizes ...int) error {
	defer storefs.Mount(dir, mem)()
	m := &crashtest.Machine{}
	s, err := store.Open(dir, m, quiet(&store.Options{PreallocateBytes: 1}))
	if err != nil {
		return err
	}
	defer s.Close()
	if err := h.Check(m); err != nil {
		return err
	}
	h.Recovered(m) // which the new process relies on
	for _, size := range append([]int{0}, sizes...) {
		if size > 0 {
			if _, err := s.Update(t.Context(), h.Next(size)); err != nil {
				return err
			}
			h.Acked(h.Len())
		}
		for range 6 {
			if err := recovers(dir, mem.Crash(rng), h); err != nil {
				return fmt.Errorf("a power cut after an update of %d bytes: %w", size, err)
			}
		}
	}
	return nil
}

// recovers opens what is left and judges it.
func recovers(dir string, left *memfs.FS, h *crashtest.History) error {
	defer storefs.Mount(dir, left)()
	m := &crashtest.Machine{}
	s, err := store.Open(dir, m, quiet(&store.Options{PreallocateBytes: 1}))
	if err != nil {
		return err
	}
	defer s.Close()
	return h.Check(m)
}
