package logio_test

import (
	"bytes"
	"errors"
	"io"
	"math/rand/v2"
	"testing"

	"github.com/stateio/stateio/logio"
)

// As the original's test: from the end, ten times, with the reader in its place.
func TestRewindTenTimesFromTheEnd(t *testing.T) {
	m := &model{}
	rng := rand.New(rand.NewPCG(1, 1))
	for i := range 100 {
		m.add(bytesOf(uint64(i), 1024+rng.IntN(127<<10)))
	}
	r := bytes.NewReader(m.file)
	limit := int64(len(m.file))
	for i := range 10 {
		e := m.entries[len(m.entries)-1-i]
		off, err := logio.Rewind(r, limit)
		if err != nil || off != e.start {
			t.Fatalf("%d times: %d, %v, want %d", i+1, off, err, e.start)
		}
		if pos, _ := r.Seek(0, io.SeekCurrent); pos != off {
			t.Fatalf("the reader is at %d, not at %d", pos, off)
		}
		if b, err := logio.NewReader(r, off).Read(); err != nil || !bytes.Equal(b, e.data) {
			t.Fatalf("%d times: %d bytes, %v", i+1, len(b), err)
		}
		limit = off
	}
}

// From every offset of a log, Rewind finds the last entry that ends there or
// before, so no block is skipped: G6.
func TestRewindFromEveryOffset(t *testing.T) {
	m := (&model{}).add(bytesOf(1, 30), bytesOf(2, 2*block), bytesOf(3, block-300), bytesOf(4, 70), bytesOf(5, 200), bytesOf(6, 40))
	n := -1
	for limit := range int64(len(m.file)) + 1 {
		for n+1 < len(m.entries) && m.entries[n+1].end <= limit {
			n++
		}
		if limit > 200 && limit%31 != 0 && limit%block > 40 && limit%block < block-400 {
			continue
		}
		off, err := logio.Rewind(bytes.NewReader(m.file), limit)
		if n < 0 && err != io.EOF || n >= 0 && (err != nil || off != m.entries[n].start) {
			t.Fatalf("from %d: %d, %v, want entry %d", limit, off, err, n)
		}
	}
}

func TestRewindGoesThroughWholeLogs(t *testing.T) {
	for seed := range uint64(count(40)) {
		m := randomModel(rand.New(rand.NewPCG(seed, 3)), 60)
		limit := int64(len(m.file))
		for i := len(m.entries) - 1; i >= 0; i-- {
			off, err := logio.Rewind(bytes.NewReader(m.file), limit)
			if err != nil || off != m.entries[i].start {
				t.Fatalf("seed %d, entry %d: %d, %v, want %d", seed, i, off, err, m.entries[i].start)
			}
			limit = off
		}
		if _, err := logio.Rewind(bytes.NewReader(m.file), limit); err != io.EOF {
			t.Fatalf("before the first entry: %v, want io.EOF", err)
		}
	}
}

// A log whose front is gone, offsets pointing before it, does not panic: G18.
func TestRewindOverACutFront(t *testing.T) {
	m := (&model{}).add(bytesOf(1, 5*block), []byte("after"))
	for blocks := 1; blocks <= 5; blocks++ {
		front := m.file[blocks*block:]
		off, err := logio.Rewind(bytes.NewReader(front), int64(len(front)))
		if want := m.entries[1].start - int64(blocks*block); err != nil || off != want {
			t.Errorf("%d blocks gone: %d, %v, want %d", blocks, off, err, want)
		}
		if _, err := logio.Rewind(bytes.NewReader(front), m.entries[1].start-int64(blocks*block)); err != io.EOF {
			t.Errorf("%d blocks gone, before the last entry: %v, want io.EOF", blocks, err)
		}
	}
}

// A LAST whose entry is not whole, or is part of a payload, is not followed.
func TestRewindFollowsNoUncheckedOffset(t *testing.T) {
	whole := (&model{}).add(bytesOf(1, 100))
	for _, offset := range []uint64{1, 100, block, 1 << 40, 1 << 63, 1<<64 - 1} {
		file := append(bytes.Clone(whole.file), make([]byte, 2*block-len(whole.file))...)
		file = appendRecord(file, 4, offset, []byte("INJECTED"))
		if off, err := logio.Rewind(bytes.NewReader(file), int64(len(file))); err != nil || off != 0 {
			t.Errorf("offset %d: %d, %v, want 0", offset, off, err)
		}
	}
}

