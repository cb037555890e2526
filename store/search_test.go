package store_test

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stateio/stateio/internal/crashtest"
	"github.com/stateio/stateio/internal/fsys"
	"github.com/stateio/stateio/internal/fsys/memfs"
	"github.com/stateio/stateio/internal/record"
	"github.com/stateio/stateio/internal/storefs"
	"github.com/stateio/stateio/store"
)

// sweepFactor is what STATEIO_SWEEP says, 1 if it is not set. From 2 on, searches that
// are sampled go over their whole range.
func sweepFactor() int {
	n, err := strconv.Atoi(os.Getenv("STATEIO_SWEEP"))
	if err != nil {
		return 1
	}
	return max(1, n)
}

// A specimen is a store of 1 MiB that is damaged in many ways. It has snapshots
// that are kept and logs from before, between and after them, so that damage
// hits what Open needs, what it falls back to, and what it does not read.
type specimen struct {
	mem   *memfs.FS // never changed
	dir   string    // in mem
	want  crashtest.Machine
	files files
	names []string
	bits  int64 // of all files
	// needed holds, for each file, whether a byte is part of a record, but for
	// those of the last seal: a crash may come before it is written.
	needed map[string][]bool
}

// specimenSize is how many bytes the files of a specimen have at least.
const specimenSize = 1 << 20

func newSpecimen(t testing.TB, dir string) *specimen {
	t.Helper()
	sizes := []int{}
	rng := rand.New(rand.NewPCG(3, 3))
	for logs := range 12 {
		for total := 0; total < 70_000; {
			size := 16 + rng.IntN(3000)
			if rng.IntN(12) == 0 {
				size = 30_000 + rng.IntN(10_000)
			}
			sizes, total = append(sizes, size), total+size
		}
		switch logs {
		case 4, 9:
			sizes = append(sizes, snapshot)
		default:
			sizes = append(sizes, reopen)
		}
	}
	fl, want := buildOf(t, dir, &crashtest.Machine{Size: 50_000}, 3, sizes...)
	s := &specimen{mem: fl.mem(t, dir), dir: dir, want: want, files: fl, names: fl.names(), needed: map[string][]bool{}}
	for name, b := range fl {
		s.bits += 8 * int64(len(b))
		s.needed[name] = inRecords(t, b)
	}
	logs := slices.DeleteFunc(fl.names(), func(name string) bool { return !strings.HasSuffix(name, ".log") })
	last := s.needed[logs[len(logs)-2]] // the newest one is empty
	clear(last[len(last)-sealSize:])
	if s.bits < 8*specimenSize || s.bits > 9*specimenSize {
		t.Fatalf("the store has %d bytes, want 1 MiB and little more", s.bits/8)
	}
	return s
}

// inRecords tells which bytes of a file are part of a record.
func inRecords(t testing.TB, b []byte) []bool {
	t.Helper()
	in := make([]bool, len(b))
	for pos := int64(0); pos < int64(len(b)); pos = record.Aligned(pos) {
		h, ok := record.Verify(b[pos:min(int64(len(b)), pos-pos%record.BlockSize+record.BlockSize)])
		if !ok {
			t.Fatalf("no record at offset %d", pos)
		}
		for range h.Size() {
			in[pos] = true
			pos++
		}
	}
	return in
}

// A damaged is a store with damage to one file.
type damaged struct {
	mem  *memfs.FS
	what string // was done
	// counts says that the damage hit a record, so that Check must find it even
	// if Open does not come to see it.
	counts bool
}

// flip returns the store with bit n of all flipped.
func (s *specimen) flip(n int64) (damaged, error) {
	i := 0
	for ; n >= 8*int64(len(s.files[s.names[i]])); i++ {
		n -= 8 * int64(len(s.files[s.names[i]]))
	}
	name := s.names[i]
	m := s.mem.Kill() // shares all pages but those that are written
	err := overwrite(m, filepath.Join(s.dir, name), n/8, []byte{s.files[name][n/8] ^ 1<<(n%8)}, -1)
	return damaged{m, fmt.Sprintf("%s with bit %d of byte %d flipped", name, n%8, n/8), s.needed[name][n/8]}, err
}

