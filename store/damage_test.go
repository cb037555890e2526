package store_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stateio/stateio/internal/crashtest"
	"github.com/stateio/stateio/internal/fsys"
	"github.com/stateio/stateio/internal/fsys/memfs"
	"github.com/stateio/stateio/internal/record"
	"github.com/stateio/stateio/internal/storefs"
	"github.com/stateio/stateio/store"
)

// mount makes a file system in memory the one of dir until the test ends.
func mount(t testing.TB, dir string, fs fsys.FS) {
	t.Helper()
	t.Cleanup(storefs.Mount(dir, fs))
}

// files are the contents of a directory.
type files map[string][]byte

func readFiles(t testing.TB, fs fsys.FS, dir string) files {
	t.Helper()
	l, err := fs.List(dir)
	if err != nil {
		t.Fatal(err)
	}
	fl := files{}
	for _, e := range l {
		f, err := fs.Open(filepath.Join(dir, e.Name), fsys.ReadOnly, 0)
		if err != nil {
			t.Fatal(err)
		}
		info, err := f.Stat()
		if err != nil {
			t.Fatal(err)
		}
		b := make([]byte, info.Size)
		if n, err := f.ReadAt(b, 0); n < len(b) {
			t.Fatal(err)
		}
		f.Close()
		if e.Name != "LOCK" {
			fl[e.Name] = b
		}
	}
	return fl
}

// mem returns a file system that holds fl in dir.
func (fl files) mem(t testing.TB, dir string) *memfs.FS {
	t.Helper()
	m := memfs.New(memfs.Options{})
	if err := m.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	for name, b := range fl {
		f, err := m.Open(filepath.Join(dir, name), fsys.Create, 0o600)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := f.WriteAt(b, 0); err != nil {
			t.Fatal(err)
		}
		f.Close()
	}
	return m
}

func (fl files) names() []string { return slices.Sorted(maps.Keys(fl)) }

// sealSize is the size of a seal that the end of a block does not split, in bytes.
const sealSize = 15 + 9 + 12 + 17

// What stands for something else than an update in the sizes given to build.
const (
	snapshot = 0
	reopen   = -1 // closing the store and opening it again
	killed   = -2 // the end, without closing the store
)

// build makes a store with updates of these sizes, closes it, and returns its
// files and state.
func build(t testing.TB, dir string, keep int, sizes ...int) (files, crashtest.Machine) {
	t.Helper()
	return buildOf(t, dir, &crashtest.Machine{Size: 100}, keep, sizes...)
}

