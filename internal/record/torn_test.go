package record_test

import (
	"bytes"
	"errors"
	"testing"

	"github.com/stateio/stateio/internal/record"
)

// mayBeTorn is record.MayBeTorn of bytes.
func mayBeTorn(t *testing.T, b []byte) bool {
	t.Helper()
	torn, err := record.MayBeTorn(bytes.NewReader(b), int64(len(b)))
	if err != nil {
		t.Fatal(err)
	}
	return torn
}

// Whatever sectors a crash has kept of a first entry, and however much of it,
// it may be torn.
func TestWhatIsLeftOfAFirstEntryMayBeTorn(t *testing.T) {
	for _, n := range []int{1, 10, 600, 5000, record.MaxData, record.MaxData + 1, 2*record.MaxData + 700, 3 * record.MaxData} {
		whole := record.AppendEntry(nil, 0, nil, bytesOf(1, n))
		for lost := range 200 {
			b := bytes.Clone(whole)
			for at := 0; at < len(b); at += 512 {
				if lost>>(at/512%8)&1 != 0 {
					clear(b[at:min(at+512, len(b))])
				}
			}
			if !mayBeTorn(t, b) || !mayBeTorn(t, append(b, make([]byte, 1000)...)) {
				t.Errorf("%d bytes, sectors lost by %b: can't be torn", n, lost)
			}
		}
		for _, cut := range []int{0, 1, 4, 5, 6, 7, 8, 10, 14, 15, 16, 511, 512, 513, record.BlockSize, record.BlockSize + 3, record.BlockSize + 14} {
			if cut < len(whole) && !mayBeTorn(t, whole[:cut]) {
				t.Errorf("%d of %d bytes can't be torn", cut, n)
			}
		}
	}
}

func TestWhatOthersWriteIsNotTorn(t *testing.T) {
	elf := make([]byte, 8000) // 64-bit, little endian: a FIRST record's type and offset
	copy(elf, "\x7fELF\x02\x01\x01")
	image := make([]byte, record.BlockSize+2048) // of a CD: its descriptor is at 32 KiB
	copy(image[record.BlockSize:], "\x01CD001\x01")
	full := record.AppendEntry(nil, 0, nil, bytesOf(1, 100))
	full[50] ^= 1
	for name, b := range map[string][]byte{
		"text":                             []byte("hello"),
		"text with a header's type":        []byte("0123\x01__________________"),
		"an unknown type":                  []byte("\x00\x00\x00\x00\x03"),
		"an offset":                        []byte("\x00\x00\x00\x00\x01\x00\x00\x01"),
		"a program":                        elf,
		"an image that begins with zeros":  image,
		"zeros, but not a sector of them":  append(make([]byte, 100), "data"...),
		"a FULL record with more after it": append(full, "more"...),
		"a FULL record and one byte":       append(bytes.Clone(full), 1),
		"a FULL record over a block":       []byte("\x00\x00\x00\x00\x01\xf2\x7f"),
		"a FIRST record of few bytes":      []byte("\x00\x00\x00\x00\x02\x05\x00"),
		"zeros, but for a sector's end":    append(make([]byte, 511), 1),
	} {
		if mayBeTorn(t, b) {
			t.Errorf("%s may be torn", name)
		}
	}
}

// Where a first entry's start was lost, the headers at its further blocks tell
// whether there was one, as far as they are there.
func TestFurtherHeadersTellWhetherAFirstEntryWasThere(t *testing.T) {
	const block = record.BlockSize
	lost := make([]byte, block)
	middle, last := rec(3, block, bytesOf(1, record.MaxData)), rec(4, block, bytesOf(1, 100))
	for _, next := range [][]byte{middle, last, cat(middle, rec(4, 2*block, bytesOf(1, record.MaxData)))} {
		for cut := range 20 {
			if !mayBeTorn(t, cat(lost, next[:len(next)-cut])) || !mayBeTorn(t, cat(lost, next[:cut])) {
				t.Errorf("a block of zeros and %d bytes can't be torn, or one without the last %d", cut, cut)
			}
		}
	}
	for name, next := range map[string][]byte{
		"no header":                       []byte("hello, who are you?"),
		"a FULL record":                   rec(1, block, bytesOf(1, 10)),
		"a FIRST record":                  rec(2, block, bytesOf(1, record.MaxData)),
		"a record of another entry":       rec(4, block+1, bytesOf(1, 10)),
		"a record over a block":           rec(4, block, bytesOf(1, record.MaxData+1)),
		"an unknown type, cut after it":   {0, 0, 0, 0, 5},
		"a wrong record in a third block": cat(middle, rec(4, block, bytesOf(1, 10))),
	} {
		if mayBeTorn(t, cat(lost, next)) {
			t.Errorf("a block of zeros and %s may be torn", name)
		}
	}
}

func TestMayBeTornReportsErrorsOfReading(t *testing.T) {
	full := rec(1, 0, bytesOf(1, 100))
	for _, b := range [][]byte{full[:90], make([]byte, 3*record.BlockSize)} {
		for n := 0; ; n++ {
			torn, err := record.MayBeTorn(&failAt{bytes.NewReader(b), n}, int64(len(b)))
			if err == nil {
				if n < 3 || !torn {
					t.Errorf("only %d reads, %v", n, torn)
				}
				break
			}
			if !errors.Is(err, errDisk) {
				t.Fatal(err)
			}
		}
	}
}
