package store_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/cespare/xxhash/v2"

	"github.com/stateio/stateio"
	"github.com/stateio/stateio/internal/fsys"
	"github.com/stateio/stateio/internal/fsys/memfs"
	"github.com/stateio/stateio/internal/record"
	"github.com/stateio/stateio/internal/storefs"
	"github.com/stateio/stateio/logio"
	"github.com/stateio/stateio/store"
)

// A digester is a machine that takes anything.
type digester struct {
	Updates  uint64
	Digest   uint64
	Snapshot uint64 // digest of the one that was restored
}

type digesting struct{ d digester }

func (m *digesting) Apply(update []byte) (any, error) {
	m.d.Updates++
	m.d.Digest = (m.d.Digest+1)*31 ^ xxhash.Sum64(update)
	return nil, nil
}

func (m *digesting) Snapshot() (io.WriterTo, error) { return &bytes.Buffer{}, nil }

func (m *digesting) Restore(r io.Reader) error {
	h := xxhash.New()
	n, err := io.Copy(h, r)
	m.d = digester{Snapshot: h.Sum64() + uint64(n) + 1}
	return err
}

// allocated returns the bytes that do allocates.
func allocated(do func()) uint64 {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	do()
	runtime.ReadMemStats(&after)
	return after.TotalAlloc - before.TotalAlloc
}

// wantBounded fails t if more was allocated than input of that size justifies:
// buffers of a fixed number, and copies of what was read.
func wantBounded(t *testing.T, what string, alloc uint64, input int) {
	t.Helper()
	if most := uint64(16<<20 + 40*input); alloc > most {
		t.Errorf("%s allocated %d bytes for an input of %d, want at most %d", what, alloc, input, most)
	}
}

// fuzzed are the names of the files of the stores that FuzzOpen begins with.
var fuzzed = [...]string{
	"00000000000000000000.log", "00000000000000000003.snap", "00000000000000000003.log", "00000000000000000005.log",
}

// addStores adds real stores to the seeds: closed, killed, torn, and without
// one or the other file.
func addStores(f *testing.F) {
	add := func(fl files) {
		b := func(i int) []byte { return fl[fuzzed[i]] }
		f.Add(false, b(0), b(1), b(2), b(3))
		f.Add(true, b(0), b(1), b(2), b(3))
	}
	for _, big := range []int{200, 33_000} {
		for _, end := range []int{snapshot, killed, reopen} {
			sizes := []int{16, big, 40, snapshot, 16, 30, end}
			if end == snapshot {
				sizes = sizes[:6]
			}
			fl, _ := build(f, "/fuzzseed", 2, sizes...)
			add(fl)
			for i, name := range fuzzed {
				bad := maps.Clone(fl)
				if i%2 == 0 {
					delete(bad, name)
				} else if b := fl[name]; len(b) > 0 {
					bad[name] = b[:len(b)-7]
				}
				add(bad)
			}
		}
	}
}

// reseal makes the checksums of all records right that follow one another.
func reseal(b []byte) {
	for pos := int64(0); pos+record.HeaderSize <= int64(len(b)); pos = record.Aligned(pos) {
		r := b[pos:min(int64(len(b)), pos-pos%record.BlockSize+record.BlockSize)]
		h := record.Decode(r)
		if h.Length == 0 || h.Size() > len(r) {
			return
		}
		binary.LittleEndian.PutUint32(r, uint32(xxhash.Sum64(r[4:h.Size()])))
		pos += int64(h.Size())
	}
}

