package store_test

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/stateio/stateio"

	"github.com/stateio/stateio/internal/fsys/faultfs"
	"github.com/stateio/stateio/internal/fsys/memfs"
	"github.com/stateio/stateio/internal/storefs"
	"github.com/stateio/stateio/store"
)

// Whatever fails during an Import, it says so, and either can be made again or
// has made the whole store; never a part of one that opens.
func TestAFailedImportCanBeMadeAgain(t *testing.T) {
	const dir = "/again"
	updates := make([]string, 40) // more than is written at once
	for i := range updates {
		updates[i] = fmt.Sprint(i, strings.Repeat("u", 10_000))
	}
	leftovers := files{snap0: []byte("of an import before"), log0 + ".import.tmp": []byte("that a crash has ended"), snap3 + ".tmp": nil}
	for _, snapshot := range [][]string{nil, {"s"}} {
		file := stateFile(t, snapshot, updates...)
		doImport := func() error { return store.Import(dir, bytes.NewReader(file), int64(len(file))) }
		failed := 0
		for kind := faultfs.OpOpen; kind < faultfs.AnyOp; kind <<= 1 {
			for n := int64(1); ; n++ {
				mem := leftovers.mem(t, dir)
				f := faultfs.New(mem)
				fault := f.Inject(faultfs.Fault{Kinds: kind, N: n, Err: syscall.EIO})
				unmount := storefs.Mount(dir, f)
				err := doImport()
				f.Heal()
				if fault.Hits() == 0 {
					unmount()
					break
				}
				name := fmt.Sprintf("%v number %d failing", kind, n)
				if err != nil {
					failed++
					if !errors.Is(err, syscall.EIO) || !strings.HasPrefix(err.Error(), "store: ") {
						t.Errorf("%s: %v", name, err)
					}
					if s, err := store.Open(dir, &journal{}, quiet(nil)); err == nil {
						if n := s.Index(); n != 0 && n != uint64(len(updates)) {
							t.Errorf("%s: a store of %d updates", name, n)
						}
						s.Close()
						unmount()
						continue
					}
					if err := doImport(); err != nil && !errors.Is(err, fs.ErrExist) {
						t.Errorf("%s, and once more: %v", name, err)
					}
				}
				m := &journal{}
				s := open(t, dir, m, nil)
				if want := slices.Concat(snapshot, updates); !slices.Equal(m.updates, want) || s.Index() != uint64(len(updates)) {
					t.Errorf("%s: the store holds %d updates at index %d", name, len(m.updates), s.Index())
				}
				s.Close()
				unmount()
			}
		}
		if failed < 10 {
			t.Errorf("only %d faults made Import fail", failed)
		}
	}
}

// What is left of an import before, and space that is not used, is given back or
// there is an error.
func TestImportTellsWhatItCannotGiveBack(t *testing.T) {
	const dir = "/back"
	file := stateFile(t, nil, "u")
	for _, fault := range []faultfs.Fault{
		{Kinds: faultfs.OpRemove, Path: snap0},
		{Kinds: faultfs.OpRemove, Path: snap3 + ".tmp"},
		{Kinds: faultfs.OpTruncate, Forever: true},
	} {
		f := faultfs.New(files{snap0: nil, snap3 + ".tmp": nil, log0 + ".import.tmp": nil}.mem(t, dir))
		fault.Err = syscall.EIO
		f.Inject(fault)
		mount(t, dir, f)
		wantIs(t, store.Import(dir, bytes.NewReader(file), int64(len(file))), syscall.EIO)
	}
}

// What another user's import has left, and can't be opened, is no obstacle.
func TestAnImportReplacesWhatItCanNotOpen(t *testing.T) {
	const dir = "/again"
	f := faultfs.New(files{log0 + ".import.tmp": nil}.mem(t, dir))
	fault := f.Inject(faultfs.Fault{Kinds: faultfs.OpOpen, Path: log0 + ".import.tmp", Err: syscall.EACCES})
	mount(t, dir, f)
	file := stateFile(t, nil, "one")
	check(t, store.Import(dir, bytes.NewReader(file), int64(len(file))))
	m := &journal{}
	check(t, open(t, dir, m, nil).Close())
	if fault.Hits() == 0 || !slices.Equal(m.updates, []string{"one"}) {
		t.Errorf("%d faults, %q", fault.Hits(), m.updates)
	}
}

