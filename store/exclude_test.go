package store_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/stateio/stateio/internal/fsys/faultfs"
	"github.com/stateio/stateio/internal/fsys/memfs"
	"github.com/stateio/stateio/internal/storefs"
	"github.com/stateio/stateio/store"
)

// lockFile is the name of the file that a store's lock is on.
const lockFile = "LOCK"

// At every moment of a store's life somebody removes LOCK and opens the store a second
// time, on a file system that locks directories and on one that does not. Never are two
// of them told nil, and nothing that either acknowledged is lost.
func TestRemovingLOCKLetsNobodyIn(t *testing.T) {
	for _, noDirLocks := range []bool{false, true} {
		t.Run(fmt.Sprintf("NoDirLocks=%v", noDirLocks), func(t *testing.T) {
			within := 0
			for n := int64(1); ; n++ {
				i := &intruder{t: t, n: n, mem: memfs.New(memfs.Options{NoDirLocks: noDirLocks})}
				i.run()
				if !i.came {
					break
				}
				if i.within {
					within++
				}
				if t.Failed() {
					t.Fatalf("the intruder came at operation %d", n)
				}
			}
			if within < 50 {
				t.Errorf("the store was open at %d of the moments", within)
			}
		})
	}
}

// An intruder opens a store a second time.
type intruder struct {
	t      *testing.T
	mem    *memfs.FS
	n      int64 // the operation before which it comes
	came   bool
	within bool // the store was open then
	open   bool // the store is open
	second *store.Store
	acked  []string
}

const (
	ownDir   = "/own"
	otherDir = "/own/." // the same directory
)

func (i *intruder) run() {
	defer storefs.Mount(otherDir, i.mem)()
	// The first log is there: before it is, only LOCK and the directory can be locked.
	defer storefs.Mount(ownDir, i.mem)()
	i.life(func() {}, "first")
	f := faultfs.New(i.mem)
	defer storefs.Mount(ownDir, f)()
	f.OnOp(func(op faultfs.Op) {
		if op.N == i.n {
			i.come()
		}
	})
	i.life(func() { i.open = true }, "a", "b")
	if i.second != nil {
		_ = i.second.Close() // its error shows in what is found
	}
	m := &journal{}
	s, err := store.Open(otherDir, m, quiet(nil))
	if err != nil {
		i.t.Errorf("in the end: %v", err)
		return
	}
	defer s.Close()
	if !slices.Equal(m.updates, i.acked) {
		i.t.Errorf("%q were acknowledged, %q are there", i.acked, m.updates)
	}
}

// life opens the store, makes updates and a snapshot, and closes it.
func (i *intruder) life(opened func(), updates ...string) {
	s, err := store.Open(ownDir, &journal{}, quiet(&store.Options{SnapshotBytes: -1, PreallocateBytes: 600}))
	if err != nil {
		if !errors.Is(err, store.ErrLocked) || i.second == nil {
			i.t.Errorf("opening: %v", err)
		}
		return
	}
	opened()
	for _, u := range updates {
		i.update(s, u)
		if err := s.Snapshot(context.Background()); err != nil {
			i.t.Error(err)
		}
		i.update(s, u+u)
	}
	i.open = false // it may be, from now on
	if err := s.Close(); err != nil {
		i.t.Error(err)
	}
}

func (i *intruder) update(s *store.Store, u string) {
	if _, err := s.Update(context.Background(), []byte(u)); err != nil {
		i.t.Error(err)
	}
	i.acked = append(i.acked, u)
}

func (i *intruder) come() {
	i.came, i.within = true, i.open
	_ = i.mem.Remove(ownDir + "/" + lockFile)
	var err error
	i.second, err = store.Open(otherDir, &journal{}, quiet(nil))
	switch {
	case err == nil && i.within:
		i.t.Errorf("a second store was opened")
	case err == nil:
		i.update(i.second, "intruder")
	case !errors.Is(err, store.ErrLocked):
		i.t.Errorf("the second store: %v", err)
	}
}

// The same with the kernel's locks, in directories of the operating system.
func TestAStoreWithoutItsLOCKIsOpenStill(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir, &journal{}, nil)
	for range 10 {
		update(t, s, "one")
		if err := os.Remove(filepath.Join(dir, lockFile)); err != nil {
			t.Fatal(err)
		}
		_, err := store.Open(dir, &journal{}, quiet(nil))
		wantIs(t, err, store.ErrLocked)
		if !strings.Contains(err.Error(), dir) {
			t.Errorf("%q does not name the directory", err)
		}
		check(t, s.Snapshot(t.Context()))
	}
	check(t, s.Close())
	m := &journal{}
	open(t, dir, m, nil)
	if len(m.updates) != 10 {
		t.Errorf("%d updates are there", len(m.updates))
	}
}

// One lock of the three is enough; with none, the store is not opened, and nothing
// is written.
func TestAStoreIsLockedByWhatLocksThereAre(t *testing.T) {
	const dir = "/locks"
	kinds := []faultfs.Kind{faultfs.OpLock, faultfs.OpLockDir, faultfs.OpFlock}
	for set := range 1 << len(kinds) {
		_, f := memory(t, dir)
		open(t, dir, &journal{}, nil).Close()
		var refused faultfs.Kind
		for i, kind := range kinds {
			if set&(1<<i) != 0 {
				refused |= kind
			}
		}
		if refused != 0 {
			f.Inject(faultfs.Fault{Kinds: refused, Err: syscall.ENOSYS, Forever: true})
		}
		before := readFiles(t, f, dir)
		s, err := store.Open(dir, &journal{}, quiet(nil))
		if refused == faultfs.OpLock|faultfs.OpLockDir|faultfs.OpFlock {
			if err == nil || errors.Is(err, store.ErrLocked) || !strings.Contains(err.Error(), "can't be locked") {
				t.Errorf("without any lock: %v", err)
			}
			if after := readFiles(t, f, dir); fmt.Sprint(before) != fmt.Sprint(after) {
				t.Error("something was written")
			}
			continue
		}
		if err != nil {
			t.Errorf("without %v: %v", refused, err)
			continue
		}
		update(t, s, "one")
		_, err = store.Open(dir, &journal{}, quiet(nil))
		if !errors.Is(err, store.ErrLocked) {
			t.Errorf("without %v, a second store: %v", refused, err)
		}
		check(t, s.Snapshot(t.Context()))
		check(t, s.Close())
	}
}

// A new store without any log needs one of the other locks.
func TestANewStoreNeedsALock(t *testing.T) {
	const dir = "/new"
	_, f := memory(t, dir)
	f.Inject(faultfs.Fault{Kinds: faultfs.OpLock | faultfs.OpLockDir, Err: syscall.ENOSYS, Forever: true})
	if _, err := store.Open(dir, &journal{}, quiet(nil)); err == nil || !strings.Contains(err.Error(), "can't be locked") {
		t.Errorf("opening: %v", err)
	}
}

// Looking takes no lock, and is not kept out by any.
func TestLookingTakesNoLock(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir, &journal{}, nil)
	update(t, s, "one")
	if _, err := store.Check(t.Context(), dir, nil); err != nil {
		t.Error(err)
	}
	check(t, store.RestoreAt(t.Context(), dir, &journal{}, 1, nil))
	for u, err := range store.ReadUpdates(t.Context(), dir, 1) {
		if err != nil {
			t.Error(u, err)
		}
	}
}
