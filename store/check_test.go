package store_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"iter"
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stateio/stateio/internal/fsys"
	"github.com/stateio/stateio/internal/fsys/faultfs"
	"github.com/stateio/stateio/internal/storefs"
	"github.com/stateio/stateio/store"
)

// summary tells what Check reports, a line for each file.
func summary(reports []store.FileReport) string {
	var b strings.Builder
	for _, r := range reports {
		fmt.Fprintf(&b, "%s index=%d size=%d updates=%d", filepath.Base(r.Path), r.Index, r.Size, r.Updates)
		if r.Sealed {
			b.WriteString(" sealed")
		}
		if r.Torn > 0 {
			fmt.Fprintf(&b, " torn=%d", r.Torn)
		}
		for _, d := range r.Damage {
			fmt.Fprintf(&b, " damage@%d", d.Offset)
			if d.Path != r.Path {
				fmt.Fprintf(&b, " of %s", d.Path)
			}
		}
		b.WriteByte('\n')
	}
	return b.String()
}

// checked returns the summary of what Check says of these files.
func checked(t *testing.T, fl files) string {
	t.Helper()
	const dir = "/checked"
	defer storefs.Mount(dir, fl.mem(t, dir))()
	reports, err := store.Check(t.Context(), dir, nil)
	if err != nil {
		t.Error(err)
	}
	return summary(reports)
}

// Sizes of what the stores here hold. A header has 92 bytes, an update of n
// bytes 44+n, or 36+n if it is not the first of its commit, a seal or trailer 53.
const (
	headerLen = 92
	entryLen  = 44
	sealLen   = 53
)

const (
	log0  = "00000000000000000000.log"
	log1  = "00000000000000000001.log"
	log2  = "00000000000000000002.log"
	log3  = "00000000000000000003.log"
	log4  = "00000000000000000004.log"
	snap0 = "00000000000000000000.snap"
	snap1 = "00000000000000000001.snap"
	snap2 = "00000000000000000002.snap"
	snap3 = "00000000000000000003.snap"
	snap4 = "00000000000000000004.snap"
)

// checkedStore is a store with logs of 1, 2, 1 and no updates, and snapshots
// between the first three, closed.
func checkedStore(t *testing.T) files {
	t.Helper()
	fl, _ := build(t, "/whole", 9, 20, snapshot, 30, 40, snapshot, 50)
	return fl
}

// lines returns what Check is to say of checkedStore, with some lines replaced,
// and others of files that are missing.
func lines(fl files, instead map[string]string, missing ...string) string {
	var b strings.Builder
	for _, name := range []string{log0, log1, log3, log4, snap1, snap3} {
		line, ok := instead[name]
		switch {
		case ok:
		case strings.HasSuffix(name, ".snap"), name == log4:
			line = fmt.Sprintf("size=%d updates=0", len(fl[name]))
		case name == log1:
			line = fmt.Sprintf("size=%d updates=2 sealed", len(fl[name]))
		default:
			line = fmt.Sprintf("size=%d updates=1 sealed", len(fl[name]))
		}
		if line != "" {
			fmt.Fprintf(&b, "%s index=%c %s\n", name, name[19], line)
		}
	}
	for _, name := range missing {
		fmt.Fprintf(&b, "%s index=%c size=0 updates=0 damage@0\n", name, name[19])
	}
	return b.String()
}

func TestCheckReportsOnEveryFileOfAWholeStore(t *testing.T) {
	fl := checkedStore(t)
	if n := headerLen + entryLen + 20 + sealLen; len(fl[log0]) != n {
		t.Fatalf("the first log has %d bytes, want %d", len(fl[log0]), n)
	}
	if got, want := checked(t, fl), lines(fl, nil); got != want {
		t.Errorf("got\n%swant\n%s", got, want)
	}
}