// A state that was imported can't be had from the logs: without it, or with the log
// of another store, the store is damaged.
func TestAnImportedStateIsNeeded(t *testing.T) {
	const dir = "/imported"
	file := stateFile(t, []string{"s"}, "one", "two")
	imported := func() files {
		mem, _ := memory(t, dir)
		check(t, store.Import(dir, bytes.NewReader(file), int64(len(file))))
		return readFiles(t, mem, dir)
	}
	whole, other := imported(), imported()
	for what, tt := range map[string]struct {
		fl      files
		file    string
		offset  int64
		text    string
		checked string
	}{
		"a damaged snapshot": {files{log0: whole[log0], log2: whole[log2], snap0: spoil(whole[snap0], headerLen+20)}, snap0, headerLen, "", ""},
		"no snapshot":        {files{log0: whole[log0], log2: whole[log2]}, snap0, 0, "the file is missing, with the state that was imported", snap0 + " index=0 size=0 updates=0 damage@0\n"},
		"no log":             {files{snap0: whole[snap0], log2: whole[log2]}, log0, 0, "the file is missing", log0 + " index=0 size=0 updates=0 damage@0\n"},
		"another log":        {files{log0: other[log0], log2: other[log2], snap0: whole[snap0]}, snap0, 0, "it belongs to another store", ""},
	} {
		mount(t, dir, tt.fl.mem(t, dir))
		m := &journal{}
		_, err := store.Open(dir, m, quiet(nil))
		var damage *store.CorruptError
		if !errors.As(err, &damage) || damage.Path != filepath.Join(dir, tt.file) || damage.Offset != tt.offset || !strings.Contains(err.Error(), tt.text) || len(m.updates) > 0 {
			t.Errorf("%s: got %v, and %q", what, err, m.updates)
		}
		if got := checked(t, tt.fl); !strings.Contains(got, "damage@") || !strings.Contains(got, tt.checked) {
			t.Errorf("%s: Check reports\n%s", what, got)
		}
	}
}

// Snapshots of its own make a store independent of the imported state.
func TestAnImportedStateIsDroppedInTime(t *testing.T) {
	const dir = "/independent"
	file := stateFile(t, []string{"s"}, "one", "two")
	mem, _ := memory(t, dir)
	check(t, store.Import(dir, bytes.NewReader(file), int64(len(file))))
	s := open(t, dir, &journal{}, &store.Options{KeepSnapshots: 1})
	update(t, s, "three")
	check(t, s.Snapshot(t.Context()))
	check(t, s.Close())
	if got := readFiles(t, mem, dir); got[snap0] != nil || got[log0] != nil {
		t.Error("the imported state is still there")
	}
	m := &journal{}
	check(t, open(t, dir, m, nil).Close())
	if want := []string{"s", "one", "two", "three"}; !slices.Equal(m.updates, want) {
		t.Errorf("got %q, want %q", m.updates, want)
	}
	if got := checked(t, readFiles(t, mem, dir)); strings.Contains(got, "damage@") {
		t.Errorf("Check reports\n%s", got)
	}
}

// What is left of a store is not imported over, even where no log is left.
func TestImportLeavesAStoreAlone(t *testing.T) {
	const dir = "/left"
	file := stateFile(t, nil, "u")
	for _, name := range []string{log0, log1, snap1, snap3} {
		mem := files{name: nil}.mem(t, dir)
		mount(t, dir, mem)
		wantIs(t, store.Import(dir, bytes.NewReader(file), int64(len(file))), fs.ErrExist)
		if after := readFiles(t, mem, dir).names(); !slices.Equal(after, []string{name}) {
			t.Errorf("beside %s: the directory holds %q", name, after)
		}
	}
}

// Updates are written many at a time, and not held in memory until the last one.
// The log ends with them.
func TestImportWritesInPieces(t *testing.T) {
	const dir = "/pieces"
	const piece, n, size = 256 << 10, 3000, 1000
	mem, f := memory(t, dir)
	file := stateFile(t, nil, slices.Repeat([]string{strings.Repeat("u", size)}, n)...)
	var writes, largest int64
	opened := -1 // the log can't be created: its name is there
	f.OnOp(func(op faultfs.Op) {
		switch op.Kind {
		case faultfs.OpWrite:
			writes++
			largest = max(largest, op.Len)
		case faultfs.OpOpen, faultfs.OpCreate:
			opened++
		case faultfs.OpClose:
			opened--
		}
	})
	if err := store.Import(dir, bytes.NewReader(file), int64(len(file))); err != nil {
		t.Fatal(err)
	}
	if most := int64(piece + entryLen + size); writes > 60 || largest > most {
		t.Errorf("%d writes of up to %d bytes, want them of up to %d", writes, largest, most)
	}
	if opened != 0 {
		t.Errorf("%d files were left open", opened)
	}
	// At the end of a block, an entry is split in two.
	if got, most := len(readFiles(t, mem, dir)[log0]), headerLen+n*(entryLen+size)+n*size/32_000*(23+15); got > most {
		t.Errorf("the log has %d bytes, want at most %d", got, most)
	}
}

