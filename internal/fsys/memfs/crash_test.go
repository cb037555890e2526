package memfs

import (
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/stateio/stateio/internal/fsys"
	"github.com/stateio/stateio/internal/fsys/faultfs"
	"github.com/stateio/stateio/internal/fsys/fsystest"
)

const testPage = 512

// newTestMem returns an FS of small pages with the durable directory /d.
func newTestMem(t testing.TB, opts Options) *FS {
	t.Helper()
	opts.PageSize = testPage
	m := New(opts)
	fsystest.Mkdir(t, m, "/d")
	dirsync(t, m, "/")
	return m
}

// durable makes a file whose name and content survive a crash.
func durable(t testing.TB, m *FS, path, content string) fsys.File {
	t.Helper()
	f := fsystest.Create(t, m, path, content)
	fsync(t, f)
	dirsync(t, m, path[:strings.LastIndex(path, "/")])
	return f
}

func fsync(t testing.TB, f fsys.File) {
	t.Helper()
	if err := f.Sync(); err != nil {
		t.Fatal(err)
	}
}

func dirsync(t testing.TB, fsys fsys.FS, dir string) {
	t.Helper()
	if err := fsys.SyncDir(dir); err != nil {
		t.Fatal(err)
	}
}

// pages returns a string of pages, each filled with one of the letters.
func pages(letters string) string {
	var b strings.Builder
	for _, l := range letters {
		b.WriteString(strings.Repeat(string(l), testPage))
	}
	return strings.ReplaceAll(b.String(), "0", "\x00")
}

// letters is the reverse of pages: one letter for each page, 0 for zeros, and
// ? for a page that is not filled with one letter.
func letters(s string) string {
	var b strings.Builder
	for len(s) > 0 {
		n := min(len(s), testPage)
		switch {
		case strings.Count(s[:n], s[:1]) != n:
			b.WriteByte('?')
		case s[0] == 0:
			b.WriteByte('0')
		default:
			b.WriteByte(s[0])
		}
		s = s[n:]
	}
	return b.String()
}

// show describes all files in dir: their names and the letters they hold.
func show(t testing.TB, m *FS, dir string) string {
	t.Helper()
	var out []string
	for _, name := range fsystest.Listing(t, m, dir) {
		if !strings.HasSuffix(name, "/") {
			name += ":" + letters(fsystest.Content(t, m, dir+"/"+name))
		}
		out = append(out, name)
	}
	return strings.Join(out, " ")
}

// wantStates checks that exactly the states in want can be found in /d after a
// crash of m: all of them by CrashStates, and all by Crash over many seeds.
func wantStates(t *testing.T, m *FS, want ...string) {
	t.Helper()
	slices.Sort(want)
	all := map[string]bool{}
	for after := range m.CrashStates() {
		all[show(t, after, "/d")] = true
	}
	if got := slices.Sorted(maps.Keys(all)); !slices.Equal(got, want) {
		t.Errorf("CrashStates yields %q\nwant %q", got, want)
	}
	drawn := map[string]bool{}
	for seed := range uint64(400 + 100*len(want)) {
		drawn[show(t, m.Crash(rand.New(rand.NewPCG(seed, 0))), "/d")] = true
	}
	if got := slices.Sorted(maps.Keys(drawn)); !slices.Equal(got, want) {
		t.Errorf("Crash draws %q\nwant %q", got, want)
	}
}

func TestSyncedFileVanishesWithoutSyncDir(t *testing.T) {
	m := newTestMem(t, Options{})
	f := fsystest.Create(t, m, "/d/a", pages("A"))
	fsync(t, f)
	wantStates(t, m, "", "a:A")
	dirsync(t, m, "/d")
	wantStates(t, m, "a:A")
}

func TestDirectoryVanishesWithoutSyncDirOfItsParent(t *testing.T) {
	m := newTestMem(t, Options{})
	fsystest.Mkdir(t, m, "/d/sub")
	fsync(t, fsystest.Create(t, m, "/d/sub/a", pages("A")))
	dirsync(t, m, "/d/sub")
	wantStates(t, m, "", "sub/")
	dirsync(t, m, "/d")
	for after := range m.CrashStates() {
		fsystest.WantContent(t, after, "/d/sub/a", pages("A"))
	}
}

