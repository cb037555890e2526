package logio_test

import (
	"bytes"
	"errors"
	"io"
	"math/rand/v2"
	"testing"
	"testing/iotest"

	"github.com/stateio/stateio/internal/ahead"
	"github.com/stateio/stateio/logio"
)

// largeModel returns a log with entries of about the same size, of other sizes,
// and small ones between them.
func largeModel(rng *rand.Rand) *model {
	m := &model{}
	usual := 1 + rng.IntN(40*block)
	for range 12 {
		switch rng.IntN(4) {
		case 0:
			m.add(bytesOf(rng.Uint64(), rng.IntN(2*block)))
		case 1:
			m.add(bytesOf(rng.Uint64(), rng.IntN(60*block)))
		default:
			m.add(bytesOf(rng.Uint64(), usual+rng.IntN(3)))
		}
	}
	return m
}

// sources are the ways in which a reader gets at a log.
var sources = map[string]func(b []byte) io.Reader{
	"bytes":         func(b []byte) io.Reader { return bytes.NewReader(b) },
	"half":          func(b []byte) io.Reader { return iotest.HalfReader(bytes.NewReader(b)) },
	"data with EOF": func(b []byte) io.Reader { return iotest.DataErrReader(bytes.NewReader(b)) },
	"with errors":   func(b []byte) io.Reader { return &moody{r: bytes.NewReader(b), n: 5} },
	"read ahead":    func(b []byte) io.Reader { return ahead.New(bytes.NewReader(b), 0, int64(len(b))) },
}

func TestLargeEntriesAreReadAsTheyWereWritten(t *testing.T) {
	for name, source := range sources {
		t.Run(name, func(t *testing.T) {
			for seed := range uint64(count(4)) {
				m := largeModel(rand.New(rand.NewPCG(seed, 1)))
				r := logio.NewReader(source(m.file), 0)
				for i, e := range m.entries {
					b, err := r.Read()
					for errors.Is(err, errDisk) {
						b, err = r.Read()
					}
					if err != nil || !bytes.Equal(b, e.data) || r.Offset() != e.start {
						t.Fatalf("seed %d, entry %d of %d bytes at %d: %d bytes at %d, %v", seed, i, len(e.data), e.start, len(b), r.Offset(), err)
					}
					_ = append(b, bytesOf(0, 1000)...) // what is read next may lie there
				}
				if b, err := r.Read(); err != io.EOF {
					t.Fatalf("seed %d, at the end: %d bytes, %v", seed, len(b), err)
				}
			}
		})
	}
}

// The last record of a large entry may fill its block, and records of the middle
// may be short, though no writer makes such.
func TestRecordsOfALargeEntryMayEndAnywhere(t *testing.T) {
	const fits = block - 15
	exact := (&model{}).add(bytesOf(1, 20*fits), bytesOf(2, 20*fits), []byte("after"))
	expect(t, exact.file, 0, exact.datas(0)...)

	for _, short := range []int{1, 100, fits - 16, fits - 15} {
		var want, file []byte
		put := func(kind byte, data []byte) {
			want = append(want, data...)
			file = appendRecord(file, kind, uint64(len(file)), data)
			if left := block - len(file)%block; left <= 15 {
				file = append(file, make([]byte, left)...)
			}
		}
		put(2, bytesOf(0, fits))
		for i := range uint64(12) {
			put(3, bytesOf(i, fits))
		}
		put(3, bytesOf(20, short))
		if left := block - len(file)%block; left < block {
			put(3, bytesOf(21, left-15))
		}
		for i := range uint64(12) {
			put(3, bytesOf(i, fits))
		}
		put(4, []byte("the end"))
		expect(t, file, 0, want)
	}
}

// Whatever is wrong with a log, Read says what Stream says, which never reads a
// record but one by one.
func TestReadAndStreamSayTheSameOfDamage(t *testing.T) {
	for seed := range uint64(count(24)) {
		rng := rand.New(rand.NewPCG(seed, 2))
		m := largeModel(rng)
		damage(rng, m.file)
		m.file = m.file[:len(m.file)-rng.IntN(2)*rng.IntN(len(m.file))]
		for name, source := range sources {
			streams, reads := logio.NewReader(source(m.file), 0), logio.NewReader(source(m.file), 0)
			for i := 0; ; i++ {
				want, wantErr := patient(streams, true)
				got, err := patient(reads, false)
				if err != wantErr || streams.Offset() != reads.Offset() || !bytes.Equal(got, want) {
					t.Fatalf("seed %d, %s, result %d: %d bytes at %d, %v, where a stream gives %d at %d, %v",
						seed, name, i, len(got), reads.Offset(), err, len(want), streams.Offset(), wantErr)
				}
				if err == io.EOF {
					break
				}
			}
		}
	}
}

// damage flips a bit, swaps blocks, doubles one or zeroes one.
func damage(rng *rand.Rand, file []byte) {
	at := func() []byte { return file[rng.IntN(len(file)/block)*block:][:block] }
	if len(file) < block {
		return
	}
	for range 1 + rng.IntN(3) {
		switch a, b := at(), at(); rng.IntN(4) {
		case 0:
			a[rng.IntN(block)] ^= 1 << rng.IntN(8)
		case 1:
			old := bytes.Clone(a)
			copy(a, b)
			copy(b, old)
		case 2:
			copy(a, b)
		case 3:
			clear(a)
		}
	}
}

// patient reads the next entry, trying again after errors of the disk.
func patient(r *logio.Reader, stream bool) ([]byte, error) {
	for {
		if b, err := retryStream(r, stream); !errors.Is(err, errDisk) {
			return b, err
		}
	}
}
