package record_test

import (
	"bytes"
	"errors"
	"io"
	"testing"

	"github.com/stateio/stateio/internal/record"
)

// log is a log of the given entries.
func log(entries ...[]byte) (b []byte, ends []int64) {
	for _, e := range entries {
		b = record.AppendEntry(b, int64(len(b)), nil, e)
		ends = append(ends, int64(len(b)))
	}
	return b, ends
}

func findTail(t *testing.T, b []byte) record.Tail {
	t.Helper()
	tail, err := record.FindTail(bytes.NewReader(b), int64(len(b)))
	if err != nil {
		t.Fatal(err)
	}
	return tail
}

func TestTheTailOfAWholeLogIsItsEnd(t *testing.T) {
	b, ends := log(bytesOf(1, 10), bytesOf(2, 100_000), bytesOf(3, 10))
	for i, end := range ends {
		for _, zeros := range []int{0, 1, 100, 100_000, 600_000} {
			tail := findTail(t, append(bytes.Clone(b[:end]), make([]byte, zeros)...))
			if !tail.Found || tail.Torn || tail.Damaged || tail.Last.End != end {
				t.Errorf("entry %d and %d zeros: %+v", i, zeros, tail)
			}
		}
	}
}

func TestATornEntryIsTorn(t *testing.T) {
	b, ends := log(bytesOf(1, 10), bytesOf(2, 100_000))
	for cut := ends[0] + 1; cut < ends[1]; cut += 101 {
		if tail := findTail(t, b[:cut]); !tail.Torn || tail.Damaged || tail.Last.End != ends[0] {
			t.Fatalf("cut at %d: %+v", cut, tail)
		}
	}
}

// The records in a payload are no proof of damage where the torn entry's own
// headers show that they are in it: in its first block, and in later ones.
func TestRecordsInsideOfATornEntryAreNoProof(t *testing.T) {
	var nested []byte
	for len(nested) < 100_000 {
		nested = append(nested, rec(1, 0, bytesOf(1, 17))...)
	}
	b, ends := log(bytesOf(1, 10), nested)
	for page := (ends[0]/512 + 1) * 512; page+512 < int64(len(b)); page += 512 {
		if page%record.BlockSize == 0 {
			continue // the header of a record is lost
		}
		for _, to := range []int64{page + 512, int64(len(b))} {
			torn := bytes.Clone(b)
			clear(torn[page:to])
			if tail := findTail(t, torn); !tail.Torn || tail.Damaged || tail.Last.End != ends[0] {
				t.Fatalf("zeros from %d to %d: %+v", page, to, tail)
			}
		}
	}
}

// A record that lies outside of the broken entry is, in the same block and in
// later ones.
func TestARecordOutsideOfTheBrokenEntryIsProof(t *testing.T) {
	for _, size := range []int{100, 40_000, 100_000} {
		b, ends := log(bytesOf(1, 10), bytesOf(2, size), bytesOf(3, 100), bytesOf(4, 50_000))
		// Broken: the whole second entry, so that nothing tells of its extent, and the end.
		broken := bytes.Clone(b[:len(b)-1])
		clear(broken[ends[0]:ends[1]])
		broken[ends[2]-1] ^= 1
		tail := findTail(t, broken)
		if !tail.Damaged || tail.Break != ends[0] || tail.Last.End != ends[0] || tail.Proof < ends[1] {
			t.Errorf("an entry of %d bytes: %+v", size, tail)
		}
	}
}

func TestUnknownTypesBehindTheEndAreDamage(t *testing.T) {
	b, ends := log(bytesOf(1, 10))
	if tail := findTail(t, append(b, rec(9, 0, bytesOf(2, 20))...)); !tail.Damaged || tail.Proof != ends[0] {
		t.Fatalf("%+v", tail)
	}
}

// zeros are n of them.
func zeros(n int) []byte { return make([]byte, n) }

// What is there without any whole entry is torn, but for zeros, which are nothing.
func TestATailWithoutAWholeEntry(t *testing.T) {
	for _, b := range [][]byte{nil, zeros(1), zeros(record.BlockSize), zeros(100_000)} {
		if tail := findTail(t, b); tail != (record.Tail{}) {
			t.Errorf("%d zeros: %+v", len(b), tail)
		}
	}
	whole, _ := log(bytesOf(1, 100_000))
	for _, b := range [][]byte{{1}, {0, 1}, cat([]byte{1}, zeros(99)), whole[:50_000], cat(zeros(70_000), []byte{1})} {
		if tail := findTail(t, b); tail.Found || !tail.Torn || tail.Damaged {
			t.Errorf("%d bytes: %+v", len(b), tail)
		}
	}
}

