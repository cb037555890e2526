package stateio_test

import (
	"bytes"
	"errors"
	"math/rand/v2"
	"testing"

	"github.com/stateio/stateio"
)

// flipModels are files of about size bytes, the last of them of nested logs.
func flipModels(size int) map[string]*model {
	small, mixed, nested, large := &model{}, &model{}, &model{}, &model{}
	for i := 0; len(small.file) < size; i++ {
		small.update(bytesOf(uint64(i), 150))
	}
	rng := rand.New(rand.NewPCG(1, 2))
	for i := 0; len(mixed.file) < size; i++ {
		mixed.entry(i%40 == 20, bytesOf(uint64(i), rng.IntN(3000)))
	}
	for i := 0; len(nested.file) < size; i++ {
		nested.entry(i%7 == 3, nestedPayload(len(nested.file), rng.IntN(6000), []int{16, 512, 4096, block}[i%4]))
	}
	for i := 0; len(large.file) < size; i++ {
		large.entry(i == 1, bytesOf(uint64(i), size/5))
	}
	return map[string]*model{"small updates": small, "epochs of mixed sizes": mixed, "nested logs": nested, "large entries": large}
}

// A single bit that is wrong, wherever it is, gives an error or the exact data,
// and never an older epoch; only of the last entry it may take the end, as a
// crash does: G6b, G13, G14, G15.
func TestEveryFlippedBitIsAnErrorOrHarmless(t *testing.T) {
	for name, m := range flipModels(200 << 10) {
		t.Run(name, func(t *testing.T) {
			step := len(m.file) * 8 / count(3000)
			if sweep() > 1 {
				step = 1
			}
			rng := rand.New(rand.NewPCG(1, 1))
			flips, errs := 0, 0
			for bit := 0; bit < len(m.file)*8; bit += 1 + rng.IntN(max(1, 2*step-1)) {
				flips++
				if flipped(t, m, bit) != nil {
					errs++
				}
			}
			t.Logf("%d flips, %d found", flips, errs)
		})
	}
}

// flipped flips one bit for the time of a test of the file.
func flipped(t *testing.T, m *model, bit int) error {
	m.file[bit/8] ^= 1 << (bit % 8)
	defer func() { m.file[bit/8] ^= 1 << (bit % 8) }()
	n := len(m.ops)
	err := m.compare(bytes.NewReader(m.file), int64(len(m.file)))
	if errors.Is(err, errWrong) && int64(bit/8) >= m.ops[n-1].start {
		err = m.prefix(n-1).compare(bytes.NewReader(m.file), int64(len(m.file)))
		if err == nil {
			return errTorn
		}
	}
	switch {
	case err == nil && int64(bit/8) >= m.current()[0].start && !m.padding(bit/8):
		t.Fatalf("bit %d of byte %d: the flip was not noticed", bit%8, bit/8)
	case err != nil && int64(bit/8) < m.current()[0].start:
		t.Fatalf("bit %d of byte %d, in an obsolete epoch: %v", bit%8, bit/8, err)
	case errors.Is(err, errWrong) || err != nil && !errors.Is(err, stateio.ErrCorrupt):
		t.Fatalf("bit %d of byte %d: %v", bit%8, bit/8, err)
	}
	return err
}

var errTorn = errors.New("taken for a torn tail")

// padding reports whether no record reaches over byte at.
func (m *model) padding(at int) bool {
	for _, o := range m.ops {
		if o.start <= int64(at) && int64(at) < o.end {
			return false
		}
	}
	return true
}

// A bit that is wrong in an epoch before the current one is of no consequence,
// also where the snapshot is in the same block: G14.
func TestFlipsInObsoleteEpochsHurtNothing(t *testing.T) {
	m := &model{}
	for i := range 20 {
		m.update(bytesOf(uint64(i), 10*i))
	}
	m.snapshot(bytesOf(1, 100)).update(bytesOf(2, 50)).snapshot(bytesOf(3, 77)).update(bytesOf(4, 5))
	for bit := int64(0); bit < m.current()[0].start*8; bit += 21 - int64(min(20, count(20))) {
		if err := flipped(t, m, int(bit)); err != nil {
			t.Fatalf("bit %d: %v", bit, err)
		}
	}
}

// Pages of an obsolete epoch that are lost are of no consequence, as long as
// the current epoch has a block of its own to be found from. In the block of
// its snapshot they may be an error, never other data.
func TestLostPagesOfObsoleteEpochsHurtNothing(t *testing.T) {
	m := &model{}
	for i := range 200 {
		m.update(bytesOf(uint64(i), 400))
	}
	m.snapshot(bytesOf(1, 70_000)).update(bytesOf(2, 50)).update(bytesOf(3, 40_000))
	snapshot := m.current()[0].start
	rng := rand.New(rand.NewPCG(7, 7))
	for page := int64(0); page+512 <= snapshot; page += 512 {
		for _, lost := range [][]byte{make([]byte, 512), bytesOf(rng.Uint64(), 512), m.file[1024:1536]} {
			file := bytes.Clone(m.file)
			copy(file[page:], lost)
			if err := m.compare(bytes.NewReader(file), int64(len(file))); err != nil {
				t.Fatalf("page at %d: %v", page, err)
			}
		}
	}
}

// Bursts of up to 64 bits are noticed like single bits, but for those that reach
// into the last entry: they may take the one before along.
func TestBurstsAreAnErrorOrHarmless(t *testing.T) {
	for name, m := range flipModels(40 << 10) {
		t.Run(name, func(t *testing.T) {
			rng := rand.New(rand.NewPCG(3, 4))
			n := len(m.ops)
			for range count(2000) {
				file := bytes.Clone(m.file)
				at := rng.IntN(len(file) - 8)
				for i := range 2 + rng.IntN(63) {
					file[at+i/8] ^= byte(rng.IntN(2)) << (i % 8)
				}
				err := m.compare(bytes.NewReader(file), int64(len(file)))
				if errors.Is(err, errWrong) && int64(at+8) >= m.ops[n-1].start {
					// The end was hit: what the burst hit looks torn.
					err = m.prefix(m.whole(int64(at))).compare(bytes.NewReader(file), int64(len(file)))
				}
				if errors.Is(err, errWrong) {
					t.Fatalf("burst at %d: %v", at, err)
				}
			}
		})
	}
}
