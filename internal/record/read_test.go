package record_test

import (
	"bytes"
	"errors"
	"io"
	"slices"
	"strings"
	"testing"

	"github.com/stateio/stateio/internal/record"
)

// A reading is what one call of ReadAt returns.
type reading struct {
	n   int
	err error
}

// readings answers one call after the other.
type readings []reading

func (r *readings) ReadAt([]byte, int64) (int, error) {
	next := (*r)[0]
	*r = (*r)[1:]
	return next.n, next.err
}

// Reading goes on where the reader stopped, and an error says where that was.
func TestReadAtGoesOnAndSaysWhere(t *testing.T) {
	for _, c := range []struct {
		calls readings
		want  string // in the error; empty: all of 100 bytes are read
	}{
		{readings{{60, nil}, {40, nil}}, ""},
		{readings{{60, nil}, {40, io.EOF}}, ""},
		{readings{{60, nil}, {40, errDisk}}, ""}, // all is there
		{readings{{60, nil}, {41, nil}}, "offset 1060: the reader returned the impossible count 41"},
		{readings{{60, nil}, {-1, nil}}, "offset 1060: the reader returned the impossible count -1"},
		{readings{{60, nil}, {10, errDisk}}, "offset 1070: " + errDisk.Error()},
		{readings{{60, nil}, {0, nil}}, "offset 1060: " + io.ErrNoProgress.Error()},
	} {
		got, err := record.ReadAt(&c.calls, make([]byte, 100), 1000, 5000)
		if (err == nil) != (c.want == "") || err == nil && len(got) != 100 || err != nil && !strings.Contains(err.Error(), c.want) {
			t.Errorf("%d bytes, %v, want %q", len(got), err, c.want)
		}
	}
}

func TestReadAtOfNothingDoesNotRead(t *testing.T) {
	for _, limit := range []int64{1000, 3} {
		if got, err := record.ReadAt(&readings{}, make([]byte, 10), 1000, limit); err != nil || len(got) != 0 {
			t.Errorf("up to %d: %d bytes, %v", limit, len(got), err)
		}
	}
	if got, err := record.ReadAt(&readings{}, nil, 0, 1000); err != nil || len(got) != 0 {
		t.Errorf("no bytes: %d bytes, %v", len(got), err)
	}
}

// Wherever an entry starts, and however many blocks it has, it is found.
func TestFindEntryWhereverItStarts(t *testing.T) {
	for _, in := range []int64{0, 15, 16, 1000, record.BlockSize - 17, record.BlockSize - 16} {
		for _, before := range []int64{0, 1, 5, 20} {
			start := before*record.BlockSize + in
			for _, n := range []int{1, 1000, record.MaxData, 100_000, 12 * record.BlockSize} {
				b := record.AppendEntry(make([]byte, start), start, nil, bytesOf(1, n))
				e, _, ok, err := record.FindEntry(bytes.NewReader(b), start, int64(len(b)))
				if want := (record.Entry{Start: start, End: int64(len(b)), Size: int64(n)}); err != nil || !ok || e != want {
					t.Fatalf("%d bytes from offset %d: %+v, %v, %v", n, start, e, ok, err)
				}
			}
		}
	}
}

// Whole records that follow one another are not always an entry.
func TestRecordsThatMakeNoEntry(t *testing.T) {
	const block = record.BlockSize
	part, end := bytesOf(1, record.MaxData), bytesOf(1, 100)
	first := rec(2, 0, part)
	for name, c := range map[string]struct {
		b     []byte
		start int64
	}{
		"begins with MIDDLE":            {cat(rec(3, 0, part), rec(4, block, end)), 0},
		"begins with LAST":              {rec(4, 0, end), 0},
		"begins after another":          {rec(1, 5, end), 0},
		"has FIRST twice":               {cat(first, rec(2, block, part), rec(4, 2*block, end)), 0},
		"ends with FULL":                {cat(first, rec(1, block, end)), 0},
		"has an unknown record":         {cat(first, rec(9, block, part), rec(4, 2*block, end)), 0},
		"has the LAST of another":       {cat(first, rec(4, block+1, end)), 0},
		"crosses the block's end":       {rec(1, 0, bytesOf(1, record.MaxData+1)), 0},
		"crosses it by far":             {rec(1, 0, bytesOf(1, 2*record.MaxData-1)), 0},
		"crosses one in its end":        {cat(first, rec(4, block, bytesOf(1, record.MaxData+1))), 0},
		"crosses one from within":       {cat(rec(2, 0, end), rec(4, 115, part)), 0},
		"is cut":                        {first, 0},
		"is in the space for a header":  {cat([]byte("abc"), rec(1, 0, end)), 3},
		"is in what is left of a block": {cat(make([]byte, block-15), rec(1, 0, nil)), block - 15},
	} {
		e, bad, ok, err := record.FindEntry(bytes.NewReader(c.b), c.start, int64(len(c.b)))
		if ok || err != nil || e.End != 0 || bad < c.start {
			t.Errorf("an entry that %s: %+v, %d, %v, %v", name, e, bad, ok, err)
		}
	}
}

// A log may have been written with padding within an entry: readers pass over it, and
// so does FindEntry.
func TestFindEntryPassesOverPadding(t *testing.T) {
	const block = record.BlockSize
	part, padding := bytesOf(1, record.MaxData-10), make([]byte, 10)
	b := cat(rec(2, 0, part), padding, rec(3, block, part), padding, rec(4, 2*block, part[:50]), bytesOf(3, 2*block))
	want := record.Entry{End: 2*block + 65, Size: 2*(record.MaxData-10) + 50}
	if e, _, ok, err := record.FindEntry(bytes.NewReader(b), 0, int64(len(b))); !ok || err != nil || e != want {
		t.Errorf("got %+v, %v, %v, want %+v", e, ok, err, want)
	}
}

func TestCoveredIsWithinARecord(t *testing.T) {
	b, ends := log(bytesOf(1, 10), bytesOf(2, 100_000))
	covered := []int64{1, 24, ends[0] + 1, record.BlockSize + 1, ends[1] - 1}
	for _, pos := range append(covered, 0, ends[0], record.BlockSize, ends[1], ends[1]+1) {
		in, err := record.Covered(bytes.NewReader(b), pos, int64(len(b)))
		if err != nil || in != slices.Contains(covered, pos) {
			t.Errorf("offset %d: %v, %v", pos, in, err)
		}
	}
	// No record covers the start of a block.
	if in, err := record.Covered(&failAt{bytes.NewReader(b), 0}, record.BlockSize, int64(len(b))); in || err != nil {
		t.Errorf("a block's start: %v, %v", in, err)
	}
	if _, err := record.Covered(&failAt{bytes.NewReader(b), 0}, 1, int64(len(b))); !errors.Is(err, errDisk) {
		t.Errorf("a read that fails: %v", err)
	}
}