// Whatever the files of a store hold, Open says what is wrong and changes
// nothing, or comes to a state that it comes to again, and that all other ways
// to read the store agree with. Check finds nothing wrong exactly where Open
// does not, but for files that it does not read.
func FuzzOpen(f *testing.F) {
	addStores(f)
	f.Fuzz(func(t *testing.T, resealed bool, a, b, c, d []byte) {
		const dir = "/fuzz"
		fl, size := files{}, 0
		for i, content := range [][]byte{a, b, c, d} {
			if len(content) > 0 && len(content) < 1<<20 {
				content = bytes.Clone(content)
				if resealed {
					reseal(content)
				}
				fl[fuzzed[i]] = content
				size += len(content)
			}
		}
		if len(fl) == 0 {
			return
		}
		mem := fl.mem(t, dir)
		defer storefs.Mount(dir, mem)()
		var reports []store.FileReport
		newer := false // one of the files is, so that Check has not seen all
		wantBounded(t, "Check", allocated(func() {
			var err error
			reports, err = store.Check(t.Context(), dir, nil)
			if newer = errors.Is(err, store.ErrVersion); err != nil && !newer {
				t.Fatal("Check:", err)
			}
		}), size)
		m := &digesting{}
		var s *store.Store
		var err error
		wantBounded(t, "Open", allocated(func() {
			s, err = store.Open(dir, m, quiet(&store.Options{SnapshotBytes: -1, PreallocateBytes: 1}))
		}), size)
		if err != nil {
			refusedAsItShould(t, err, reports, newer)
			if after := readFiles(t, mem, dir); !maps.EqualFunc(after, fl, bytes.Equal) {
				t.Errorf("Open refused the store, and changed it: %v", err)
			}
			return
		}
		if !newer {
			acceptedAsItShould(t, mem, s, reports)
		}
		if err := s.Close(); err != nil {
			t.Fatal("Close:", err)
		}
		agree(t, dir, s.Recovery(), m.d)
	})
}

// refusedAsItShould checks the error of Open against what Check said before.
func refusedAsItShould(t *testing.T, err error, reports []store.FileReport, newer bool) {
	t.Helper()
	if !strings.HasPrefix(err.Error(), "store: ") {
		t.Errorf("%q does not begin with the package's name", err)
	}
	if errors.Is(err, store.ErrVersion) {
		return
	}
	if !errors.Is(err, store.ErrCorrupt) {
		t.Errorf("Open: %v, want ErrCorrupt", err)
	}
	if !newer && !slices.ContainsFunc(reports, func(r store.FileReport) bool { return len(r.Damage) > 0 }) {
		t.Errorf("Check finds nothing wrong, and Open says: %v", err)
	}
}

// acceptedAsItShould checks that what Check found does not concern Open: it is
// in files that Open does not read, or has removed as empty and not in use.
func acceptedAsItShould(t *testing.T, mem *memfs.FS, s *store.Store, reports []store.FileReport) {
	t.Helper()
	r := s.Recovery()
	for _, rep := range reports {
		needed := rep.Path == r.Snapshot || strings.HasSuffix(rep.Path, ".log") && rep.Index >= r.SnapshotIndex
		if _, gone := mem.Stat(rep.Path); needed && gone == nil && len(rep.Damage) > 0 {
			t.Errorf("Open accepts what Check finds damaged: %v", rep.Damage[0])
		}
	}
	for _, refused := range r.Refused {
		if !slices.ContainsFunc(reports, func(rep store.FileReport) bool { return rep.Path == refused.Path && len(rep.Damage) > 0 }) {
			t.Errorf("Check finds nothing wrong in %s, which Open refused: %v", refused.Path, refused.Err)
		}
	}
}

// agree holds all ways to read a store that was opened and closed to its state.
func agree(t *testing.T, dir string, r store.Recovery, want digester) {
	t.Helper()
	again := &digesting{}
	s, err := store.Open(dir, again, quiet(&store.Options{SnapshotBytes: -1, PreallocateBytes: 1}))
	if err != nil {
		t.Fatal("opening again:", err)
	}
	s.Close()
	if again.d != want || s.Recovery().TornBytes > 0 {
		t.Errorf("opened again: %+v, want %+v: %v", again.d, want, s.Recovery())
	}
	at := &digesting{}
	if err := store.RestoreAt(t.Context(), dir, at, r.Index, nil); err != nil || at.d != want {
		t.Errorf("restored at %d: %+v, want %+v: %v", r.Index, at.d, want, err)
	}
	next := r.SnapshotIndex
	for u, err := range store.ReadUpdates(t.Context(), dir, next+1) {
		if next == r.Index && errors.Is(err, store.ErrNotRetained) {
			break // there is none after the snapshot
		}
		if next++; err != nil || u.Index != next {
			t.Fatalf("update %d was read as %d: %v", next, u.Index, err)
		}
	}
	if next != r.Index {
		t.Errorf("%d updates can be read, of %d", next, r.Index)
	}
}

