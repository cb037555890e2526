package store_test

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"slices"
	"syscall"
	"testing"

	"github.com/stateio/stateio/internal/fsys/faultfs"
	"github.com/stateio/stateio/internal/fsys/memfs"
	"github.com/stateio/stateio/internal/storefs"
	"github.com/stateio/stateio/store"
)

// Damage to any byte of what Import, Copy and Repair make, the end of the last update included,
// is noticed, and so is a file that is missing.
func TestDamageToWhatIsMadeIsNoticed(t *testing.T) {
	const dir, from, bad = "/sealed", "/sealedfrom", "/sealedbad"
	want := []string{"one", "two"}
	ways := makings(t, dir, from)
	delete(ways, "create") // these have no updates
	delete(ways, "backup")
	for name, make := range ways {
		mem := memfs.New(memfs.Options{})
		mount(t, dir, mem)
		check(t, make())
		whole := readFiles(t, mem, dir)
		try := func(what string, fl files) {
			t.Helper()
			defer storefs.Mount(bad, fl.mem(t, bad))()
			m := &journal{}
			s, err := store.Open(bad, m, quiet(nil))
			if err == nil {
				check(t, s.Close())
			}
			if !errors.Is(err, store.ErrCorrupt) && (err != nil || !slices.Equal(m.updates, want)) {
				t.Errorf("%s, %s: opened with %v, and %q", name, what, err, m.updates)
			}
		}
		for file, b := range whole {
			for at := range b {
				fl := maps.Clone(whole)
				fl[file] = spoil(b, at)
				try(fmt.Sprintf("byte %d of %s is wrong", at, file), fl)
				fl[file] = append(bytes.Clone(b[:at]), 0)
				fl[file] = append(fl[file], bytes.Repeat([]byte{0}, len(b)-at-1)...)
				try(fmt.Sprintf("%s has zeros from byte %d on", file, at), fl)
				fl[file] = b[:at]
				try(fmt.Sprintf("%s is cut to %d bytes", file, at), fl)
			}
			fl := maps.Clone(whole)
			delete(fl, file)
			try(file+" is missing", fl)
		}
		mount(t, bad, whole.mem(t, bad))
		reports, err := store.Check(t.Context(), bad, nil)
		check(t, err)
		if len(reports) != 2 || !reports[0].Sealed || reports[1].Size == 0 {
			t.Errorf("%s makes %+v", name, reports)
		}
	}
}

// wholes returns the updates of the store in dir: of each unit those, joined by a plus.
func wholes(t *testing.T, dir string) (units []string) {
	t.Helper()
	unit := ""
	for u, err := range store.ReadUpdates(t.Context(), dir, 1) {
		check(t, err)
		if unit += string(u.Data); u.More {
			unit += "+"
			continue
		}
		units = append(units, unit)
		unit = ""
	}
	if unit != "" {
		t.Errorf("the last update, of %q, is not the last one of its change", unit)
	}
	return units
}

// The updates of a change are one unit in a copy, and in what is repaired as far as they are
// there.
func TestAChangeStaysOneInACopy(t *testing.T) {
	const src, dst = "/wholesrc", "/wholedst"
	mem, _ := memory(t, src)
	m := &journal{}
	s := open(t, src, m, nil)
	for _, updates := range [][]string{{"1"}, {"2", "3", "4"}, {"5", "6"}, {"7"}, {"8", "9", "10"}} {
		_, err := s.Change(t.Context(), note(m, updates...))
		check(t, err)
	}
	check(t, s.Close())
	if n := len(readFiles(t, mem, src)); n != 2 {
		t.Fatalf("%d files", n)
	}
	all := []string{"1", "2+3+4", "5+6", "7", "8+9+10"}
	memory(t, dst)
	_, err := store.Copy(t.Context(), src, dst, nil)
	check(t, err)
	for _, dir := range []string{src, dst} {
		if got := wholes(t, dir); !slices.Equal(got, all) {
			t.Errorf("%s holds %q", dir, got)
		}
	}
	for _, tt := range []struct {
		drop []uint64
		want []string
	}{
		{nil, all},
		{[]uint64{2}, []string{"1", "3+4", "5+6", "7", "8+9+10"}},
		{[]uint64{4}, []string{"1", "2+3", "5+6", "7", "8+9+10"}},
		{[]uint64{4, 5}, []string{"1", "2+3", "6", "7", "8+9+10"}},
		{[]uint64{3, 4, 5, 6, 9, 10}, []string{"1", "2", "7", "8"}},
		{[]uint64{8, 9, 10}, []string{"1", "2+3+4", "5+6", "7"}},
	} {
		mount(t, dst, memfs.New(memfs.Options{}))
		_, err := store.Repair(t.Context(), src, dst, &store.RepairOptions{Drop: tt.drop})
		check(t, err)
		if got := wholes(t, dst); !slices.Equal(got, tt.want) {
			t.Errorf("without %d: %q, want %q", tt.drop, got, tt.want)
		}
	}
}

