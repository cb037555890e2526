package durable_test

import (
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stateio/stateio/internal/fsys"
	"github.com/stateio/stateio/internal/fsys/faultfs"
	"github.com/stateio/stateio/internal/storefs"
	"github.com/stateio/stateio/store"
)

// stallable returns a directory on a disk whose syncs, after a call of stall, last until goOn
// is called.
func stallable(t *testing.T) (dir string, stall func() (goOn func())) {
	t.Helper()
	dir = t.TempDir()
	disk := faultfs.New(fsys.OS{})
	var stalled atomic.Pointer[chan struct{}]
	disk.OnOp(func(op faultfs.Op) {
		if over := stalled.Load(); over != nil && op.Kind&(faultfs.OpSync|faultfs.OpDatasync) != 0 {
			<-*over
		}
	})
	t.Cleanup(storefs.Mount(dir, disk))
	return dir, func() func() {
		over := make(chan struct{})
		stalled.Store(&over)
		return sync.OnceFunc(func() {
			stalled.Store(nil)
			close(over)
		})
	}
}

// shareCommits makes changes at once while the disk stalls: each must have been applied
// before one of them is durable, and the last ones become so with one sync.
func shareCommits(t *testing.T, s *store.Store, stall func() func(), changes int, change func() error) {
	t.Helper()
	before := s.Stats()
	goOn := stall()
	defer goOn()
	var wg sync.WaitGroup
	for range changes {
		wg.Go(func() {
			if err := change(); err != nil {
				t.Error(err)
			}
		})
	}
	for start := time.Now(); s.Stats().Index < before.Index+uint64(changes); time.Sleep(time.Millisecond) {
		if time.Since(start) > time.Minute {
			t.Errorf("%d of %d changes were applied: one waits for the disk before the next one may begin", s.Stats().Index-before.Index, changes)
			break
		}
	}
	goOn()
	wg.Wait()
	if commits := s.Stats().Batches - before.Batches; commits > 2 {
		t.Errorf("%d commits for %d changes", commits, changes)
	}
}