// The reading stops at the last whole entry.
func TestFindTailReadsBackwards(t *testing.T) {
	b, _ := log(bytesOf(1, 2_000_000), bytesOf(2, 100))
	b[0] ^= 1 // nobody looks
	if tail, err := record.FindTail(&failAt{bytes.NewReader(b), 50}, int64(len(b))); err != nil || !tail.Found || tail.Torn {
		t.Errorf("%+v, %v", tail, err)
	}
}

// A record that belongs to another entry than the broken one is proof of damage,
// and so is one that can't belong to any.
func TestWhatIsProofOfDamage(t *testing.T) {
	whole := rec(1, 0, bytesOf(1, 10))
	alien := rec(9, 0, bytesOf(2, 20))
	const none = -1
	for name, c := range map[string]struct {
		b     []byte
		proof int64
	}{
		"an unknown record alone":                   {alien, 0},
		"the first of two unknown records":          {cat(whole, alien, alien), 25},
		"an unknown record before the last entry":   {cat(alien, whole), none},
		"an unknown one there, and a torn entry":    {cat(alien, whole, whole[:20]), none},
		"the end of an entry that starts before it": {rec(4, 1000, bytesOf(3, 30)), 0},
		"such an end after an entry":                {cat(whole, rec(4, 1000, bytesOf(3, 30))), 25},
		"the end of an entry that is another":       {cat(whole, rec(4, 25, bytesOf(3, 30))), 25},
		"the middle of an entry that is another":    {cat(whole, rec(3, 25, bytesOf(3, 30))), 25},
		"the end of one that is the torn one":       {cat(whole, rec(4, 0, bytesOf(3, 30))), none},
		"a record that crosses its block's end":     {cat(whole, rec(4, 25, bytesOf(3, record.MaxData-24))), none},
		"a record after the end of the broken data": {cat(whole, zeros(100), whole, zeros(100)), 125},
	} {
		tail := findTail(t, c.b)
		if tail.Damaged != (c.proof >= 0) || tail.Damaged && tail.Proof != c.proof {
			t.Errorf("%s: %+v, want Proof: %d", name, tail, c.proof)
		}
	}
}

// A broken record makes what lies in it no proof only if what is whole of its
// entry leads to it.
func TestABrokenRecordSpansWhatItsEntryLeadsTo(t *testing.T) {
	const block = record.BlockSize
	inner := rec(1, 0, bytesOf(1, 17))
	first := rec(2, 0, bytesOf(2, record.MaxData))
	middle := func(offset uint64) []byte { // broken, with what looks like a record in it
		return damaged(rec(3, offset, cat(inner, bytesOf(3, record.MaxData-len(inner)))), 20+len(inner))
	}
	end := []byte{1} // of a third block
	for name, c := range map[string]struct {
		b       []byte
		damaged bool
	}{
		"its own":             {cat(first, middle(block), end), false},
		"two of its own":      {cat(first, middle(block), middle(2*block), end), false},
		"another's":           {cat(first, middle(block+1), end), true},
		"the start is lost":   {cat(zeros(block), middle(block), end), true},
		"one between is lost": {cat(first, zeros(block), middle(2*block), end), true},
	} {
		if tail := findTail(t, c.b); tail.Damaged != c.damaged || tail.Found {
			t.Errorf("%s: %+v", name, tail)
		}
	}
}

// What looks like the start of an entry, within the payload of another one, is
// none, though a block after it goes on with it.
func TestAnEntryDoesNotStartInAPayload(t *testing.T) {
	const half = record.BlockSize / 2
	payload := cat(bytesOf(1, half-record.HeaderSize), rec(2, 0, bytesOf(2, half-record.HeaderSize)))
	outer := rec(1, 0, payload)
	for _, before := range []int{0, 1, 2} {
		var b []byte
		for i := range before {
			b = append(b, rec(1, 0, bytesOf(uint64(i), record.MaxData))...)
		}
		b = cat(b, outer, rec(4, half, bytesOf(3, 50)))
		end := int64(before+1) * record.BlockSize
		if tail := findTail(t, b); tail.Last.End != end || !tail.Damaged || tail.Proof != end {
			t.Errorf("%d blocks before: %+v, want an end at %d", before, tail, end)
		}
	}
}

// A limit after the reader's end, however far, costs nothing.
func TestALimitFarBehindTheEndIsNoWork(t *testing.T) {
	b, ends := log(bytesOf(1, 10), bytesOf(2, 70_000))
	for _, limit := range []int64{int64(len(b)) + 1, 1 << 40, 1<<63 - 1} {
		tail, err := record.FindTail(bytes.NewReader(b), limit)
		if err != nil || tail.Last.End != ends[1] || tail.Torn {
			t.Errorf("limit %d: %+v, %v", limit, tail, err)
		}
	}
}

var errDisk = errors.New("the disk is broken")

// failAt fails at one read, after n that don't.
type failAt struct {
	*bytes.Reader
	n int
}