// ofAStore matches the names of a store's files.
var ofAStore = regexp.MustCompile(`^([0-9]{20}\.(log|snap)(\.tmp)?|LOCK)$`)

// Whatever a directory lists, Open takes nothing for a file of the store that is
// none, and touches nothing that is not the store's.
func FuzzDirectory(f *testing.F) {
	const all = "00000000000000000000.log\n00000000000000000003.snap\n00000000000000000003.log\n00000000000000000005.log"
	for _, names := range []string{
		"", all, all + "\nnotes.txt", all + "\n/00000000000000000007.log", all + "\n00000000000000000009.snap.tmp", "lost+found", "/LOCK", "LOCK\n" + all,
		all + "\n18446744073709551615.log", all + "\n18446744073709551616.log", all + "\n+0000000000000000001.log", all + "\n-0000000000000000001.snap",
		"00000000000000000000.tmp\n" + all, all + "\n0000000000000000003.log", all + "\n00000000000000000003.LOG", "x.tmp", all + "\n00000000000000000005.log.tmp.tmp",
	} {
		f.Add(names)
	}
	fl, _ := build(f, "/fuzzseed", 2, 16, 200, 40, snapshot, 16, 30)
	f.Fuzz(func(t *testing.T, names string) {
		const dir = "/fuzz"
		there, dirs := files{}, map[string]bool{}
		for _, name := range strings.Split(names, "\n") {
			name, isDir := strings.CutPrefix(name, "/")
			if name == "" || name == "." || name == ".." || strings.ContainsAny(name, "/\\\x00") || len(there)+len(dirs) > 50 {
				continue
			}
			delete(there, name)
			delete(dirs, name)
			if isDir {
				dirs[name] = true
			} else {
				there[name] = fl[name]
			}
		}
		mem := there.mem(t, dir)
		strange, foreign := false, false
		for name := range dirs {
			if err := mem.Mkdir(filepath.Join(dir, name), 0o700); err != nil {
				t.Fatal(err)
			}
			strange = strange || ofAStore.MatchString(name) && inRange(name)
		}
		store1 := false // there is a file of a store
		for _, name := range slices.Concat(slices.Collect(maps.Keys(there)), slices.Collect(maps.Keys(dirs))) {
			ours := ofAStore.MatchString(name) && inRange(name)
			foreign = foreign || !ours && name != "lost+found"
			store1 = store1 || ours && !strings.HasSuffix(name, ".tmp") && name != "LOCK"
		}
		defer storefs.Mount(dir, mem)()
		s, err := store.Open(dir, &digesting{}, quiet(&store.Options{SnapshotBytes: -1, PreallocateBytes: 1}))
		if err == nil {
			s.Close()
		}
		if err == nil && (strange || foreign && !store1) {
			t.Errorf("%q was opened", names)
		}
		if whole := !strange && !foreign && len(dirs) == 0 && (len(there) == 0 || sameNames(there, fl)); whole && err != nil {
			t.Errorf("%q: %v", names, err)
		}
		nothingGone(t, mem, dir, there, err)
	})
}

// inRange reports whether the number in the name of a store's file is one.
func inRange(name string) bool { return name == "LOCK" || name[:20] <= "18446744073709551615" }

func sameNames(a, b files) bool { return slices.Equal(a.names(), b.names()) }