func TestRenameIsOneStep(t *testing.T) {
	m := newTestMem(t, Options{})
	durable(t, m, "/d/old", pages("O"))
	durable(t, m, "/d/tmp", pages("N"))
	if err := m.Rename("/d/tmp", "/d/old"); err != nil {
		t.Fatal(err)
	}
	wantStates(t, m, "old:O tmp:N", "old:N")
	dirsync(t, m, "/d")
	wantStates(t, m, "old:N")
}

func TestRenameBeforeContent(t *testing.T) {
	m := newTestMem(t, Options{})
	durable(t, m, "/d/old", pages("O"))
	fsystest.Create(t, m, "/d/tmp", pages("NN"))
	if err := m.Rename("/d/tmp", "/d/old"); err != nil {
		t.Fatal(err)
	}
	dirsync(t, m, "/d")
	wantStates(t, m, "old:", "old:0", "old:N", "old:00", "old:0N", "old:N0", "old:NN")
}

func TestRemovedFileComesBack(t *testing.T) {
	m := newTestMem(t, Options{})
	durable(t, m, "/d/a", pages("A"))
	if err := m.Remove("/d/a"); err != nil {
		t.Fatal(err)
	}
	wantStates(t, m, "", "a:A")
	dirsync(t, m, "/d")
	wantStates(t, m, "")
}

func TestNamesAreIndependentButInOrder(t *testing.T) {
	m := newTestMem(t, Options{})
	durable(t, m, "/d/a", pages("A"))
	fsystest.Create(t, m, "/d/x", "")
	if err := m.Rename("/d/a", "/d/b"); err != nil {
		t.Fatal(err)
	}
	if err := m.Rename("/d/b", "/d/c"); err != nil {
		t.Fatal(err)
	}
	wantStates(t, m, "a:A", "a:A x:", "b:A", "b:A x:", "c:A", "c:A x:")
}

func TestSyncDirCoversBothNamesAndWhatTheyBuildOn(t *testing.T) {
	m := newTestMem(t, Options{})
	fsystest.Mkdir(t, m, "/e")
	dirsync(t, m, "/")
	fsync(t, fsystest.Create(t, m, "/d/a", pages("A")))
	fsystest.Create(t, m, "/d/other", "")
	if err := m.Rename("/d/a", "/e/a"); err != nil {
		t.Fatal(err)
	}
	dirsync(t, m, "/e")
	wantStates(t, m, "", "other:")
	for after := range m.CrashStates() {
		fsystest.WantContent(t, after, "/e/a", pages("A"))
	}
}

func TestEverySubsetOfPages(t *testing.T) {
	m := newTestMem(t, Options{})
	f := durable(t, m, "/d/a", pages("abcdef"))
	fsystest.WriteAt(t, f, 0, pages("ABCDEF"))
	var want []string
	for subset := range 1 << 6 {
		s := []byte("abcdef")
		for i := range s {
			if subset>>i&1 == 1 {
				s[i] -= 'a' - 'A'
			}
		}
		want = append(want, "a:"+string(s))
	}
	wantStates(t, m, want...)
	if err := f.Datasync(); err != nil {
		t.Fatal(err)
	}
	wantStates(t, m, "a:ABCDEF")
}

func TestPageWrittenRepeatedly(t *testing.T) {
	m := newTestMem(t, Options{})
	f := durable(t, m, "/d/a", pages("a"))
	fsystest.WriteAt(t, f, 0, pages("b"))
	fsystest.WriteAt(t, f, 0, pages("c"))
	wantStates(t, m, "a:a", "a:b", "a:c")
}

