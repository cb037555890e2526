package store_test

import (
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stateio/stateio/internal/fsys"
	"github.com/stateio/stateio/internal/fsys/faultfs"
	"github.com/stateio/stateio/internal/fsys/memfs"
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
		mem := memfs.New(memfs.Options{})
		f := faultfs.New(mem)
		mount(t, dir, f)
		s := open(t, dir, &journal{}, opts)
		update(t, s, "one")
		check(t, s.Snapshot(t.Context()))
		update(t, s, "two")
		fault := f.Inject(faultfs.Fault{Kinds: faultfs.OpSyncDir, N: n, Err: syscall.EIO})
		if err := s.Snapshot(t.Context()); err != nil || s.Stats().RetainError != nil {
			failed++
		}
		if fault.Hits() == 0 {
			break
		}
		f.Heal()
		var states []*memfs.FS
		f.OnOp(func(op faultfs.Op) {
			if op.Kind == faultfs.OpRemove || op.Kind == faultfs.OpSyncDir {
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

// Only whole snapshots count for KeepSnapshots; one that was damaged does when it
// has been made again.
func TestKeepSnapshotsCountsWholeOnes(t *testing.T) {
	const dir = "/r13"
	for name, tt := range map[string]struct {
		sizes []int
		kept  [][]string // after each snapshot
	}{
		"updates came after it": {
			[]int{10, snapshot, 10, snapshot, 10},
			[][]string{{snap1, snap2, snap3}, {snap3, snap4}},
		},
		"it is made again": {
			[]int{10, snapshot, 10, snapshot},
			[][]string{{snap1, snap2}, {snap2, snap3}},
		},
	} {
		fl, _ := build(t, dir, 2, tt.sizes...)
		fl[snap2][len(fl[snap2])/2] ^= 1
		mem := fl.mem(t, dir)
		mount(t, dir, mem)
		s := open(t, dir, &plainMachine{}, &store.Options{KeepSnapshots: 2, SnapshotBytes: -1})
		if len(s.Recovery().Refused) != 1 {
			t.Fatalf("%s: refused %v, want %s", name, s.Recovery().Refused, snap2)
		}
		for i, want := range tt.kept {
			if i > 0 {
				update(t, s, "another")
			}
			check(t, s.Snapshot(t.Context()))
			if got := snapshotsIn(t, mem, dir); !slices.Equal(got, want) {
				t.Errorf("%s: %q are kept, want %q", name, got, want)
			}
		}
		check(t, s.Close())
	}
}

// snapshotsIn returns the names of the snapshots in dir.
func snapshotsIn(t *testing.T, mem *memfs.FS, dir string) []string {
	t.Helper()
	return slices.DeleteFunc(readFiles(t, mem, dir).names(), func(name string) bool { return !strings.HasSuffix(name, ".snap") })
}

// A snapshot whose predecessors can't be removed is a snapshot, Stats say so, and
// the next one removes them.
func TestOldFilesThatStayAreToldApartFromAFailedSnapshot(t *testing.T) {
	const dir = "/stay"
	for _, fault := range []faultfs.Fault{
		{Kinds: faultfs.OpList, Err: syscall.EIO},
		{Kinds: faultfs.OpRemove, Path: snap1, Err: syscall.EIO},
		{Kinds: faultfs.OpRemove, Path: log0, Err: syscall.EIO},
	} {
		mem, f := memory(t, dir)
		s := open(t, dir, &journal{}, &store.Options{KeepSnapshots: 1, SnapshotBytes: -1})
		update(t, s, "one")
		check(t, s.Snapshot(t.Context()))
		update(t, s, "two")
		f.Inject(fault)
		check(t, s.Snapshot(t.Context()))
		if st := s.Stats(); !errors.Is(st.RetainError, syscall.EIO) || st.SnapshotError != nil || st.Snapshots != 2 || st.SnapshotIndex != 2 {
			t.Errorf("%v failed: %d snapshots, errors %v, %v", fault.Kinds, st.Snapshots, st.SnapshotError, st.RetainError)
		}
		update(t, s, "three")
		check(t, s.Snapshot(t.Context()))
		if err := s.Stats().RetainError; err != nil {
			t.Error(err)
		}
		if got := readFiles(t, mem, dir).names(); !slices.Equal(got, []string{log3, snap3}) {
			t.Errorf("%v failed once: %q are there, want %s and %s", fault.Kinds, got, log3, snap3)
		}
		check(t, s.Close())
		wantUpdates(t, dir, "one", "two", "three")
	}
}

// A snapshot whose header is damaged, or that the disk does not give back, has no time, and keeps
// no files that others show to be older than KeepFor.
func TestRetentionByAgePassesOverADamagedHeader(t *testing.T) {
	const dir, bad = "/keepdamaged", "00000000000000000008.snap"
	for name, spoil := range map[string]func(f *faultfs.FS){
		"damaged": func(f *faultfs.FS) {
			file, err := f.Open(filepath.Join(dir, bad), fsys.ReadWrite, 0)
			check(t, err)
			_, err = file.WriteAt([]byte("?"), 40)
			check(t, err)
			check(t, file.Close())
		},
		"not given back": func(f *faultfs.FS) {
			f.Inject(faultfs.Fault{Kinds: faultfs.OpRead, Path: bad, Err: syscall.EIO, Forever: true})
		},
	} {
		clock, mem := dialed(t, dir)
		f := faultfs.New(mem)
		mount(t, dir, f)
		s := open(t, dir, &diary{}, &store.Options{KeepSnapshots: 1, KeepFor: 5 * time.Hour, SnapshotBytes: -1})
		for i := range 20 {
			clock.move(time.Hour)
			update(t, s, fmt.Sprint(i+1))
			check(t, s.Snapshot(t.Context()))
			if i == 9 {
				spoil(f)
			}
			if err := s.Stats().RetainError; err != nil {
				t.Errorf("%s: after %d snapshots: %v", name, i+1, err)
			}
			// One for each of five hours, the one before them, and the one that is bad.
			if kept := snapshotsIn(t, mem, dir); len(kept) > 5+2 {
				t.Errorf("%s: after %d snapshots %q are kept for five hours", name, i+1, kept)
			}
			if i > 5 {
				_, err := store.IndexAt(t.Context(), dir, clock.now().Add(-5*time.Hour))
				check(t, err)
			}
		}
		if slices.Contains(snapshotsIn(t, mem, dir), bad) {
			t.Errorf("%s: it is kept after twelve hours", name)
		}
		check(t, s.Close())
	}
}