func TestCheckNamesWhatIsWrong(t *testing.T) {
	whole := checkedStore(t)
	other, _ := build(t, "/other", 9, 20, snapshot, 30, 40, snapshot, 50)
	n := func(name string) int { return len(whole[name]) }
	line := fmt.Sprintf
	type instead = map[string]string
	for _, tt := range []struct {
		name    string
		harm    func(fl files)
		want    instead
		missing []string
	}{
		{
			"a bit of the first update of two", func(fl files) { fl[log1][headerLen+20] ^= 1 },
			instead{log1: line("size=%d updates=1 sealed damage@%d", n(log1), headerLen)},
			nil,
		},
		{
			"a bit of the only update", func(fl files) { fl[log3][headerLen+20] ^= 1 },
			instead{log3: line("size=%d updates=0 sealed damage@%d", n(log3), headerLen)},
			nil,
		},
		{
			"a bit of the update after which nothing whole is",
			func(fl files) { fl[log3] = fl[log3][:n(log3)-sealLen-1] },
			instead{log3: line("size=%d updates=0 damage@%d", n(log3)-sealLen-1, headerLen)},
			nil,
		},
		{
			"a seal that is missing", func(fl files) { fl[log1] = fl[log1][:n(log1)-sealLen] },
			instead{log1: line("size=%d updates=2 damage@%d", n(log1)-sealLen, n(log1)-sealLen)},
			nil,
		},
		{
			"a seal that is missing, before a log that is not in use", func(fl files) { fl[log3] = fl[log3][:n(log3)-sealLen] },
			instead{log3: line("size=%d updates=1", n(log3)-sealLen)},
			nil,
		},
		{
			"a seal that is torn, before a log that is not in use", func(fl files) { fl[log3][n(log3)-1] ^= 1 },
			instead{log3: line("size=%d updates=1 torn=%d", n(log3), sealLen)},
			nil,
		},
		{
			"a header", func(fl files) { fl[log1][30] ^= 1 },
			instead{log1: line("size=%d updates=0 damage@0", n(log1))},
			nil,
		},
		{
			"the name of another log", func(fl files) { fl[log1] = fl[log0] },
			instead{log1: line("size=%d updates=0 damage@0", n(log0))},
			nil,
		},
		{
			"a log of another store", func(fl files) { fl[log1] = other[log1] },
			instead{log1: line("size=%d updates=0 damage@0", n(log1))},
			nil,
		},
		{
			"the first log of another store", func(fl files) { fl[log0] = other[log0] },
			instead{log0: line("size=%d updates=0 damage@0", n(log0))},
			nil,
		},
		{
			"a snapshot of another store", func(fl files) { fl[snap3] = other[snap3] },
			instead{snap3: line("size=%d updates=0 damage@0", n(snap3))},
			nil,
		},
		{
			"a bit of a snapshot", func(fl files) { fl[snap3][headerLen+20] ^= 1 },
			instead{snap3: line("size=%d updates=0 damage@%d", n(snap3), headerLen)},
			nil,
		},
		{
			"a snapshot's header", func(fl files) { fl[snap1][30] ^= 1 },
			instead{snap1: line("size=%d updates=0 damage@0", n(snap1))},
			nil,
		},
		{
			"bytes after a snapshot", func(fl files) { fl[snap1] = append(fl[snap1], 1, 2, 3) },
			instead{snap1: line("size=%d updates=0 damage@%d", n(snap1)+3, n(snap1))},
			nil,
		},
		{
			"a snapshot without its trailer", func(fl files) { fl[snap1] = fl[snap1][:n(snap1)-sealLen] },
			instead{snap1: line("size=%d updates=0 damage@%d", n(snap1)-sealLen, n(snap1)-sealLen)},
			nil,
		},
		{"a log in the middle", func(fl files) { delete(fl, log1) }, instead{log1: ""}, []string{log1}},
		{"the log after the last snapshot", func(fl files) { delete(fl, log3) }, instead{log3: ""}, []string{log3}},
		{"the newest log", func(fl files) { delete(fl, log4) }, instead{log4: ""}, []string{log4}},
		{
			"a log and its snapshot", func(fl files) { delete(fl, log3); delete(fl, snap3) },
			instead{log3: "", snap3: ""},
			[]string{log3},
		},
		{
			"the first log, and the snapshots", func(fl files) { delete(fl, log0); delete(fl, snap1); delete(fl, snap3) },
			instead{log0: "", snap1: "", snap3: ""},
			[]string{log0},
		},
		{"the first log, which is not needed", func(fl files) { delete(fl, log0) }, instead{log0: ""}, nil},
		{"the first snapshot, which is not needed", func(fl files) { delete(fl, snap1) }, instead{snap1: ""}, nil},
	} {
		fl := files{}
		for name, b := range whole {
			fl[name] = bytes.Clone(b)
		}
		tt.harm(fl)
		if got, want := checked(t, fl), lines(whole, tt.want, tt.missing...); got != want {
			t.Errorf("%s: got\n%swant\n%s", tt.name, got, want)
		}
	}
}