// overwrite writes p into a file at off and, unless it is below 0, sets its size.
func overwrite(m *memfs.FS, path string, off int64, p []byte, size int64) error {
	f, err := m.Open(path, fsys.ReadWrite, 0)
	if err != nil {
		return err
	}
	if _, err = f.WriteAt(p, off); err == nil && size >= 0 {
		err = f.Truncate(size)
	}
	return errors.Join(err, f.Close())
}

// misplace returns the store with pages or blocks of one file out of place.
func (s *specimen) misplace(foreign files, rng *rand.Rand) (damaged, error) {
	var name string
	var good, bad []byte
	var what string
	for bad == nil || bytes.Equal(good, bad) {
		name = s.names[rng.IntN(len(s.names))]
		good = s.files[name]
		what, bad = misplaced(good, foreign[name], rng)
	}
	at := firstDifference(good, bad)
	m := s.mem.Kill()
	err := overwrite(m, filepath.Join(s.dir, name), int64(at), bad[at:], int64(len(bad)))
	return damaged{m, name + " with " + what, at < len(good) && s.needed[name][at]}, err
}

// misplaced returns b with units out of place: of sectors, pages, blocks, or any
// number of bytes.
func misplaced(b, foreign []byte, rng *rand.Rand) (what string, bad []byte) {
	unit := []int{512, 4096, 32768, 1 + rng.IntN(5000)}[rng.IntN(4)]
	n := (len(b) + unit - 1) / unit
	i, j := rng.IntN(n), rng.IntN(n)
	at := func(b []byte, i int) []byte { return b[min(i*unit, len(b)):min((i+1)*unit, len(b))] }
	switch rng.IntN(7) {
	case 0:
		what, bad = "zeroed", replace(b, i*unit, make([]byte, len(at(b, i))))
	case 1:
		what, bad = "foreign", replace(b, i*unit, at(foreign, i))
	case 2:
		what, bad = "of others", replace(b, i*unit, at(foreign, j))
	case 3:
		what, bad = "doubled", replace(b, i*unit, at(b, j))
	case 4:
		what, bad = "swapped", replace(replace(b, i*unit, at(b, j)), j*unit, at(b, i))
	case 5:
		what, bad = "missing", slices.Concat(b[:i*unit], b[min((i+1)*unit, len(b)):])
	case 6:
		what, bad = "repeated", slices.Concat(b[:i*unit], at(b, i), b[i*unit:])
	}
	return fmt.Sprintf("%d bytes at %d (and %d) of %d %s", unit, i*unit, j*unit, len(b), what), bad
}

// A verdict is what became of a damaged store.
type verdict int

const (
	refused  verdict = iota // Open says ErrCorrupt
	replaced                // Open took an older snapshot
	exact                   // the state is the right one
	verdicts
)

// examine opens a damaged store in dir. What Open accepts must be the exact
// state, and Check must find what Open refuses or replaces, and what counts.
func (s *specimen) examine(t testing.TB, d damaged, dir string) (verdict, error) {
	defer storefs.Mount(dir, d.mem)()
	v, err := s.open(dir)
	if err != nil || v == exact && !d.counts {
		return v, err
	}
	// Open has changed nothing in what is damaged.
	reports, err := store.Check(t.Context(), dir, nil)
	if err != nil {
		return v, fmt.Errorf("Check: %w", err)
	}
	if !slices.ContainsFunc(reports, func(r store.FileReport) bool { return len(r.Damage) > 0 }) {
		return v, errors.New("undetected: Check finds nothing wrong")
	}
	return v, nil
}