func TestPartOfAPageIsWrittenBackWithThePage(t *testing.T) {
	m := newTestMem(t, Options{})
	f := durable(t, m, "/d/a", pages("a"))
	fsystest.WriteAt(t, f, 100, "x")
	fsystest.WriteAt(t, f, 200, "y")
	got := map[string]bool{}
	for after := range m.CrashStates() {
		s := fsystest.Content(t, after, "/d/a")
		got[s[100:101]+s[200:201]] = true
	}
	states := slices.Sorted(maps.Keys(got))
	if want := []string{"aa", "xa", "xy"}; !slices.Equal(states, want) {
		t.Errorf("states %q, want %q", states, want)
	}
}

func TestSizeGrowsByPages(t *testing.T) {
	m := newTestMem(t, Options{})
	f := durable(t, m, "/d/a", pages("a"))
	fsystest.WriteAt(t, f, testPage, pages("BC"))
	wantStates(t, m, "a:a", "a:a0", "a:aB", "a:a00", "a:aB0", "a:a0C", "a:aBC")
}

func TestPreallocatedSpaceReadsAsZeros(t *testing.T) {
	m := newTestMem(t, Options{Garbage: true})
	f := durable(t, m, "/d/a", pages("a"))
	if err := f.Preallocate(0, 3*testPage); err != nil {
		t.Fatal(err)
	}
	wantStates(t, m, "a:a", "a:a00")
	fsync(t, f)
	wantStates(t, m, "a:a00")
}

func TestTruncateNeverMixes(t *testing.T) {
	m := newTestMem(t, Options{})
	f := durable(t, m, "/d/a", pages("abc"))
	fsystest.WriteAt(t, f, 0, pages("A"))
	if err := f.Truncate(testPage); err != nil {
		t.Fatal(err)
	}
	fsystest.WriteAt(t, f, testPage, pages("X"))
	wantStates(t, m,
		"a:abc", "a:Abc", // not truncated
		"a:a", "a:A", "a:a0", "a:A0", "a:aX", "a:AX") // truncated
	fsync(t, f)
	wantStates(t, m, "a:AX")
}

func TestCutPageEndsInZeros(t *testing.T) {
	m := newTestMem(t, Options{})
	f := durable(t, m, "/d/a", pages("a"))
	if err := f.Truncate(100); err != nil {
		t.Fatal(err)
	}
	for after := range m.CrashStates() {
		g := fsystest.Open(t, after, "/d/a", fsys.ReadWrite)
		if err := g.Truncate(testPage); err != nil {
			t.Fatal(err)
		}
		got := fsystest.Content(t, after, "/d/a")
		if got != pages("a") && got != pages("a")[:100]+strings.Repeat("\x00", testPage-100) {
			t.Errorf("after a crash and an extension: %q", got)
		}
	}
}

func TestGarbageOnlyWhereNothingWasWritten(t *testing.T) {
	m := newTestMem(t, Options{Garbage: true})
	f := durable(t, m, "/d/a", pages("a"))
	fsystest.WriteAt(t, f, 0, pages("AB"))
	wantStates(t, m,
		"a:a", "a:A", // not extended
		"a:a0", "a:A0", "a:aB", "a:AB", // zeros, or written
		"a:a?", "a:A?", // noise
		"a:aa", "a:Aa") // an older page of the file
}

func TestFailedSyncLosesPagesForGood(t *testing.T) {
	for _, revert := range []bool{false, true} {
		t.Run(fmt.Sprint("revert=", revert), func(t *testing.T) {
			m := newTestMem(t, Options{})
			durable(t, m, "/d/a", pages("ab"))
			faulty := faultfs.New(m)
			f := fsystest.Open(t, faulty, "/d/a", fsys.ReadWrite)
			fsystest.WriteAt(t, f, 0, pages("A"))
			faulty.Inject(faultfs.Fault{Kinds: faultfs.Syncs, Err: errDisk, Revert: revert})
			fsystest.WantErr(t, f.Sync(), errDisk, "/d/a")
			fsync(t, f) // the second one succeeds, and proves nothing
			cached := "Ab"
			if revert {
				cached = "ab"
			}
			fsystest.WantContent(t, m, "/d/a", pages(cached))
			wantStates(t, m, "a:ab")

			if err := f.DropCache(); err != nil {
				t.Fatal(err)
			}
			fsystest.WantContent(t, m, "/d/a", pages("ab"))

			fsystest.WriteAt(t, f, 0, pages("A")) // writing again is the cure
			fsync(t, f)
			wantStates(t, m, "a:Ab")
		})
	}
}