// buildOf is build with m.
func buildOf(t testing.TB, dir string, m *crashtest.Machine, keep int, sizes ...int) (files, crashtest.Machine) {
	t.Helper()
	// All of them are made at one time, which tells none of their entries apart.
	mem := memfs.New(memfs.Options{Now: func() time.Time { return time.Unix(1_800_000_000, 0) }})
	defer storefs.Mount(dir, mem)()
	h := crashtest.NewHistory()
	opts := &store.Options{KeepSnapshots: keep, SnapshotBytes: -1, PreallocateBytes: 4096}
	s := open(t, dir, m, opts)
	for _, size := range sizes {
		var err error
		switch size {
		case reopen:
			err = s.Close()
			*m = crashtest.Machine{Size: m.Size}
			s = open(t, dir, m, opts)
		case snapshot:
			err = s.Snapshot(t.Context())
		case killed:
			defer s.Close()
			return readFiles(t, mem, dir), *m
		default:
			_, err = s.Update(t.Context(), h.Next(size))
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	return readFiles(t, mem, dir), *m
}

// judge opens the damaged store fl. The outcome may be that Open names what is
// corrupt, or that the state is the right one nevertheless; mustFail leaves
// only the first.
func judge(t testing.TB, dir string, fl files, want crashtest.Machine, mustFail bool) error {
	t.Helper()
	mem := fl.mem(t, dir)
	defer storefs.Mount(dir, mem)()
	m := &crashtest.Machine{Size: want.Size}
	s, err := store.Open(dir, m, quiet(nil))
	if err == nil {
		s.Close()
		if *m != want {
			return fmt.Errorf("Open succeeded with %d updates of %d", m.Count, want.Count)
		}
		if mustFail {
			return errors.New("Open succeeded")
		}
		return nil
	}
	var damage *store.CorruptError
	if !errors.Is(err, store.ErrCorrupt) || !errors.As(err, &damage) {
		return fmt.Errorf("Open: %w, want ErrCorrupt", err)
	}
	if !strings.HasPrefix(damage.Path, filepath.FromSlash(dir)) || !strings.HasPrefix(err.Error(), "store: ") {
		return fmt.Errorf("Open: %w, which does not name the file", err)
	}
	reports, err := store.Check(t.Context(), dir, nil)
	if err != nil {
		return fmt.Errorf("Check: %w", err)
	}
	for _, r := range reports {
		if len(r.Damage) > 0 {
			return nil
		}
	}
	return fmt.Errorf("Check finds nothing wrong where Open says: %w", damage)
}

// Each single bit of a store matters, or does not matter.
func TestEveryBitFlipIsFoundOrHarmless(t *testing.T) {
	const dir = "/bits"
	fl, want := build(t, dir, 2, 20, 30, 0, 40, 16, 0, 50, 60, 70)
	step := 1
	if testing.Short() {
		step = 17
	}
	for _, name := range fl.names() {
		for bit := 0; bit < 8*len(fl[name]); bit += step {
			fl[name][bit/8] ^= 1 << (bit % 8)
			if err := judge(t, dir, fl, want, false); err != nil {
				t.Errorf("%s with bit %d flipped: %v", name, bit, err)
			}
			fl[name][bit/8] ^= 1 << (bit % 8)
		}
	}
}

// In a log that is needed, each bit matters, but for those of the last seal: when
// a crash comes between a new log and the seal of the one before, that is torn.
func TestEveryBitOfANeededLogMatters(t *testing.T) {
	const dir = "/needed"
	fl, want := build(t, dir, 2, 20, 0, 40, 16, 50, reopen, 30)
	for name, exempt := range map[string]int{"00000000000000000001.log": 0, "00000000000000000004.log": sealSize} {
		b := fl[name]
		for bit := range 8 * len(b) {
			b[bit/8] ^= 1 << (bit % 8)
			if err := judge(t, dir, fl, want, bit/8 < len(b)-exempt); err != nil {
				t.Errorf("%s with bit %d of %d flipped: %v", name, bit, 8*len(b), err)
			}
			b[bit/8] ^= 1 << (bit % 8)
		}
	}
}

// The same without a clean end, for a log that has its seal.
func TestEveryBitOfASealedLogMattersAfterACrash(t *testing.T) {
	const dir = "/sealed"
	fl, want := build(t, dir, 2, 40, 16, reopen, 50, killed)
	b := fl["00000000000000000000.log"]
	for bit := range 8 * len(b) {
		b[bit/8] ^= 1 << (bit % 8)
		if err := judge(t, dir, fl, want, true); err != nil {
			t.Errorf("bit %d of %d flipped: %v", bit, 8*len(b), err)
		}
		b[bit/8] ^= 1 << (bit % 8)
	}
}

// sizes of a store of several blocks, with entries of one and of more blocks.
var manySizes = func() (sizes []int) {
	rng := rand.New(rand.NewPCG(7, 7))
	for i := range 150 {
		switch {
		case i%50 == 49:
			sizes = append(sizes, 0)
		case i%10 == 3:
			sizes = append(sizes, 32_753-21-8) // so that entries look alike, block by block
		default:
			sizes = append(sizes, 16+rng.IntN(3000))
		}
	}
	return sizes
}()

func TestEveryMisplacedPageOrBlockIsFound(t *testing.T) {
	t.Run("after a snapshot", func(t *testing.T) { misplace(t, manySizes, false) })
	t.Run("in logs", func(t *testing.T) { misplace(t, manySizes[:145], false) })
	t.Run("after a crash", func(t *testing.T) { misplace(t, append(manySizes[:145:145], killed), true) })
}

func misplace(t *testing.T, sizes []int, crashed bool) {
	const dir = "/pages"
	fl, want := build(t, dir, 2, sizes...)
	other, _ := build(t, dir, 2, sizes...)
	rng := rand.New(rand.NewPCG(1, 1))
	for _, unit := range []int{512, 4096, 32768} {
		for _, name := range fl.names() {
			good := fl[name]
			n := (len(good) + unit - 1) / unit
			at := func(b []byte, i int) []byte { return b[min(i*unit, len(b)):min((i+1)*unit, len(b))] }
			for i := range n {
				if testing.Short() && rng.IntN(8) > 0 || unit == 512 && rng.IntN(4) > 0 {
					continue
				}
				j := rng.IntN(n)
				for what, bad := range map[string][]byte{
					"zeroed":   replace(good, i*unit, make([]byte, len(at(good, i)))),
					"foreign":  replace(good, i*unit, at(other[name], i)),
					"doubled":  replace(good, i*unit, at(good, j)),
					"swapped":  replace(replace(good, i*unit, at(good, j)), j*unit, at(good, i)),
					"missing":  slices.Concat(good[:i*unit], good[min((i+1)*unit, len(good)):]),
					"repeated": slices.Concat(good[:i*unit], at(good, i), good[i*unit:]),
					"cut":      good[:i*unit],
				} {
					fl[name] = bad
					first := firstDifference(good, bad)
					if crashed && (what == "cut" || max(i, j)*unit > len(good)-50_000) {
						continue // with nothing left after it, it may be torn
					}
					last := first >= len(good)-15-9-12-17 // in the seal, or after it
					mustFail := !last && !bytes.Equal(bytes.TrimRight(bad, "\x00"), bytes.TrimRight(good, "\x00")) && strings.HasSuffix(name, ".log") && name != fl.names()[0]
					if err := judge(t, dir, fl, want, mustFail && needed(fl, name)); err != nil {
						t.Errorf("%s, %d bytes at %d of %d %s (with those at %d): %v", name, unit, i*unit, len(good), what, j*unit, err)
					}
				}
			}
			fl[name] = good
		}
	}
}

func firstDifference(a, b []byte) int {
	for i := range min(len(a), len(b)) {
		if a[i] != b[i] {
			return i
		}
	}
	return min(len(a), len(b))
}

// Entries of several blocks whose records begin and end alike can exchange
// blocks without any record being wrong.
func TestExchangedPartsOfEntriesAreFound(t *testing.T) {
	const dir = "/exchanged"
	const block = 32 << 10
	const twoBlocks = 2*block - 3*15 - 9 - 12 - 8 - 8 // with its records' headers
	fl, want := build(t, dir, 2, 100, twoBlocks, twoBlocks, 200, killed)
	b := fl["00000000000000000000.log"]
	swapped := replace(replace(b, block, b[3*block:4*block]), 3*block, b[block:2*block])
	if bytes.Equal(b, swapped) {
		t.Fatal("the blocks are equal")
	}
	fl["00000000000000000000.log"] = swapped
	if err := judge(t, dir, fl, want, true); err != nil {
		t.Error(err)
	}
}

// Blocks that hold one whole entry each fit in any place.
func TestExchangedWholeEntriesAreFound(t *testing.T) {
	const dir = "/whole"
	const block = 32 << 10
	const oneBlock = block - 15 - 9 - 12 - 8
	sizes := []int{oneBlock - 92, oneBlock, oneBlock, oneBlock, oneBlock, oneBlock, killed}
	fl, want := build(t, dir, 2, sizes...)
	foreign, _ := build(t, dir, 2, sizes...)
	const name = "00000000000000000000.log"
	b := fl[name]
	at := func(b []byte, i int) []byte { return b[i*block : (i+1)*block] }
	for what, bad := range map[string][]byte{
		"swapped": replace(replace(b, 2*block, at(b, 3)), 3*block, at(b, 2)),
		"doubled": replace(b, 3*block, at(b, 2)),
		"missing": slices.Concat(b[:2*block], b[3*block:]),
		"foreign": replace(b, 2*block, at(foreign[name], 2)),
	} {
		fl[name] = bad
		if err := judge(t, dir, fl, want, true); err != nil {
			t.Errorf("%s: %v", what, err)
		}
	}
}

// needed reports whether Open has to read the log of that name.
func needed(fl files, name string) bool {
	newest := ""
	for _, n := range fl.names() {
		if base, ok := strings.CutSuffix(n, ".snap"); ok {
			newest = base + ".log"
		}
	}
	return name >= newest
}

func replace(b []byte, at int, with []byte) []byte {
	b = bytes.Clone(b)
	copy(b[at:], with)
	return b
}

// Open tells in which file the damage is that keeps it from opening a store, and
// where.
func TestOpenNamesWhatIsDamaged(t *testing.T) {
	const dir = "/named"
	const between = "00000000000000000002.log"
	whole := checkedStore(t)
	other, _ := build(t, "/other", 9, 20, snapshot, 30, 40, snapshot, 50)
	n := func(name string) int64 { return int64(len(whole[name])) }
	cut := func(fl files, name string, less int64) { fl[name] = fl[name][:n(name)-less] }
	flip := func(fl files, name string) {
		fl[name] = replace(fl[name], headerLen+20, []byte{^fl[name][headerLen+20]})
	}
	for _, tt := range []struct {
		what   string
		harm   func(fl files)
		file   string
		offset int64
		text   string
	}{
		{"the only snapshot, which is needed", func(fl files) { flip(fl, snap3); delete(fl, snap1); delete(fl, log0) }, snap3, headerLen, ""},
		{"both snapshots", func(fl files) { flip(fl, snap3); flip(fl, snap1); delete(fl, log0) }, snap3, headerLen, ""},
		{"a snapshot, and a log after the one before", func(fl files) { flip(fl, snap3); flip(fl, log1) }, log1, headerLen, ""},
		{"all logs", func(fl files) { delete(fl, log0); delete(fl, log1); delete(fl, log3); delete(fl, log4) }, log1, 0, "the updates after 1"},
		{"a log in the middle", func(fl files) { delete(fl, snap3); delete(fl, log3) }, log3, 0, "the updates after 3"},
		{"the header of the log after a snapshot", func(fl files) { fl[log3] = fl[log3][:20] }, log3, 0, "the header is damaged"},
		{
			"a seal", func(fl files) { cut(fl, log1, sealLen); delete(fl, snap3) },
			log1, n(log1) - sealLen, "the end of the file, where update 4 or a seal should be: " + dir + "/" + log3 + " follows this log",
		},
		{"a seal of other updates", func(fl files) {
			updates := fl[log1][:n(log1)-sealLen]
			fl[log1] = slices.Concat(updates, numbered(updates, 4, true, 0, control(1, 2, 0)))
			delete(fl, snap3)
		}, log1, n(log1) - sealLen, "the seal is that of other updates than the 2 that are there"},
		{
			"an update before a log that is not in use", func(fl files) { cut(fl, log3, sealLen+1) },
			log3, headerLen, "no valid record, where update 4 should be: " + dir + "/" + log4 + " shows that it was durable",
		},
		{
			"a copy of a log, under the name of one that would begin within it", func(fl files) { fl[between] = fl[log1]; delete(fl, snap3) },
			between, 0, "it is the log of index 1 under the name of another",
		},
		{
			"a log of another history, which begins within one of this", func(fl files) {
				log := voidLog(fl[log1], 2)
				log = append(log, numbered(log, 3, false, 0, []byte("another"))...)
				fl[between] = append(log, numbered(log, 4, true, 0, control(1, 1, digestOf(log)))...)
				delete(fl, snap3)
			}, between, 0, "the log before it ends with update 3, and none has begun in between",
		},
		{"a log of another store", func(fl files) { fl[log4] = other[log4] }, log4, 0, "it belongs to another store"},
		{"the newest files, of another store", func(fl files) {
			fl[snap3], fl[log3], fl[log4] = other[snap3], other[log3], other[log4]
		}, log3, 0, "it belongs to another store than " + dir + "/" + log1 + ": files of two stores"},
		{"a log that is sealed without an update", func(fl files) {
			header := fl[log4][:headerLen]
			fl[log4] = slices.Concat(header, numbered(header, 5, true, 0, control(1, 0, digestOf(header))))
		}, log4, 0, "a log without updates is sealed"},
	} {
		fl := maps.Clone(whole)
		tt.harm(fl)
		unmount := storefs.Mount(dir, fl.mem(t, dir))
		reports, cerr := store.Check(t.Context(), dir, nil)
		if cerr != nil || !slices.ContainsFunc(reports, func(r store.FileReport) bool { return len(r.Damage) > 0 }) {
			t.Errorf("%s: Check has found nothing: %v", tt.what, cerr)
		}
		_, err := store.Open(dir, &plainMachine{}, quiet(nil))
		unmount()
		var damage *store.CorruptError
		if !errors.As(err, &damage) || damage.Path != filepath.Join(dir, tt.file) || damage.Offset != tt.offset || !strings.Contains(filepath.ToSlash(err.Error()), tt.text) {
			t.Errorf("%s: got %v, want offset %d of %s, %q", tt.what, err, tt.offset, tt.file, tt.text)
		}
	}
}

func TestEveryMissingFileIsFound(t *testing.T) {
	const dir = "/missing"
	fl, want := build(t, dir, 2, manySizes...)
	for _, name := range fl.names() {
		less := maps.Clone(fl)
		delete(less, name)
		// Without a snapshot, there is one less to fall back to.
		if err := judge(t, dir, less, want, strings.HasSuffix(name, ".log")); err != nil {
			t.Errorf("without %s: %v", name, err)
		}
	}
	only := maps.Clone(fl)
	for _, name := range fl.names() {
		if strings.HasSuffix(name, ".snap") {
			delete(only, name)
		}
	}
	if err := judge(t, dir, only, want, true); err != nil {
		t.Errorf("without snapshots: %v", err)
	}
}

func TestADamagedNewestSnapshotIsReplacedByTheOneBefore(t *testing.T) {
	const dir = "/fallback"
	fl, want := build(t, dir, 2, 100, 0, 200, 300, 0, 400)
	const newest = "00000000000000000003.snap"
	fl[newest][len(fl[newest])/2] ^= 1
	mount(t, dir, fl.mem(t, dir))
	m := &crashtest.Machine{Size: want.Size}
	s := open(t, dir, m, nil)
	if *m != want {
		t.Errorf("got %d updates, want %d", m.Count, want.Count)
	}
	r := s.Recovery()
	if len(r.Refused) != 1 || filepath.Base(r.Refused[0].Path) != newest || !errors.Is(r.Refused[0].Err, store.ErrCorrupt) {
		t.Errorf("refused %+v, want %s", r.Refused, newest)
	}
	if r.SnapshotIndex != 1 || r.Logs != 3 || !strings.Contains(r.String(), newest) || strings.Contains(r.String(), "\n") {
		t.Errorf("recovery: %v", r)
	}
}

// Damage that the checksum of its record does not show.
func TestTheTrailerProvesTheSnapshot(t *testing.T) {
	const dir = "/trailer"
	fl, want := build(t, dir, 2, 100, snapshot, 200)
	const header = headerLen
	chunk := fl["00000000000000000001.snap"][header:]
	h, ok := record.Verify(chunk)
	if !ok || h.Type != record.Full {
		t.Fatalf("no chunk after the header: %+v", h)
	}
	chunk[h.Size()-1] ^= 1
	record.Seal(chunk[:h.Size()], true, true, 0)
	mount(t, dir, fl.mem(t, dir))
	m := &crashtest.Machine{Size: want.Size}
	if s := open(t, dir, m, nil); *m != want || len(s.Recovery().Refused) != 1 {
		t.Errorf("%d updates: %v", m.Count, s.Recovery())
	}
}

// untouched is a machine that must not be restored.
type untouched struct {
	crashtest.Machine
	restored int
}

func (m *untouched) Restore(r io.Reader) error {
	m.restored++
	return m.Machine.Restore(r)
}

// With no other snapshot, the logs are replayed from the beginning, on a machine
// that is still in its initial state.
func TestADamagedSnapshotDoesNotTouchTheMachine(t *testing.T) {
	const dir = "/untouched"
	fl, want := build(t, dir, 2, 100, snapshot, 200)
	snap := fl["00000000000000000001.snap"]
	snap[len(snap)-1] ^= 1
	mount(t, dir, fl.mem(t, dir))
	m := &untouched{Machine: crashtest.Machine{Size: want.Size}}
	s := open(t, dir, m, nil)
	if m.restored > 0 || m.Machine != want || s.Recovery().Snapshot != "" || s.Recovery().Updates != 2 {
		t.Errorf("restored %d times, %d updates: %v", m.restored, m.Count, s.Recovery())
	}
}

func TestFilesUnderTheNamesOfOthersAreRefused(t *testing.T) {
	const dir = "/names"
	fl, want := build(t, dir, 2, 100, 0, 200, 300, 0, 400)
	foreign, _ := build(t, dir, 2, 100, 0, 200, 300, 0, 400)
	for name, content := range map[string][]byte{
		"00000000000000000003.log": fl["00000000000000000001.log"],
		"00000000000000000009.log": fl["00000000000000000003.log"],
		"00000000000000000004.log": foreign["00000000000000000004.log"],
	} {
		bad := maps.Clone(fl)
		bad[name] = content
		if err := judge(t, dir, bad, want, true); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// An entry in place of another one of the same number, whole and valid in
// itself: as when a disk gives back what was there before the entry was written
// once more after a crash. The seal tells.
func TestAnOlderVersionOfAnEntryIsFound(t *testing.T) {
	const dir = "/older"
	fl, want := build(t, dir, 2, 100, 200, 300)
	const header = headerLen
	log := fl["00000000000000000000.log"]
	first := log[header:]
	h, ok := record.Verify(first)
	if !ok || h.Type != record.Full {
		t.Fatalf("no update after the header: %+v", h)
	}
	first[h.Size()-1] ^= 0xff
	record.Seal(first[:h.Size()], true, true, 0)
	if err := judge(t, dir, fl, want, true); err != nil {
		t.Error(err)
	}
}