func (s *specimen) open(dir string) (verdict, error) {
	m := &crashtest.Machine{Size: s.want.Size}
	st, err := store.Open(dir, m, quiet(&store.Options{SnapshotBytes: -1, PreallocateBytes: 1, KeepSnapshots: 3}))
	if errors.Is(err, store.ErrCorrupt) {
		return refused, nil
	}
	if err != nil {
		return 0, fmt.Errorf("Open: %w, want ErrCorrupt", err)
	}
	v := exact
	if len(st.Recovery().Refused) > 0 {
		v = replaced
	}
	if err := st.Close(); err != nil {
		return v, err
	}
	if *m != s.want {
		return v, fmt.Errorf("undetected: %d updates of %d, digest %#x for %#x", m.Count, s.want.Count, m.Digest, s.want.Digest)
	}
	return v, nil
}

// A search examines damaged stores and counts what became of them.
type search struct {
	*specimen
	n        int64 // to examine
	start    time.Time
	taken    atomic.Int64
	done     atomic.Int64
	verdicts [verdicts]atomic.Int64
	wrong    atomic.Int64
}

// String tells how far the search is.
func (s *search) String() string {
	return fmt.Sprintf("%d of %d in %v: %d refused, %d replaced by an older snapshot, %d not needed, %d undetected",
		s.done.Load(), s.n, time.Since(s.start).Round(time.Second),
		s.verdicts[refused].Load(), s.verdicts[replaced].Load(), s.verdicts[exact].Load(), s.wrong.Load())
}

// search examines n stores that damage makes, on all processors.
func (s *specimen) search(t *testing.T, n int64, damage func(i int64) (damaged, error)) {
	t.Helper()
	defer debug.SetGCPercent(debug.SetGCPercent(1000)) // there is hardly any heap
	sr := &search{specimen: s, n: n, start: time.Now()}
	var workers sync.WaitGroup
	for w := range runtime.GOMAXPROCS(0) {
		workers.Go(func() { sr.work(t, fmt.Sprint(s.dir, w), damage) })
	}
	workers.Wait()
	t.Log(sr)
}

// maxWrong is how many failures are told in full before a search gives up.
const maxWrong = 20

func (s *search) work(t *testing.T, dir string, damage func(i int64) (damaged, error)) {
	for i := s.taken.Add(1) - 1; i < s.n && s.wrong.Load() < maxWrong; i = s.taken.Add(1) - 1 {
		d, err := damage(i)
		if err == nil {
			err = d.mem.Rename(s.dir, dir) // errors are to tell which worker's it is
		}
		if err == nil {
			var v verdict
			v, err = s.examine(t, d, dir)
			s.verdicts[v].Add(1)
		}
		if err != nil {
			s.wrong.Add(1)
			t.Errorf("%d: %s: %v", i, d.what, err)
		}
		if s.done.Add(1)%500_000 == 0 {
			t.Log(s)
		}
	}
}

// Each single bit of a store is found to be wrong when it is flipped, by Open if
// it needs it and by Check in any case, or it does not matter.
func TestEveryBitOfALargeStore(t *testing.T) {
	s := newSpecimen(t, "/largebits")
	step := int64(1)
	switch {
	case testing.Short():
		step = 10_007
	case sweepFactor() < 2:
		step = 251
	}
	s.search(t, (s.bits+step-1)/step, func(i int64) (damaged, error) { return s.flip(i * step) })
}

// Sectors, pages, blocks and ranges of bytes that are missing, doubled, swapped,
// zeroed or of another store are found in the same way.
func TestMisplacedPartsOfALargeStore(t *testing.T) {
	s := newSpecimen(t, "/largeparts")
	foreign := newSpecimen(t, "/largeforeign")
	n := int64(5000)
	switch {
	case testing.Short():
		n = 300
	case sweepFactor() >= 2:
		n = 100_000
	}
	s.search(t, n, func(i int64) (damaged, error) {
		return s.misplace(foreign.files, rand.New(rand.NewPCG(uint64(i), 9)))
	})
}