// TestFailedSyncKeepsTheSize: the size is the journal's, and the next sync
// commits it, without the bytes.
func TestFailedSyncKeepsTheSize(t *testing.T) {
	m := newTestMem(t, Options{})
	durable(t, m, "/d/a", pages("a"))
	faulty := faultfs.New(m)
	f := fsystest.Open(t, faulty, "/d/a", fsys.ReadWrite)
	fsystest.WriteAt(t, f, testPage, pages("B"))
	faulty.Inject(faultfs.Fault{Kinds: faultfs.Syncs, Err: errDisk})
	fsystest.WantErr(t, f.Datasync(), errDisk, "/d/a")
	wantStates(t, m, "a:a", "a:a0")
	fsync(t, f)
	fsystest.WantContent(t, m, "/d/a", pages("aB"))
	wantStates(t, m, "a:a0")
}

func TestDropCacheKeepsDirtyPages(t *testing.T) {
	m := newTestMem(t, Options{})
	f := durable(t, m, "/d/a", pages("a"))
	fsystest.WriteAt(t, f, 0, pages("AB"))
	if err := f.DropCache(); err != nil {
		t.Fatal(err)
	}
	fsystest.WantContent(t, m, "/d/a", pages("AB"))
	fsync(t, f)
	wantStates(t, m, "a:AB")
}

func TestKillKeepsTheCacheAndFreesLocks(t *testing.T) {
	m := newTestMem(t, Options{})
	if _, err := m.Lock("/d/LOCK", 0o600); err != nil {
		t.Fatal(err)
	}
	dirsync(t, m, "/d")
	f := fsystest.Create(t, m, "/d/a", pages("A"))
	gone := durable(t, m, "/d/gone", pages("G"))
	fsystest.WriteAt(t, f, 0, pages("B"))
	if err := m.Remove("/d/gone"); err != nil {
		t.Fatal(err)
	}
	k := m.Kill()
	fsync(t, fsystest.Open(t, k.Kill(), "/d/a", fsys.ReadWrite)) // changes neither k nor m
	m.Stop()
	fsystest.WantErr(t, gone.Sync(), fsys.ErrCrashed, "/d/gone")
	fsystest.WantContent(t, k, "/d/a", pages("B"))
	if _, err := k.Lock("/d/LOCK", 0o600); err != nil {
		t.Errorf("Lock after Kill: %v", err)
	}
	if want := int64(testPage); k.Used() != want {
		t.Errorf("%d bytes used after Kill, want %d", k.Used(), want)
	}
	wantStates(t, k,
		"LOCK: a:", "LOCK: a:0", "LOCK: a:A", "LOCK: a:B",
		"LOCK: a: gone:G", "LOCK: a:0 gone:G", "LOCK: a:A gone:G", "LOCK: a:B gone:G")
	g := fsystest.Open(t, k, "/d/a", fsys.ReadWrite)
	fsync(t, g)
	dirsync(t, k, "/d")
	wantStates(t, k, "LOCK: a:B")
}

func TestStopEndsEverything(t *testing.T) {
	m := newTestMem(t, Options{})
	f := durable(t, m, "/d/a", pages("a"))
	lock, err := m.Lock("/d/LOCK", 0o600)
	if err != nil {
		t.Fatal(err)
	}
	fsystest.WriteAt(t, f, 0, pages("A"))
	m.Stop()

	_, openErr := m.Open("/d/a", fsys.ReadOnly, 0)
	_, createErr := m.Open("/d/b", fsys.Create, 0o600)
	_, lockErr := m.Lock("/d/LOCK", 0o600)
	_, statErr := m.Stat("/d/a")
	_, listErr := m.List("/d")
	_, readErr := f.ReadAt(make([]byte, 1), 0)
	_, writeErr := f.WriteAt([]byte("x"), 0)
	_, fileStatErr := f.Stat()
	for i, err := range []error{
		openErr, createErr, lockErr, statErr, listErr, readErr, writeErr, fileStatErr,
		m.Mkdir("/d/e", 0o700), m.Rename("/d/a", "/d/b"), m.Remove("/d/a"), m.SyncDir("/d"),
		f.Sync(), f.Datasync(), f.Truncate(0), f.Preallocate(0, 1), f.DropCache(), f.Close(), lock.Close(),
	} {
		if !errors.Is(err, fsys.ErrCrashed) {
			t.Errorf("operation %d after Stop: %v, want ErrCrashed", i, err)
		}
	}
	wantStates(t, m, "a:a", "a:A", "LOCK: a:a", "LOCK: a:A")
}

