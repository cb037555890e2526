package store_test

import (
	"math/rand/v2"
	"testing"

	"github.com/stateio/stateio/internal/crashtest"
	"github.com/stateio/stateio/internal/fsys/faultfs"
	"github.com/stateio/stateio/internal/fsys/memfs"
	"github.com/stateio/stateio/internal/storefs"
	"github.com/stateio/stateio/store"
)

// What is left of a torn commit does not come back after an update that takes the
// place of its first: each entry fills one page, and a power cut keeps any of them.
func TestATornCommitDoesNotComeBack(t *testing.T) {
	const dir = "/sametail"
	const page, headerSize, frameSize, timeSize = 512, 92, 36, 8
	mem := memfs.New(memfs.Options{PageSize: page})
	fs := faultfs.New(mem)
	unmount := storefs.Mount(dir, fs)
	h := crashtest.NewHistory()
	s := open(t, dir, &crashtest.Machine{}, &store.Options{PreallocateBytes: 1})
	submit := func(size int) {
		if _, err := s.Submit(h.Next(size)); err != nil {
			t.Error(err)
		}
	}
	rng := rand.New(rand.NewPCG(1, 1))
	var left []*memfs.FS
	syncs := 0
	fs.OnOp(func(op faultfs.Op) {
		if op.Kind != faultfs.OpDatasync {
			return
		}
		if syncs++; syncs == 1 {
			for range 3 { // they make up the next commit
				submit(page - frameSize)
			}
			return
		}
		for range 32 {
			left = append(left, mem.Crash(rng))
		}
		fs.OnOp(nil)
	})
	submit(page - headerSize - frameSize)
	if err := s.Sync(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := s.Sync(t.Context()); err != nil {
		t.Fatal(err)
	}
	s.Close()
	unmount()
	if len(left) == 0 {
		t.Fatal("the second commit was not cut")
	}
	h.Acked(1)
	for _, mem := range left {
		if err := cutAfterKill(t, dir, mem, h.Clone(), rng, page-frameSize); err != nil {
			t.Error(err)
		}
	}
}
