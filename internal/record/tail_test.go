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
		for _, zeros := range []int{0, 1, 100, 100_000} {
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

// A limit behind the reader's end, however far, costs nothing.
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

// failAfter fails after n reads.
type failAfter struct {
	*bytes.Reader
	n int
}

func (f *failAfter) ReadAt(b []byte, off int64) (int, error) {
	if f.n--; f.n < 0 {
		return 0, errDisk
	}
	return f.Reader.ReadAt(b, off)
}

func TestErrorsOfReadingComeBack(t *testing.T) {
	b, _ := log(bytesOf(1, 10), bytesOf(2, 300_000), bytesOf(3, 300_000))
	b = b[:len(b)-1] // and its end is torn
	for n := 0; ; n++ {
		tail, err := record.FindTail(&failAfter{bytes.NewReader(b), n}, int64(len(b)))
		if err == nil {
			if n < 8 || !tail.Found {
				t.Errorf("only %d reads, %+v", n, tail)
			}
			break
		}
		if !errors.Is(err, errDisk) {
			t.Fatal(err)
		}
	}
	if _, err := record.Covered(&failAfter{bytes.NewReader(b), 0}, 20, int64(len(b))); !errors.Is(err, errDisk) {
		t.Errorf("Covered: %v", err)
	}
	if _, _, _, err := record.FindEntry(&failAfter{bytes.NewReader(b), 0}, 0, int64(len(b))); !errors.Is(err, errDisk) {
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
	if in, err := record.Covered(r, ends[1]+5, int64(len(b))); !in || err != nil {
		t.Errorf("offset %d is not covered, %v", ends[1]+5, err)
	}
	if in, err := record.Covered(r, record.BlockSize, int64(len(b))); in || err != nil {
		t.Errorf("a block's start is covered, %v", err)
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