func TestCrashLeavesTheOriginalAlone(t *testing.T) {
	m := newTestMem(t, Options{})
	f := durable(t, m, "/d/a", pages("abc"))
	fsystest.WriteAt(t, f, 0, pages("A"))
	rng := rand.New(rand.NewPCG(1, 1))
	first, second := m.Crash(rng), m.Crash(rng)
	was := fsystest.Content(t, second, "/d/a")

	g := fsystest.Open(t, first, "/d/a", fsys.ReadWrite)
	fsystest.WriteAt(t, g, 0, pages("XYZ"))
	fsync(t, g)
	if err := first.Remove("/d/a"); err != nil {
		t.Fatal(err)
	}
	fsystest.WantContent(t, m, "/d/a", pages("Abc"))
	fsystest.WantContent(t, second, "/d/a", was)

	fsystest.WriteAt(t, f, 0, pages("123"))
	fsync(t, f)
	fsystest.WantContent(t, second, "/d/a", was)
	wantStates(t, m, "a:123")
}

func TestCrashIsDeterministic(t *testing.T) {
	draw := func(seed uint64) (out []string) {
		m := newTestMem(t, Options{Garbage: true})
		f := durable(t, m, "/d/a", pages("abc"))
		fsystest.WriteAt(t, f, 0, pages("ABCDEF"))
		fsystest.Create(t, m, "/d/b", pages("B"))
		rng := rand.New(rand.NewPCG(seed, 0))
		for range 20 {
			out = append(out, show(t, m.Crash(rng), "/d"))
		}
		return out
	}
	if a, b := draw(1), draw(1); !slices.Equal(a, b) {
		t.Errorf("the same seed gives\n%q and\n%q", a, b)
	}
	if a, b := draw(1), draw(2); slices.Equal(a, b) {
		t.Errorf("two seeds give the same states %q", a)
	}
}

func TestUnsyncedWorkIsBounded(t *testing.T) {
	m := newTestMem(t, Options{})
	f := fsystest.Create(t, m, "/d/a", "")
	for i := range 3 * maxPending {
		fsystest.WriteAt(t, f, int64(i%1000)*testPage, pages("x"))
	}
	if n := len(f.(*memFile).inode.pending); n > maxPending {
		t.Errorf("%d changes pending, want at most %d", n, maxPending)
	}
	if info, err := f.Stat(); err != nil || info.Size != 1000*testPage {
		t.Errorf("Stat = %+v, %v", info, err)
	}
}

var errDisk = errors.New("injected")

func TestStopInTheMiddleOfAWrite(t *testing.T) {
	m := newTestMem(t, Options{})
	durable(t, m, "/d/a", pages("abcd"))
	f := faultfs.New(m)
	file := fsystest.Open(t, f, "/d/a", fsys.ReadWrite)
	f.Inject(faultfs.Fault{Kinds: faultfs.OpWrite, Stop: true, Short: 2 * testPage})
	_, err := file.WriteAt([]byte(pages("ABCD")), 0)
	fsystest.WantErr(t, err, fsys.ErrCrashed, "/d/a")
	wantStates(t, m, "a:abcd", "a:Abcd", "a:aBcd", "a:ABcd")
	fsystest.WantContent(t, m.Kill(), "/d/a", pages("ABcd"))
}