// The logs before the first snapshot are not needed, and all after it are.
func TestCheckMissesWhatIsRetained(t *testing.T) {
	whole, _ := build(t, "/retained", 9, 20, snapshot, 30, reopen, 40, snapshot, 50)
	const log2 = "00000000000000000002.log"
	for _, tt := range []struct {
		lost    []string
		missing string
	}{
		{[]string{log0, log1, snap1, log2}, ""},
		{[]string{log1, snap1}, ""}, // a gap before the first snapshot
		{[]string{log2}, log2},
		{[]string{log1, snap1, snap3}, log1},
		{[]string{log0, log1, snap1, snap3}, log0},
	} {
		fl := maps.Clone(whole)
		for _, name := range tt.lost {
			delete(fl, name)
		}
		got := checked(t, fl)
		found := strings.Count(got, "damage")
		if tt.missing == "" && found == 0 {
			continue
		}
		if _, line, _ := strings.Cut(got, "\n"+tt.missing+" "); found != 1 || !strings.HasSuffix(line, " size=0 updates=0 damage@0\n") {
			t.Errorf("without %q: got\n%s", tt.lost, got)
		}
	}
}

// Damage is told with the update that should be there, and the proof of it.
func TestCheckSaysWhatTheDamageIs(t *testing.T) {
	const dir = "/says"
	fl := checkedStore(t)
	fl[log1][headerLen+20] ^= 1
	unsealed := bytes.Clone(fl[log0])
	fl[log0] = unsealed[:len(unsealed)-sealLen]
	mount(t, dir, fl.mem(t, dir))
	reports, err := store.Check(t.Context(), dir, nil)
	check(t, err)
	var got []string
	for _, r := range reports {
		for _, d := range r.Damage {
			got = append(got, filepath.ToSlash(d.Error()))
		}
	}
	want := []string{
		"store: " + dir + "/" + log0 + " is corrupt at offset 156: the end of the file, where update 2 should be: later logs are in use, so this one had a seal",
		"store: " + dir + "/" + log1 + " is corrupt at offset 92: no valid record, where update 2 should be: entry 3 at offset 166 shows that it was durable",
	}
	if !slices.Equal(got, want) {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

// What is whole after damage is counted, from within a commit on, too.
func TestCheckGoesOnWithinACommit(t *testing.T) {
	fl, _ := build(t, "/made", 2, 20, 30, killed)
	log := fl[log0][:headerLen+2*entryLen+20+30]
	damaged := slices.Concat(log, spoil(numbered(log, 3, false, 0, []byte("x")), 30))
	file := slices.Concat(damaged, numbered(damaged, 5, false, 1, []byte("y")))
	want := fmt.Sprintf("%s index=0 size=%d updates=3 damage@%d\n", log0, len(file), len(log))
	if got := checked(t, files{log0: file}); got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

// An empty log after one that was not sealed is not in use yet: whatever it was
// to follow may be torn.
func TestCheckAllowsForALogThatIsNotInUse(t *testing.T) {
	fl, _ := build(t, "/unused", 9, 20, 30, killed)
	whole := fl[log0]
	used := headerLen + 2*entryLen + 20 + 30
	next, _ := build(t, "/next", 9, killed)
	for _, tt := range []struct {
		name string
		harm func()
		want string
	}{
		{"as it was left", func() {}, fmt.Sprintf("%s index=0 size=%d updates=2\n", log0, len(whole))},
		{
			"with a torn update",
			func() { fl[log0] = replace(whole, used-1, []byte{whole[used-1] ^ 1}) },
			fmt.Sprintf("%s index=0 size=%d updates=1 torn=%d\n", log0, len(whole), entryLen+30),
		},
		{
			"with garbage after",
			func() { fl[log0] = replace(whole, used+9, []byte{7}) },
			fmt.Sprintf("%s index=0 size=%d updates=2 torn=10\n", log0, len(whole)),
		},
	} {
		tt.harm()
		if got := checked(t, fl); got != tt.want {
			t.Errorf("%s: got\n%swant\n%s", tt.name, got, tt.want)
		}
	}
	// A log of 2 that holds no update yet, of whatever store: its header is damaged.
	fl[log0] = whole
	fl["00000000000000000002.log"] = next[log0]
	want := fmt.Sprintf("%s index=0 size=%d updates=2 damage@%d\n", log0, len(whole), used) +
		fmt.Sprintf("00000000000000000002.log index=2 size=%d updates=0 damage@0\n", len(next[log0]))
	if got := checked(t, fl); got != want {
		t.Errorf("with a foreign log after it: got\n%swant\n%s", got, want)
	}
}

// Whatever reads a store says with one error that there is none: the directory may be missing,
// or be the empty one that a volume is to be mounted on.
func TestNoStoreIsErrNotExist(t *testing.T) {
	memory(t, "/none")
	const nothing = "/nothing"
	mount(t, nothing, files{"notes.txt": nil, "LOCK": nil}.mem(t, nothing))
	last := func(updates iter.Seq2[store.Update, error]) (last error) {
		for _, err := range updates {
			last = err
		}
		return last
	}
	for name, f := range map[string]func(dir string) error{
		"Check":       func(dir string) error { _, err := store.Check(t.Context(), dir, nil); return err },
		"Files":       func(dir string) error { _, err := store.Files(dir); return err },
		"Load":        func(dir string) error { _, err := store.Load(t.Context(), dir, &journal{}); return err },
		"Follow":      func(dir string) error { _, err := store.Follow(t.Context(), dir, &journal{}, nil); return err },
		"RestoreAt":   func(dir string) error { return store.RestoreAt(t.Context(), dir, &journal{}, 1, nil) },
		"IndexAt":     func(dir string) error { _, err := store.IndexAt(t.Context(), dir, time.Now()); return err },
		"ReadUpdates": func(dir string) error { return last(store.ReadUpdates(t.Context(), dir, 1)) },
		"TailUpdates": func(dir string) error { return last(store.TailUpdates(t.Context(), dir, 1)) },
		"Copy": func(dir string) error {
			_, err := store.Copy(t.Context(), dir, filepath.Join(t.TempDir(), "copy"), nil)
			return err
		},
		"Repair": func(dir string) error {
			_, err := store.Repair(t.Context(), dir, filepath.Join(t.TempDir(), "repaired"), nil)
			return err
		},
		"Bisect": func(dir string) error {
			_, err := store.Bisect(t.Context(), dir, func() store.Machine { return &journal{} }, func(store.Machine) bool { return false })
			return err
		},
		"MustExist": func(dir string) error {
			_, err := store.Open(dir, &journal{}, &store.Options{MustExist: true})
			return err
		},
	} {
		for _, dir := range []string{"/none", nothing} {
			if err := f(dir); !errors.Is(err, fs.ErrNotExist) || errors.Is(err, store.ErrNotRetained) || !strings.Contains(err.Error(), dir) {
				t.Errorf("%s of %s: %v", name, dir, err)
			}
		}
	}
}

func TestCheckEndsWithItsContext(t *testing.T) {
	const dir = "/ended"
	sizes := make([]int, 3000)
	for i := range sizes {
		sizes[i] = 16
	}
	fl, _ := build(t, dir, 9, sizes...)
	mem := fl.mem(t, dir)
	ctx, cancel := context.WithCancel(t.Context())
	f := faultfs.New(mem)
	mount(t, dir, f)
	f.OnOp(func(op faultfs.Op) {
		if op.Kind == faultfs.OpRead {
			cancel()
		}
	})
	r, err := store.Check(ctx, dir, nil)
	if !errors.Is(err, context.Canceled) || len(r) > 0 {
		t.Errorf("got %v and %s", err, summary(r))
	}
	// Between files, too.
	fl = checkedStore(t)
	mount(t, dir, fl.mem(t, dir))
	if r, err := store.Check(ctx, dir, nil); !errors.Is(err, context.Canceled) || len(r) != 1 {
		t.Errorf("got %v and\n%s", err, summary(r))
	}
}

// Whatever a store does beside a Check, at any of its operations, is no damage.
func TestCheckBesideAStoreAtWork(t *testing.T) {
	const dir = "/beside"
	for what, work := range map[string]func(s *store.Store){
		"two commits":        func(s *store.Store) { update(t, s, "b"); update(t, s, "c") },
		"a snapshot":         func(s *store.Store) { update(t, s, "b"); check(t, s.Snapshot(t.Context())) },
		"a snapshot, before": func(s *store.Store) { check(t, s.Snapshot(t.Context())); update(t, s, "b") },
		"snapshots, so that all files are new": func(s *store.Store) {
			for range 2 {
				update(t, s, "b")
				check(t, s.Snapshot(t.Context()))
			}
		},
	} {
		for n := 1; ; n++ {
			mem, _ := memory(t, dir)
			s := open(t, dir, &journal{}, &store.Options{KeepSnapshots: 1, SnapshotBytes: -1, PreallocateBytes: 4096})
			update(t, s, "a")
			check(t, s.Snapshot(t.Context()))
			update(t, s, "a")
			f := faultfs.New(mem) // of Check alone
			unmount := storefs.Mount(dir, f)
			ops := 0
			f.OnOp(func(faultfs.Op) {
				if ops++; ops == n {
					work(s)
				}
			})
			reports, err := store.Check(t.Context(), dir, nil)
			unmount()
			if err != nil || len(reports) == 0 && ops < n || slices.ContainsFunc(reports, func(r store.FileReport) bool { return len(r.Damage) > 0 }) {
				t.Errorf("%s before operation %d: %v, and\n%s", what, n, err, summary(reports))
			}
			s.Close()
			if ops < n {
				break
			}
		}
	}
}

// What fails while files are read is an error, and never taken for damage or
// for the end of something.
func TestFaultsWhileReadingAreErrors(t *testing.T) {
	const dir = "/reading"
	fl := checkedStore(t)
	torn, _ := build(t, "/torn", 9, 20, snapshot, 30, killed)
	unsealed := checkedStore(t)
	unsealed[log3] = unsealed[log3][:len(unsealed[log3])-sealLen]
	mem, _ := memory(t, dir)
	s := open(t, dir, &plainMachine{}, nil)
	update(t, s, strings.Repeat("u", 300_000)) // so that a snapshot is not read at once
	check(t, s.Snapshot(t.Context()))
	update(t, s, "u")
	s.Close()
	large := readFiles(t, mem, dir)
	for _, content := range []files{fl, torn, unsealed, large} {
		content["LOCK"] = nil // without it, Open looks at a file once more
	}
	for what, read := range map[string]func() error{
		"Check": func() error {
			reports, err := store.Check(t.Context(), dir, nil)
			for _, r := range reports {
				if len(r.Damage) > 0 {
					t.Errorf("Check reports damage: %s", summary(reports))
				}
			}
			return err
		},
		"Open": func() error {
			s, err := store.Open(dir, &plainMachine{}, quiet(nil))
			if err == nil {
				t.Cleanup(func() { s.Close() })
			}
			return err
		},
		"RestoreAt": func() error { return store.RestoreAt(t.Context(), dir, &plainMachine{}, 2, nil) },
		"ReadUpdates": func() error {
			for u, err := range store.ReadUpdates(t.Context(), dir, 1) {
				if err != nil || u.Index == 2 {
					return err
				}
			}
			return errors.New("it ended by itself")
		},
	} {
		for i, content := range []files{fl, fl, torn, torn, unsealed, unsealed, large, large} {
			for _, kind := range []faultfs.Kind{faultfs.OpOpen, faultfs.OpList, faultfs.OpStat, faultfs.OpRead} {
				hits := 0
				for n := int64(1); ; n++ {
					f := faultfs.New(content.mem(t, dir))
					fault := f.Inject(faultfs.Fault{Kinds: kind, N: n, Err: syscall.EACCES, Forever: i%2 == 1})
					unmount := storefs.Mount(dir, f)
					err := read()
					unmount()
					if fault.Hits() == 0 {
						break
					}
					hits++
					if !errors.Is(err, syscall.EACCES) || !strings.HasPrefix(err.Error(), "store: ") {
						t.Errorf("%s with %v number %d failing: %v", what, kind, n, err)
					}
				}
				if hits == 0 {
					t.Errorf("%s: no %v was hit", what, kind)
				}
			}
		}
	}
}

// A readOnly disk, as a medium that can't be written.
type readOnly struct{ fsys.FS }

func (r readOnly) Open(path string, mode fsys.Mode, perm fs.FileMode) (fsys.File, error) {
	if mode != fsys.ReadOnly {
		return nil, &fs.PathError{Op: "open", Path: path, Err: syscall.EROFS}
	}
	return r.FS.Open(path, mode, perm)
}

func TestReadingAStoreThatCannotBeWritten(t *testing.T) {
	const dir = "/readonly"
	mount(t, dir, readOnly{checkedStore(t).mem(t, dir)})
	_, err := store.Check(t.Context(), dir, nil)
	check(t, err)
	check(t, store.RestoreAt(t.Context(), dir, &plainMachine{}, 4, nil))
	for _, err := range store.ReadUpdates(t.Context(), dir, 1) {
		check(t, err)
	}
}

// What is dropped, moved away or restored over between the listing of a directory and the
// reading of the headers is looked for again: a list is never empty.
func TestFilesThatGoWhileTheyAreListed(t *testing.T) {
	const dir, log9, snap9 = "/going", "00000000000000000009.log", "00000000000000000009.snap"
	const log2, snap2 = "00000000000000000002.log", "00000000000000000002.snap"
	old, _ := build(t, dir, 1, 20, 30, snapshot, 40)
	old = files{log2: old[log2], snap2: old[snap2]} // as long as one snapshot is kept
	next, _ := build(t, dir, 1, 20, 30, 20, 30, 20, 30, 20, 30, 20, snapshot, 40)
	next = files{log9: next[log9], snap9: next[snap9]}
	for name, c := range map[string]struct {
		then files
		want []string // nil: there is no store
	}{
		"a snapshot drops all of them":  {next, []string{log9, snap9}},
		"they are moved away":           {files{}, nil},
		"only the log stays":            {files{log9: next[log9]}, []string{log9}},
		"the store is set back to this": {files{log0: next[log9]}, []string{log0}},
	} {
		disk := &goingDisk{FS: old.mem(t, dir), then: c.then.mem(t, dir)}
		unmount := storefs.Mount(dir, disk)
		found, err := store.Files(dir)
		unmount()
		var names []string
		for _, f := range found {
			names = append(names, filepath.Base(f.Path))
		}
		if !slices.Equal(names, c.want) || (err == nil) == (c.want == nil) || err != nil && !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("%s: %q, %v", name, names, err)
		}
	}
	// One that keeps going after it was listed is no reason to look for ever.
	for name, left := range map[string]files{"some of the names": {log9: next[log9]}, "all names": {}} {
		disk := &goingDisk{FS: old.mem(t, dir), then: left.mem(t, dir), listed: next.mem(t, dir)}
		unmount := storefs.Mount(dir, disk)
		found, err := store.Files(dir)
		unmount()
		if len(found) != len(left) || (err == nil) == (len(left) == 0) {
			t.Errorf("%s lead nowhere: %v, %v", name, found, err)
		}
	}
}

// A store drops the logs before a snapshot, so where nothing leads to the oldest log, the
// snapshot is missing: that is damage, and not that something was dropped.
func TestAStoreWithoutItsSnapshotIsDamaged(t *testing.T) {
	const dir, log2, snap2 = "/headless", "00000000000000000002.log", "00000000000000000002.snap"
	whole, _ := build(t, dir, 1, 20, 30, snapshot, 40)
	whole = files{log2: whole[log2], snap2: whole[snap2]}
	headless := files{log2: whole[log2]}
	for name, read := range map[string]func() error{
		"RestoreAt": func() error { return store.RestoreAt(t.Context(), dir, &journal{}, 3, nil) },
		"Load":      func() error { _, err := store.Load(t.Context(), dir, &journal{}); return err },
		"Open":      func() error { _, err := store.Open(dir, &journal{}, nil); return err },
		"Copy": func() error {
			_, err := store.Copy(t.Context(), dir, filepath.Join(t.TempDir(), "copy"), nil)
			return err
		},
	} {
		unmount := storefs.Mount(dir, headless.mem(t, dir))
		err := read()
		unmount()
		var damage *store.CorruptError
		if !errors.As(err, &damage) || filepath.Base(damage.Path) != log0 {
			t.Errorf("%s: %v", name, err)
		}
	}
	// A listing that has missed a snapshot is none.
	unmount := storefs.Mount(dir, &goingDisk{FS: headless.mem(t, dir), then: whole.mem(t, dir)})
	defer unmount()
	if err := store.RestoreAt(t.Context(), dir, &journal{}, 1, nil); !errors.Is(err, store.ErrNotRetained) {
		t.Errorf("a snapshot that has come meanwhile: %v", err)
	}
}

// A goingDisk is another one from its first listing on.
type goingDisk struct {
	fsys.FS
	then   fsys.FS
	listed fsys.FS // what lists its names then; nil: itself
}

func (d *goingDisk) List(dir string) ([]fsys.Entry, error) {
	now := d.FS
	if d.then != nil {
		d.FS, d.then = d.then, nil
	} else if d.listed != nil {
		now = d.listed
	}
	return now.List(dir)
}

// leftOpen returns how many of the files that do opens it leaves open.
func leftOpen(f *faultfs.FS, do func()) (left, all int) {
	f.OnOp(func(op faultfs.Op) {
		switch op.Kind {
		case faultfs.OpOpen, faultfs.OpCreate:
			left++
			all++
		case faultfs.OpClose:
			left--
		}
	})
	defer f.OnOp(nil)
	do()
	return left, all
}

func TestReadingClosesItsFiles(t *testing.T) {
	const dir = "/closes"
	whole := checkedStore(t)
	damaged := maps.Clone(whole)
	for _, name := range []string{log0, log1, snap3} {
		damaged[name] = replace(damaged[name], headerLen+20, []byte{1, 2, 3, 4})
	}
	damaged[snap1] = damaged[snap1][:20]
	for _, content := range []files{whole, damaged} {
		f := faultfs.New(content.mem(t, dir))
		unmount := storefs.Mount(dir, f)
		var err error
		left, all := leftOpen(f, func() {
			_, err = store.Check(t.Context(), dir, nil)
			_ = store.RestoreAt(t.Context(), dir, &plainMachine{}, 4, nil)
		})
		unmount()
		if err != nil || left != 0 || all < 7 {
			t.Errorf("%d of %d files were left open (%v)", left, all, err)
		}
	}
}

// A log that lost all that it held is damage, be it before the oldest snapshot.
func TestALogThatLostAllItHeldIsDamage(t *testing.T) {
	whole, _ := build(t, "/lost", 9, 20, reopen, 30, snapshot, 40, snapshot, 50)
	tried := 0
	for name, file := range whole {
		if filepath.Ext(name) != ".log" || len(file) == headerLen {
			continue
		}
		fl := maps.Clone(whole)
		fl[name] = append(bytes.Clone(file[:headerLen]), make([]byte, len(file)-headerLen)...)
		if got := checked(t, fl); !strings.Contains(got, fmt.Sprintf("updates=0 damage@%d", headerLen)) {
			t.Errorf("%s without its content:\n%s", name, got)
		}
		tried++
	}
	if tried != 4 {
		t.Errorf("%d logs", tried)
	}
}
