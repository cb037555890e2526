package record_test

import (
	"bytes"
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
		for _, cut := range []int{0, 1, 4, 5, 7, 10, 14, 15, 16, 511, 512, 513, record.BlockSize, record.BlockSize + 3, record.BlockSize + 14} {
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
		"text":                              []byte("hello"),
		"text with a header's type":         []byte("0123\x01__________________"),
		"an unknown type":                   []byte("\x00\x00\x00\x00\x03"),
		"an offset":                         []byte("\x00\x00\x00\x00\x01\x00\x00\x01"),
		"a program":                         elf,
		"an image that begins with zeros":   image,
		"zeros, but not a sector of them":   append(make([]byte, 100), "data"...),
		"a FULL record with more behind it": append(full, "more"...),
	} {
		if mayBeTorn(t, b) {
			t.Errorf("%s may be torn", name)
		}
	}
}

func TestMayBeTornReportsErrorsOfReading(t *testing.T) {
	if _, err := record.MayBeTorn(liar(-1), 100); err == nil {
		t.Error("no error")
	}
}