// An Import of updates that was interrupted, or has failed, at any operation can be made again,
// of that file or another, until there is the whole store.
func TestAnInterruptedImportOfUpdatesCanBeMadeAgain(t *testing.T) {
	const dir = "/againupdates"
	one, other := stateFile(t, nil, "one", "two"), stateFile(t, []string{"s"}, "other")
	backup := aBackup(t, "1", "2", "3")
	doImport := func(file []byte) error { return store.Import(dir, bytes.NewReader(file), int64(len(file))) }
	remade := 0
	for _, fails := range []faultfs.Fault{{}, {Err: syscall.EIO}, {Err: syscall.EIO, After: true}} {
		for fails.N = 1; ; fails.N++ {
			states, failed := interrupted(t, dir, func() error { return doImport(one) }, fails)
			for i, left := range states {
				again := map[string][]byte{"s other": other, "one two": one, "1 2 3": backup}
				for want, file := range again {
					mem := left.fs
					if i%3 > 0 { // each may be interrupted, too
						faulty := faultfs.New(left.fs)
						faulty.Inject(faultfs.Fault{Kinds: faultfs.Changes, N: int64(i), Stop: true})
						unmount := storefs.Mount(dir, faulty)
						_ = doImport(other)
						unmount()
						mem = left.fs.Kill()
					}
					unmount := storefs.Mount(dir, mem)
					switch err := doImport(file); {
					case errors.Is(err, fs.ErrExist):
						want = "" // one of those before
					case err != nil:
						t.Errorf("%s: to import again: %v", left.what, err)
					default:
						remade++
					}
					m := &journal{}
					s, err := store.Open(dir, m, quiet(nil))
					check(t, err)
					if got := fmt.Sprint(m.updates); err == nil && got != "["+want+"]" && (want != "" || again[got[1:len(got)-1]] == nil) {
						t.Errorf("%s: opened with %s, and not with %s", left.what, got, want)
					}
					check(t, s.Close())
					unmount()
				}
			}
			if !failed {
				break
			}
		}
	}
	if remade < 100 {
		t.Errorf("only %d imports were made again", remade)
	}
}

// A store that holds anything is not taken for what an interrupted import has left, whatever
// marks are beside it.
func TestAMarkDoesNotMakeAStoreUnmade(t *testing.T) {
	const dir, mark0, mark3 = "/marked", log0 + ".import.tmp", log3 + ".import.tmp"
	whole, _ := build(t, "/made", 1, 20, 20, 20, snapshot)
	used := checkedStore(t)
	file := stateFile(t, nil, "u")
	for what, fl := range map[string]files{
		"closed after a snapshot":     {snap3: whole[snap3], log3: whole[log3]}, // which is empty
		"closed after an update":      {snap3: used[snap3], log3: used[log3]},
		"with an older snapshot":      {snap1: used[snap1], log1: used[log1], snap3: used[snap3], log3: used[log3]},
		"of which a snapshot is lost": {log3: used[log3]},
	} {
		for _, marks := range [][]string{{mark0}, {mark3}, {mark0, mark3}} {
			want, fl := fl, maps.Clone(fl)
			for _, mark := range marks {
				fl[mark] = nil
			}
			mem := fl.mem(t, dir)
			unmount := storefs.Mount(dir, mem)
			err := store.Import(dir, bytes.NewReader(file), int64(len(file)))
			unmount()
			if !errors.Is(err, fs.ErrExist) {
				t.Errorf("%s, beside %q: %v", what, marks, err)
			}
			left := readFiles(t, mem, dir)
			for name, b := range want {
				if !bytes.Equal(left[name], b) {
					t.Errorf("%s, beside %q: %s has changed", what, marks, name)
				}
			}
		}
	}
}