func TestImportRefusesADamagedFile(t *testing.T) {
	const dir = "/damaged"
	file := stateFile(t, []string{"s"}, "one", "two", "three")
	whole := bytes.Clone(file)
	for _, at := range []int{20, len(file) / 2} {
		memory(t, dir)
		file[at] ^= 1
		err := store.Import(dir, bytes.NewReader(file), int64(len(file)))
		wantIs(t, err, stateio.ErrCorrupt)
		var damage *store.CorruptError
		if wantIs(t, err, store.ErrCorrupt); !errors.As(err, &damage) || damage.Offset > int64(at) {
			t.Errorf("damage at offset %d: %v", at, err)
		}
		file[at] ^= 1
		if err := store.Import(dir, bytes.NewReader(whole), int64(len(whole))); err != nil {
			t.Errorf("of the whole file afterwards: %v", err)
		}
		m := &journal{}
		s := open(t, dir, m, nil)
		if !slices.Equal(m.updates, []string{"s", "one", "two", "three"}) || s.Index() != 3 {
			t.Errorf("recovered %q at index %d", m.updates, s.Index())
		}
		s.Close()
	}
}

// What an Import has removed that failed to sync the directory twice does not come
// back beside what the next one writes.
func TestAFailedImportDoesNotComeBack(t *testing.T) {
	const dir = "/comesback"
	file := stateFile(t, []string{"s"}, "u")
	doImport := func() error { return store.Import(dir, bytes.NewReader(file), int64(len(file))) }
	states := 0
	for n := int64(1); ; n++ {
		mem := memfs.New(memfs.Options{})
		f := faultfs.New(mem)
		unmount := storefs.Mount(dir, f)
		first := f.Inject(faultfs.Fault{Kinds: faultfs.OpSyncDir, N: n})
		f.Inject(faultfs.Fault{Kinds: faultfs.OpSyncDir, N: n + 1})
		if err := doImport(); err == nil && first.Hits() > 0 {
			t.Errorf("sync %d of the directory failed, and Import did not", n)
		}
		f.Heal()
		f.OnOp(func(op faultfs.Op) {
			if op.Kind&(faultfs.OpRename|faultfs.OpSyncDir) == 0 {
				return
			}
			for st := range mem.CrashStates() {
				states++
				defer storefs.Mount(dir, st)()
				s, err := store.Open(dir, &journal{}, quiet(nil))
				if err == nil {
					s.Close()
				} else if again := doImport(); again != nil {
					t.Errorf("sync %d failed, and power before %v: %v; to import again: %v", n, op.Kind, err, again)
				}
			}
		})
		if err := doImport(); err != nil && !errors.Is(err, fs.ErrExist) {
			t.Errorf("sync %d failed: %v", n, err)
		}
		f.OnOp(nil)
		unmount()
		if first.Hits() == 0 {
			break
		}
	}
	if states == 0 {
		t.Error("no crash was tried")
	}
}

// TestANewStoreIsThereAfterAPowerCut has a store made in a directory that others have just made, or an
// attempt that failed at any place, under names as shells complete them. What is there by then outlives a
// power cut that takes all that was not synced.
func TestANewStoreIsThereAfterAPowerCut(t *testing.T) {
	const name = "/a/b/new"
	file := stateFile(t, nil, "one")
	ways := map[string]func(dir string) error{
		"Import": func(dir string) error { return store.Import(dir, bytes.NewReader(file), int64(len(file))) },
		"Create": func(dir string) error { return store.Create(dir, journalState{"one"}, quiet(nil)) },
	}
	for way, make := range ways {
		for _, dir := range []string{name, name + "/"} {
			for failing := int64(0); ; failing++ { // operation of a first attempt; 0: the directory is there
				mem, faulty := memory(t, dir)
				check(t, mem.Mkdir("/a", 0o700))
				if failing == 0 {
					check(t, errors.Join(mem.Mkdir("/a/b", 0o700), mem.SyncName("/a/b"), mem.SyncName("/a"), mem.Mkdir(name, 0o700)))
				} else {
					faulty.Inject(faultfs.Fault{N: failing, Err: syscall.EIO})
					if err := make(dir); err == nil && faulty.Ops() < failing {
						break
					}
					faulty.Heal()
				}
				if err := make(dir); err != nil { // the first attempt has made it all
					wantIs(t, err, fs.ErrExist)
				}
				after := (*memfs.FS)(nil)
				for after = range mem.CrashStates() { // the first keeps nothing
					break
				}
				mount(t, name, after)
				m := &journal{}
				s, err := store.Open(name, m, quiet(&store.Options{MustExist: true}))
				if err != nil || !slices.Equal(m.updates, []string{"one"}) {
					t.Fatalf("%s in %s, operation %d: %v, with %q", way, dir, failing, err, m.updates)
				}
				check(t, s.Close())
			}
		}
	}
}