// nothingGone checks that nothing is gone that is not an unfinished file, and
// with an error of Open nothing at all.
func nothingGone(t *testing.T, mem *memfs.FS, dir string, before files, err error) {
	t.Helper()
	for name, want := range before {
		_, gone := mem.Stat(filepath.Join(dir, name))
		unfinished := ofAStore.MatchString(name) && inRange(name) && strings.HasSuffix(name, ".tmp")
		switch {
		case gone == nil && unfinished && err == nil:
			t.Errorf("%s, unfinished, is still there", name)
		case gone != nil && (!unfinished || !errors.Is(gone, fs.ErrNotExist)) && len(want) > 0:
			t.Errorf("%s is gone: %v", name, gone)
		case gone != nil && !ofAStore.MatchString(name):
			t.Errorf("%s, of others, is gone: %v", name, gone)
		}
	}
}

// Import takes a state file exactly if package stateio reads it to the end, and
// that is the end of the file, and makes a store with that state and those updates
// of it. Where it refuses, there is no store.
func FuzzImport(f *testing.F) {
	for _, seed := range [][]byte{
		nil, stateFile(f, []string{"state"}, "one", "two"), stateFile(f, nil, "one", ""), stateFile(f, []string{}),
		stateFile(f, []string{strings.Repeat("s", 40_000)}, strings.Repeat("u", 33_000), "two"),
	} {
		f.Add(false, seed)
		f.Add(true, seed)
		if len(seed) > 0 {
			f.Add(true, seed[:len(seed)-3])
		}
	}
	f.Fuzz(func(t *testing.T, resealed bool, file []byte) {
		const dir = "/fuzz"
		if resealed {
			file = bytes.Clone(file)
			reseal(file)
		}
		want, updates, readErr := readState(file)
		mem := memfs.New(memfs.Options{})
		defer storefs.Mount(dir, mem)()
		var err error
		wantBounded(t, "Import", allocated(func() {
			err = store.Import(dir, bytes.NewReader(file), int64(len(file)))
		}), len(file))
		if err == nil && readErr != nil || err != nil && readErr == nil && wholeStateFile(file) {
			t.Fatalf("Import: %v, reading: %v", err, readErr)
		}
		if err != nil && !strings.HasPrefix(err.Error(), "store: ") {
			t.Errorf("%q does not begin with the package's name", err)
		}
		if err != nil {
			if l, _ := mem.List(dir); slices.ContainsFunc(l, func(e fsys.Entry) bool { return strings.HasSuffix(e.Name, ".log") }) {
				t.Errorf("Import failed and left a log: %v", err)
			}
			return
		}
		m := &digesting{}
		s, err := store.Open(dir, m, quiet(nil))
		if err != nil {
			t.Fatal(err)
		}
		s.Close()
		if m.d != want || s.Index() != updates {
			t.Errorf("imported %+v at index %d, want %+v at %d", m.d, s.Index(), want, updates)
		}
		agree(t, dir, s.Recovery(), want)
	})
}

// wholeStateFile reports whether a file begins and ends with a whole entry, and is no
// file of a store, nor a part of a backup.
func wholeStateFile(file []byte) bool {
	r := logio.NewReader(bytes.NewReader(file), 0)
	if first, err := r.Read(); err != nil || r.Offset() != 0 || bytes.Contains(first[:min(len(first), 20)], []byte("stateio\n")) {
		return false
	}
	tail, err := record.FindTail(bytes.NewReader(file), int64(len(file)))
	return err == nil && tail.Last.End == int64(len(file)) && !bytes.Contains(file, []byte("stateio\n"))
}

// readState reads a state file into a machine, by package stateio alone.
func readState(file []byte) (digester, uint64, error) {
	state, _, r, err := stateio.Restore(bytes.NewReader(file), int64(len(file)))
	if err != nil {
		return digester{}, 0, err
	}
	m := &digesting{}
	if state != nil {
		if err := m.Restore(bytes.NewReader(state)); err != nil {
			return digester{}, 0, fmt.Errorf("restoring: %w", err)
		}
	}
	for n := uint64(0); ; n++ {
		u, err := r.Read()
		if err == io.EOF {
			return m.d, n, nil
		}
		if err != nil {
			return digester{}, n, err
		}
		if _, err := m.Apply(u); err != nil {
			return digester{}, n, err
		}
	}
}
