package logio_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"math/rand/v2"
	"os"
	"strconv"
	"testing"

	"github.com/cespare/xxhash/v2"

	"github.com/stateio/stateio/logio"
)

const block = 32 << 10

// A model is a log as the format has it, made without the package under test:
// its entries, where they are, and every byte.
type model struct {
	file    []byte
	entries []entry
}

type entry struct {
	data       []byte
	start, end int64
}

// add appends entries, record by record.
func (m *model) add(entries ...[]byte) *model {
	for _, data := range entries {
		if left := block - len(m.file)%block; left <= 15 {
			m.file = append(m.file, make([]byte, left)...)
		}
		e := entry{data: data, start: int64(len(m.file))}
		for first := true; first || len(data) > 0; first = false {
			n := min(len(data), block-len(m.file)%block-15)
			kind := map[[2]bool]byte{{true, true}: 1, {true, false}: 2, {false, false}: 3, {false, true}: 4}[[2]bool{first, n == len(data)}]
			m.file = appendRecord(m.file, kind, uint64(len(m.file))-uint64(e.start), data[:n])
			data = data[n:]
		}
		e.end = int64(len(m.file))
		m.entries = append(m.entries, e)
	}
	return m
}

// appendRecord appends one record.
func appendRecord(file []byte, kind byte, offset uint64, data []byte) []byte {
	rec := binary.LittleEndian.AppendUint16([]byte{kind}, uint16(len(data)))
	rec = binary.LittleEndian.AppendUint64(rec, offset)
	rec = append(rec, data...)
	file = binary.LittleEndian.AppendUint32(file, uint32(xxhash.Sum64(rec)))
	return append(file, rec...)
}

// A result is what reading a log gave: entries, and nil for each damaged stretch.
type result [][]byte

// readAll reads all that r gives, and checks that its end is for good.
func readAll(t testing.TB, r *logio.Reader) (got result) {
	t.Helper()
	for {
		b, err := r.Read()
		switch err {
		case nil:
			got = append(got, bytes.Clone(b))
		case logio.ErrCorrupted:
			got = append(got, nil)
		case io.EOF:
			if b, err := r.Read(); err != io.EOF {
				t.Fatalf("after io.EOF: %d bytes, %v", len(b), err)
			}
			return got
		default:
			t.Fatal(err)
		}
	}
}

// expect fails the test unless reading file from off on gives want.
func expect(t testing.TB, file []byte, off int64, want ...[]byte) {
	t.Helper()
	got := readAll(t, logio.NewReader(bytes.NewReader(file[off:]), off))
	if len(got) != len(want) {
		t.Fatalf("got %d results, want %d: %s", len(got), len(want), got)
	}
	for i := range got {
		if !bytes.Equal(got[i], want[i]) || (got[i] == nil) != (want[i] == nil) {
			t.Fatalf("result %d is %s, want %s", i, result{got[i]}, result{want[i]})
		}
	}
}

func (r result) String() string {
	var s []byte
	for _, b := range r {
		if b == nil {
			s = append(s, " DAMAGE"...)
			continue
		}
		s = append(strconv.AppendInt(append(s, ' '), int64(len(b)), 10), ':')
		s = strconv.AppendQuote(s, string(b[:min(len(b), 8)]))
	}
	return string(s)
}

// datas are the model's entries from index i on.
func (m *model) datas(i int) (d [][]byte) {
	for _, e := range m.entries[i:] {
		d = append(d, e.data)
	}
	return d
}

// bytesOf returns n bytes that no other call with another seed returns.
func bytesOf(seed uint64, n int) []byte {
	rng := rand.New(rand.NewPCG(seed, 1))
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(rng.Uint32())
	}
	return b
}

// randomModel is a model of n entries of random sizes, many near block ends.
func randomModel(rng *rand.Rand, n int) *model {
	m := &model{}
	for i := range n {
		size := 1 + rng.IntN(200)
		switch rng.IntN(8) {
		case 0:
			size = 1 + rng.IntN(3*block)
		case 1:
			size = max(1, block-len(m.file)%block-15-rng.IntN(40)+10)
		}
		m.add(bytesOf(rng.Uint64()+uint64(i), size))
	}
	return m
}

// count is how many states a random test tries: few with -short, more by a
// factor that the environment variable STATEIO_SWEEP sets.
func count(n int) int {
	if testing.Short() {
		return max(1, n/20)
	}
	if factor, err := strconv.Atoi(os.Getenv("STATEIO_SWEEP")); err == nil {
		n *= max(1, factor)
	}
	return n
}

// calls is a writer that keeps what each call gave it.
type calls [][]byte

func (c *calls) Write(b []byte) (int, error) {
	*c = append(*c, bytes.Clone(b))
	return len(b), nil
}

func (c calls) bytes() []byte { return bytes.Join(c, nil) }

var errDisk = errors.New("the disk is broken")
