package store_test

import (
	"bytes"
	"errors"
	"maps"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/stateio/stateio/internal/fsys/faultfs"
	"github.com/stateio/stateio/internal/fsys/memfs"
	"github.com/stateio/stateio/internal/storefs"
	"github.com/stateio/stateio/store"
)

// A state that no log leads to: imported, created, or set before the first update.
// Without its snapshot, or with that one damaged, the store is not an empty one.
func TestAStateThatTheLogCannotRebuildIsNeeded(t *testing.T) {
	const dir, saved = "/needed", "/saved"
	for name, make := range map[string]func(t *testing.T){
		"created": func(t *testing.T) { check(t, store.Create(dir, journalState{"old"}, quiet(nil))) },
		"set before the first update": func(t *testing.T) {
			m := &journal{}
			s := open(t, dir, m, nil)
			m.updates = []string{"old"}
			check(t, s.Snapshot(t.Context()))
			check(t, s.Close())
		},
		"set, and updated since": func(t *testing.T) {
			m := &journal{}
			s := open(t, dir, m, nil)
			m.updates = []string{"old"}
			check(t, s.Snapshot(t.Context()))
			update(t, s, "new")
			check(t, s.Close())
		},
		"imported": func(t *testing.T) {
			file := stateFile(t, []string{"old"})
			check(t, store.Import(dir, bytes.NewReader(file), int64(len(file))))
		},
	} {
		mem, _ := memory(t, dir)
		make(t)
		m := &journal{}
		check(t, open(t, dir, m, nil).Close())
		if len(m.updates) == 0 || m.updates[0] != "old" {
			t.Fatalf("%s: the state is %q", name, m.updates)
		}
		whole := readFiles(t, mem, dir)
		for what, spoiled := range map[string][]byte{"gone": nil, "damaged": spoil(whole[snap0], headerLen+20), "cut": whole[snap0][:headerLen+3]} {
			fl := maps.Clone(whole)
			if fl[snap0] = spoiled; spoiled == nil {
				delete(fl, snap0)
			}
			mount(t, dir, fl.mem(t, dir))
			m := &journal{}
			_, err := store.Open(dir, m, quiet(nil))
			wantIs(t, err, store.ErrCorrupt)
			wantIs(t, store.RestoreAt(t.Context(), dir, m, 0, nil), store.ErrCorrupt)
			_, err = store.Load(t.Context(), dir, m)
			wantIs(t, err, store.ErrCorrupt)
			_, err = store.Bisect(t.Context(), dir, func() store.Machine { return &journal{} }, func(store.Machine) bool { return false })
			wantIs(t, err, store.ErrCorrupt)
			mount(t, saved, memfs.New(memfs.Options{}))
			_, err = store.Repair(t.Context(), dir, saved, nil)
			wantIs(t, err, store.ErrCorrupt)
			if len(m.updates) > 0 {
				t.Errorf("%s, and the snapshot %s: %q", name, what, m.updates)
			}
			rep, err := store.Repair(t.Context(), dir, saved, &store.RepairOptions{Salvage: true})
			if err != nil || !rep.StateLost || rep.Exact || len(rep.Lost) > 0 || len(rep.Damage) == 0 {
				t.Errorf("%s, and the snapshot %s: salvaged %+v, %v", name, what, rep, err)
			}
			// If the log's header is damaged, too, nothing says what the log goes on from.
			fl[log0] = spoil(whole[log0], 10)
			mount(t, dir, fl.mem(t, dir))
			reports, err := store.Check(t.Context(), dir, nil)
			if index, ok := store.LastIntact(reports); err != nil || ok {
				t.Errorf("%s, the snapshot %s, and the header damaged: state %d is said to be intact (%v)", name, what, index, err)
			}
			mount(t, saved, memfs.New(memfs.Options{}))
			_, err = store.Repair(t.Context(), dir, saved, nil)
			wantIs(t, err, store.ErrCorrupt)
		}
	}
}

// A snapshot that the disk does not give back is replaced by the one before, as a
// damaged one is. Another error of reading is an error.
func TestASnapshotThatCannotBeReadIsReplacedByTheOneBefore(t *testing.T) {
	const dir = "/eio"
	whole := checkedStore(t)
	for _, tt := range []struct {
		kinds    faultfs.Kind
		err      error
		replaced bool
	}{
		{faultfs.OpRead, syscall.EIO, true},
		{faultfs.OpOpen, syscall.EIO, true},
		{faultfs.OpOpen | faultfs.OpStat, syscall.EIO, true}, // of its inode
		{faultfs.OpRead, syscall.EACCES, false},
		{faultfs.OpOpen, syscall.EMFILE, false},
		{faultfs.OpOpen, syscall.ENOMEM, false},
	} {
		f := faultfs.New(whole.mem(t, dir))
		f.Inject(faultfs.Fault{Kinds: tt.kinds, Path: snap3, Err: tt.err, Forever: true})
		mount(t, dir, f)
		opts, lines := logged(store.Options{})
		s, err := store.Open(dir, &plainMachine{}, opts)
		if !tt.replaced {
			wantIs(t, err, tt.err)
			continue
		}
		check(t, err)
		r := s.Recovery()
		if s.Index() != 4 || len(r.Refused) != 1 || !errors.Is(r.Refused[0].Err, tt.err) || r.SnapshotIndex != 1 {
			t.Errorf("index %d, %v", s.Index(), r)
		}
		if got := lines(); !strings.Contains(got, "an older one was used") {
			t.Errorf("logged\n%s", got)
		}
		check(t, s.Close())
	}
}

