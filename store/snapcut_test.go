package store_test

import (
	"testing"

	"github.com/stateio/stateio/internal/crashtest"
	"github.com/stateio/stateio/internal/fsys/memfs"
	"github.com/stateio/stateio/internal/storefs"
	"github.com/stateio/stateio/store"
)

// A snapshot of many chunks that ends anywhere before its end is refused, also
// between two of them, and the one before it used.
func TestEveryCutOfASnapshotIsFound(t *testing.T) {
	const dir = "/snapcut"
	const newest = "00000000000000000002.snap"
	const block = 32 << 10
	mem := memfs.New(memfs.Options{})
	unmount := storefs.Mount(dir, mem)
	h, m := crashtest.NewHistory(), &crashtest.Machine{Size: 5 * block}
	s := open(t, dir, m, &store.Options{SnapshotBytes: -1, PreallocateBytes: 1})
	for range 2 {
		if _, err := s.Update(t.Context(), h.Next(100)); err != nil {
			t.Fatal(err)
		}
		if err := s.Snapshot(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	s.Close()
	fl := readFiles(t, mem, dir)
	unmount()
	whole := fl[newest]
	if len(whole) < 5*block {
		t.Fatalf("the snapshot has %d bytes", len(whole))
	}
	for cut := range len(whole) {
		if in := cut % block; in > 2 && in < block-2 && in%997 != 0 {
			continue
		}
		fl[newest] = whole[:cut]
		unmount := storefs.Mount(dir, fl.mem(t, dir))
		got := &crashtest.Machine{}
		s, err := store.Open(dir, got, quiet(&store.Options{PreallocateBytes: 1}))
		if err != nil {
			t.Errorf("cut at byte %d of %d: %v", cut, len(whole), err)
		} else {
			if got.Count != m.Count || got.Digest != m.Digest || len(s.Recovery().Refused) != 1 {
				t.Errorf("cut at byte %d of %d: %d updates, %v", cut, len(whole), got.Count, s.Recovery())
			}
			s.Close()
		}
		unmount()
	}
}