func (f *failAt) ReadAt(b []byte, off int64) (int, error) {
	if f.n--; f.n == -1 {
		return 0, errDisk
	}
	return f.Reader.ReadAt(b, off)
}

func TestErrorsOfReadingComeBack(t *testing.T) {
	b, _ := log(bytesOf(1, 10), bytesOf(2, 300_000), bytesOf(3, 300_000))
	b = b[:len(b)-1] // and its end is torn
	sound := &failAt{bytes.NewReader(b), 1 << 30}
	if tail, err := record.FindTail(sound, int64(len(b))); err != nil || !tail.Found {
		t.Fatalf("%+v, %v", tail, err)
	}
	reads := 1<<30 - sound.n
	for n := range reads {
		if tail, err := record.FindTail(&failAt{bytes.NewReader(b), n}, int64(len(b))); !errors.Is(err, errDisk) {
			t.Errorf("read %d of %d fails: %+v, %v", n, reads, tail, err)
		}
	}
	if _, _, _, err := record.FindEntry(&failAt{bytes.NewReader(b), 0}, 0, int64(len(b))); !errors.Is(err, errDisk) {
		t.Errorf("FindEntry: %v", err)
	}
}

func TestFindEntryFollowsWholeEntriesOnly(t *testing.T) {
	b, ends := log(bytesOf(1, 10), bytesOf(2, 100_000), bytesOf(3, 10))
	r := bytes.NewReader(b)
	start := int64(0)
	for i, end := range ends {
		e, _, ok, err := record.FindEntry(r, start, int64(len(b)))
		if err != nil || !ok || e.Start != start || e.End != end {
			t.Fatalf("entry %d: %+v, %v, %v", i, e, ok, err)
		}
		if e, bad, ok, err := record.FindEntry(r, start, end-1); ok || err != nil || bad < start || end <= bad {
			t.Fatalf("entry %d, cut: %+v at %d, %v", i, e, bad, err)
		}
		start = end
	}
	for _, start := range []int64{-1, 3, ends[0] + 7, record.BlockSize, record.BlockSize + 3, int64(len(b)), 1 << 60} {
		if e, _, ok, err := record.FindEntry(r, start, int64(len(b))); ok || err != nil {
			t.Errorf("from %d: %+v, %v", start, e, err)
		}
	}
}

// eof returns io.EOF with the last bytes, liar what no reader may.
type (
	eof  struct{ *bytes.Reader }
	liar int
)

func (r eof) ReadAt(b []byte, off int64) (int, error) {
	n, _ := r.Reader.ReadAt(b[:min(len(b), 1000)], off)
	if off+int64(n) == r.Size() {
		return n, io.EOF
	}
	return n, nil
}

func (l liar) ReadAt([]byte, int64) (int, error) { return int(l), nil }

func TestReadAtTakesReadersAtTheirWord(t *testing.T) {
	want := bytesOf(1, 10_000)
	for _, c := range []struct{ off, limit, n int64 }{{0, 10_000, 10_000}, {0, 20_000, 10_000}, {5, 7, 2}, {9_999, 1 << 60, 1}, {10_000, 20_000, 0}, {50, 3, 0}} {
		got, err := record.ReadAt(eof{bytes.NewReader(want)}, make([]byte, 10_000), c.off, c.limit)
		if err != nil || !bytes.Equal(got, want[min(c.off, 10_000):min(c.off, 10_000)+c.n]) {
			t.Errorf("from %d up to %d: %d bytes, %v", c.off, c.limit, len(got), err)
		}
	}
	for _, n := range []liar{-1, 101} {
		if _, err := record.ReadAt(n, make([]byte, 100), 0, 100); err == nil {
			t.Errorf("a count of %d is taken for good", n)
		}
	}
	if _, err := record.ReadAt(liar(0), make([]byte, 100), 0, 100); !errors.Is(err, io.ErrNoProgress) {
		t.Errorf("got %v, want io.ErrNoProgress", err)
	}
}

// Entries are followed over padding, and with pieces of many blocks.
func TestFindEntryOverManyBlocks(t *testing.T) {
	b, _ := log(bytesOf(1, record.MaxData-40), bytesOf(2, 2_000_000))
	start := int64(record.HeaderSize + record.MaxData - 40)
	e, _, ok, err := record.FindEntry(bytes.NewReader(b), start, int64(len(b)))
	if err != nil || !ok || e.Size != 2_000_000 || e.End != int64(len(b)) {
		t.Fatalf("%+v, %v, %v", e, ok, err)
	}
	for bad := start; bad < e.End; bad += 99_991 {
		b[bad] ^= 1
		if e, at, ok, err := record.FindEntry(bytes.NewReader(b), start, int64(len(b))); ok || err != nil || at > bad || bad-at >= record.BlockSize {
			t.Fatalf("byte %d wrong: %+v, %d, %v", bad, e, at, err)
		}
		b[bad] ^= 1
	}
}