// After Open fell back, retention keeps the good snapshot until there are as many
// good ones as there should be.
func TestRetentionDoesNotCountADamagedSnapshot(t *testing.T) {
	const dir = "/goodones"
	whole, _ := build(t, dir, 2, 10, snapshot, 10, snapshot)
	whole[snap2][len(whole[snap2])/2] ^= 1
	mem := whole.mem(t, dir)
	mount(t, dir, mem)
	s := open(t, dir, &plainMachine{}, &store.Options{KeepSnapshots: 2, SnapshotBytes: -1})
	if s.Recovery().Index != 2 || len(s.Recovery().Refused) != 1 {
		t.Fatal(s.Recovery())
	}
	update(t, s, "another")
	check(t, s.Snapshot(t.Context()))
	check(t, s.Close())
	fl := readFiles(t, mem, dir)
	if fl[snap1] == nil || fl[snap3] == nil {
		t.Fatalf("%q are there, and the good one, %s, is not", fl.names(), snap1)
	}
	fl[snap3][len(fl[snap3])/2] ^= 1 // a further fault
	mount(t, dir, fl.mem(t, dir))
	s = open(t, dir, &plainMachine{}, nil)
	if s.Index() != 3 {
		t.Errorf("index %d, want 3", s.Index())
	}
	check(t, s.Close())
}

// A snapshot that is whole is a state to go back to, whatever has become of the logs.
func TestAWholeSnapshotNeedsNoLog(t *testing.T) {
	const dir = "/nolog"
	whole := checkedStore(t)
	for name, spoil := range map[string]func(fl files){
		"missing":         func(fl files) { delete(fl, log3) },
		"damaged header":  func(fl files) { fl[log3] = spoil(fl[log3], 3) },
		"damaged entries": func(fl files) { fl[log3] = spoil(fl[log3], headerLen+3) },
		"all missing": func(fl files) {
			maps.DeleteFunc(fl, func(name string, _ []byte) bool { return strings.HasSuffix(name, ".log") })
		},
	} {
		fl := maps.Clone(whole)
		spoil(fl)
		mount(t, dir, fl.mem(t, dir))
		if err := store.RestoreAt(t.Context(), dir, &plainMachine{}, 3, nil); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		reports, err := store.Check(t.Context(), dir, nil)
		check(t, err)
		if index, ok := store.LastIntact(reports); !ok || index < 3 || store.RestoreAt(t.Context(), dir, &plainMachine{}, index, nil) != nil {
			t.Errorf("%s: LastIntact = %d, %v", name, index, ok)
		}
	}
}

// A crash may leave a snapshot of index 0 before a log that begins a new store. When
// that snapshot is damaged then, Open does not go back to nothing.
func TestASnapshotOfIndexZeroIsNeverPassedOver(t *testing.T) {
	const dir = "/zero"
	mem, f := memory(t, dir)
	f.Inject(faultfs.Fault{Kinds: faultfs.OpRename, Path: log0, N: 2, Stop: true}) // the second log of index 0
	m := &journal{}
	s := open(t, dir, m, nil)
	m.updates = []string{"old"}
	_ = s.Snapshot(t.Context())
	_ = s.Close()
	fl := readFiles(t, mem.Kill(), dir)
	mount(t, dir, fl.mem(t, dir))
	m = &journal{}
	check(t, open(t, dir, m, nil).Close())
	if !slices.Equal(m.updates, []string{"old"}) {
		t.Fatalf("the crash left %q", m.updates)
	}
	again := readFiles(t, storefs.For(dir), dir)
	delete(again, snap0)
	mount(t, dir, again.mem(t, dir))
	if _, err := store.Open(dir, &journal{}, quiet(nil)); !errors.Is(err, store.ErrCorrupt) {
		t.Errorf("without the snapshot, once the store was opened: %v", err)
	}
	fl[snap0] = spoil(fl[snap0], headerLen+20)
	mount(t, dir, fl.mem(t, dir))
	if _, err := store.Open(dir, &journal{}, quiet(nil)); !errors.Is(err, store.ErrCorrupt) {
		t.Errorf("got error %v, and an empty state", err)
	}
}