// Damage in one entry hides no other one.
func TestRewindPassesOverDamage(t *testing.T) {
	m := (&model{}).add(bytesOf(1, 100), bytesOf(2, 100), bytesOf(3, 100))
	for bit := m.entries[1].start * 8; bit < m.entries[1].end*8; bit++ {
		file := bytes.Clone(m.file)
		file[bit/8] ^= 1 << (bit % 8)
		off, err := logio.Rewind(bytes.NewReader(file), int64(len(file)))
		if err != nil || off != m.entries[2].start {
			t.Fatalf("bit %d: %d, %v", bit, off, err)
		}
		if off, err = logio.Rewind(bytes.NewReader(file), off); err != nil || off != 0 {
			t.Fatalf("bit %d, second time: %d, %v", bit, off, err)
		}
	}
}

// eofReaderAt returns io.EOF together with the last bytes, as it may.
type eofReaderAt struct{ *bytes.Reader }

func (r eofReaderAt) ReadAt(b []byte, off int64) (int, error) {
	n, err := r.Reader.ReadAt(b, off)
	if off+int64(n) == r.Size() {
		err = io.EOF
	}
	return n, err
}

// stingyReaderAt returns few bytes at a time, which a careless one does.
type stingyReaderAt struct{ *bytes.Reader }

func (r stingyReaderAt) ReadAt(b []byte, off int64) (int, error) {
	return r.Reader.ReadAt(b[:min(len(b), 1000)], off)
}

// The corners of io.ReaderAt's contract: G25.
func TestRewindTakesReaderAtAtItsWord(t *testing.T) {
	for _, size := range []int{10, block - 15, block - 16, 2*block - 30, 100_000} {
		m := (&model{}).add(bytesOf(1, size))
		for _, r := range []io.ReaderAt{eofReaderAt{bytes.NewReader(m.file)}, stingyReaderAt{bytes.NewReader(m.file)}} {
			for _, limit := range []int64{int64(len(m.file)), int64(len(m.file)) + 1, 10 * block, 1 << 62, 1<<63 - 1} {
				if off, err := logio.Rewind(r, limit); err != nil || off != 0 {
					t.Errorf("%T with %d bytes, limit %d: %d, %v", r, len(m.file), limit, off, err)
				}
			}
		}
	}
}

// failing is a reader whose reads or seeks fail.
type failing struct {
	io.ReaderAt
	seek error
}

func (f failing) Seek(int64, int) (int64, error) { return 0, f.seek }

// A reader that can't seek is read all the same.
func TestRewindOfAReaderThatCantSeek(t *testing.T) {
	m := (&model{}).add([]byte("one"), []byte("two"))
	r := struct{ io.ReaderAt }{bytes.NewReader(m.file)}
	if off, err := logio.Rewind(r, int64(len(m.file))); err != nil || off != m.entries[1].start {
		t.Errorf("got %d, %v", off, err)
	}
}

type brokenReaderAt struct{}

func (brokenReaderAt) ReadAt([]byte, int64) (int, error) { return 0, errDisk }

func TestRewindReportsTheErrorsOfItsReader(t *testing.T) {
	m := (&model{}).add([]byte("entry"))
	if _, err := logio.Rewind(brokenReaderAt{}, 100); !errors.Is(err, errDisk) {
		t.Errorf("got %v, want the error of ReadAt", err)
	}
	if _, err := logio.Rewind(failing{bytes.NewReader(m.file), errDisk}, int64(len(m.file))); !errors.Is(err, errDisk) {
		t.Errorf("got %v, want the error of Seek", err)
	}
	if _, err := logio.Rewind(liar{0}, 100); !errors.Is(err, io.ErrNoProgress) {
		t.Errorf("got %v, want io.ErrNoProgress", err)
	}
}
