package store_test

import (
	"syscall"
	"testing"

	"github.com/stateio/stateio/internal/fsys"
	"github.com/stateio/stateio/store"
)

// A log is dropped once it is durable that the snapshots before the oldest one kept
// are, also when an attempt before failed to make that so: a crash at any operation
// leaves no snapshot without its log.
func TestNoSnapshotComesBackWithoutItsLog(t *testing.T) {
	const dir = "/dropped"
	opts := &store.Options{KeepSnapshots: 1, SnapshotBytes: -1, PreallocateBytes: 4096}
	failed := 0
	for n := int64(1); ; n++ {
		mem := fsys.NewMem(fsys.MemOptions{})
		f := fsys.NewFaulty(mem)
		mount(t, dir, f)
		s := open(t, dir, &journal{}, opts)
		update(t, s, "one")
		check(t, s.Snapshot(t.Context()))
		update(t, s, "two")
		fault := f.Inject(fsys.Fault{Kinds: fsys.OpSyncDir, N: n, Err: syscall.EIO})
		if err := s.Snapshot(t.Context()); err != nil {
			failed++
		}
		if fault.Hits() == 0 {
			break
		}
		f.Heal()
		var states []*fsys.Mem
		f.OnOp(func(op fsys.Op) {
			if op.Kind == fsys.OpRemove || op.Kind == fsys.OpSyncDir {
				for state := range mem.CrashStates() {
					states = append(states, state)
				}
			}
		})
		update(t, s, "three")
		_ = s.Snapshot(t.Context()) // the store may have failed
		f.OnOp(nil)
		_ = s.Close()
		for i, state := range states {
			mount(t, dir, state)
			m := &journal{}
			s, err := store.Open(dir, m, quiet(opts))
			if err != nil || len(m.updates) < 2 {
				t.Fatalf("directory sync %d failed, state %d: %d updates, %v", n, i, len(m.updates), err)
			}
			check(t, s.Close())
		}
	}
	if failed < 3 {
		t.Errorf("%d snapshots failed", failed)
	}
}
