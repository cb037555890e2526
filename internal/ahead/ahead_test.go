package ahead_test

import (
	"bytes"
	"errors"
	"io"
	"math/rand/v2"
	"runtime"
	"testing"

	"github.com/stateio/stateio/internal/ahead"
	"github.com/stateio/stateio/internal/record"
)

// makeLog returns a log of at least n bytes, of entries of up to size bytes.
func makeLog(n, size int) []byte {
	rng := rand.NewChaCha8([32]byte{1})
	var b []byte
	for len(b) < n {
		entry := make([]byte, 1+rng.Uint64()%uint64(size))
		_, _ = rng.Read(entry) // never fails
		b = record.AppendEntry(b, int64(len(b)), nil, entry)
	}
	return b
}

// lengths are those of logs around a segment, two (from which on other
// goroutines read), and more than are read ahead.
var lengths = []int{1, 100, record.BlockSize, ahead.SegmentSize - 5, 2*ahead.SegmentSize + 1, 12 * ahead.SegmentSize}

func TestBlocksAreThoseOfTheLogWithTheirSoundPart(t *testing.T) {
	for _, n := range lengths {
		log := makeLog(n, 3000)
		for range 20 { // damage, so that not all of every block is sound
			log[rand.IntN(len(log))] ^= 1
		}
		for _, start := range []int{0, record.BlockSize, 3*record.BlockSize + 77, ahead.SegmentSize + 1} {
			if start >= len(log) {
				continue
			}
			r := ahead.New(bytes.NewReader(log), int64(start), int64(len(log)))
			for pos := start; pos < len(log); {
				want := log[pos:min(pos-pos%record.BlockSize+record.BlockSize, len(log))]
				b, sound, err := r.Block()
				if err != nil || !bytes.Equal(b, want) {
					t.Fatalf("%d bytes from %d: the block at %d is of %d bytes, not %d, or others; %v", len(log), start, pos, len(b), len(want), err)
				}
				if wantSound, _ := record.Sound(want); sound != wantSound {
					t.Fatalf("%d bytes from %d: of the block at %d, %d bytes are sound, not %d", len(log), start, pos, sound, wantSound)
				}
				pos += len(b)
			}
			if b, _, err := r.Block(); err != io.EOF {
				t.Fatalf("%d bytes from %d: at the end: %d bytes, %v", len(log), start, len(b), err)
			}
			r.Close()
		}
	}
}

func TestReadGivesTheBytesOfTheLog(t *testing.T) {
	for _, n := range lengths {
		log := makeLog(n, 3000)
		got, err := io.ReadAll(ahead.New(bytes.NewReader(log), 0, int64(len(log))))
		if err != nil || !bytes.Equal(got, log) {
			t.Errorf("%d of %d bytes, %v", len(got), len(log), err)
		}
	}
}

func TestTheLimitIsHonoured(t *testing.T) {
	log := makeLog(5*ahead.SegmentSize, 3000)
	for _, limit := range []int{0, 1, record.BlockSize, 4*ahead.SegmentSize + 100} {
		got, err := io.ReadAll(ahead.New(bytes.NewReader(log), 0, int64(limit)))
		if err != nil || !bytes.Equal(got, log[:limit]) {
			t.Errorf("%d bytes up to %d, %v", len(got), limit, err)
		}
	}
}

// A log that is shorter than its limit has been cut meanwhile.
func TestALogThatWasCutEndsThere(t *testing.T) {
	log := makeLog(3*ahead.SegmentSize, 3000)
	got, err := io.ReadAll(ahead.New(bytes.NewReader(log), 0, int64(len(log))+20*ahead.SegmentSize))
	if err != nil || !bytes.Equal(got, log) {
		t.Errorf("%d of %d bytes, %v", len(got), len(log), err)
	}
}

var errDisk = errors.New("bad sector")

// failing fails the first reads of each segment from an offset on.
type failing struct {
	io.ReaderAt
	from  int64
	times map[int64]int
	turn  chan struct{}
}

func (f *failing) ReadAt(p []byte, off int64) (int, error) {
	f.turn <- struct{}{}
	defer func() { <-f.turn }()
	if off >= f.from && f.times[off] < 2 {
		f.times[off]++
		return 0, errDisk
	}
	return f.ReaderAt.ReadAt(p, off)
}

func TestAReadErrorIsRetriedAndLosesNothing(t *testing.T) {
	for _, n := range lengths {
		log := makeLog(n, 3000)
		r := ahead.New(&failing{bytes.NewReader(log), 0, map[int64]int{}, make(chan struct{}, 1)}, 0, int64(len(log)))
		var got []byte
		var failed int
		for {
			b, _, err := r.Block()
			if err == io.EOF {
				break
			}
			if err != nil && !errors.Is(err, errDisk) {
				t.Fatal(err)
			}
			if err != nil {
				failed++
			}
			got = append(got, b...)
		}
		if segments := (len(log) + ahead.SegmentSize - 1) / ahead.SegmentSize; !bytes.Equal(got, log) || failed != 2*segments {
			t.Errorf("%d of %d bytes, after %d errors for %d segments", len(got), len(log), failed, segments)
		}
	}
}

// sparse is zeros with one entry at off.
type sparse struct {
	off int64
	b   []byte
}

func (s sparse) ReadAt(p []byte, off int64) (int, error) {
	clear(p)
	for i, c := range s.b {
		if k := s.off + int64(i) - off; k >= 0 && k < int64(len(p)) {
			p[k] = c
		}
	}
	return len(p), nil
}

// Offsets do not fit an int everywhere: this is for GOARCH=386.
func TestLogsBeyond2GiB(t *testing.T) {
	for _, off := range []int64{1 << 30, 3 << 30, 5 << 30} {
		b := record.AppendEntry(nil, off, nil, []byte("hello"))
		for _, start := range []int64{off, off + 3*record.BlockSize} {
			r := ahead.New(sparse{start, b}, start, start+10*ahead.SegmentSize)
			if block, sound, err := r.Block(); err != nil || sound != len(b) || len(block) != record.BlockSize {
				t.Errorf("at %d: a block of %d bytes, of which %d are sound, not %d; %v", start, len(block), sound, len(b), err)
			}
			r.Close()
		}
	}
}

// A reader that stops early leaves nothing behind, whether it is closed or not.
func TestReadingMayEndAnywhere(t *testing.T) {
	log := makeLog(12*ahead.SegmentSize, 3000)
	for blocks := range 20 {
		r := ahead.New(bytes.NewReader(log), 0, int64(len(log)))
		for range blocks {
			if _, _, err := r.Block(); err != nil {
				t.Fatal(err)
			}
		}
		if blocks%2 == 0 {
			r.Close()
		}
	}
}

func TestReadingAllocatesLittle(t *testing.T) {
	log := makeLog(64*ahead.SegmentSize, 3000)
	allocs := testing.AllocsPerRun(5, func() {
		r := ahead.New(bytes.NewReader(log), 0, int64(len(log)))
		for {
			if _, _, err := r.Block(); err == io.EOF {
				break
			}
		}
		r.Close()
	})
	if perSegment := allocs / 64; perSegment > 8 {
		t.Errorf("%.1f allocations for a segment of %d KiB", perSegment, ahead.SegmentSize>>10)
	}
}

// Blocks and what is read past them are together the log, with errors between.
func TestReadPastGoesOnBehindTheLastBlock(t *testing.T) {
	log := makeLog(9*ahead.SegmentSize+1000, 3000)
	for seed := range uint64(30) {
		rng := rand.New(rand.NewPCG(seed, 1))
		src := &failing{bytes.NewReader(log), int64(rng.IntN(len(log))), map[int64]int{}, make(chan struct{}, 1)}
		r := ahead.New(src, 0, int64(len(log)))
		var got []byte
		for {
			if len(got) > 0 && len(got)%record.BlockSize == 0 && rng.IntN(10) == 0 {
				p := make([]byte, record.BlockSize*(1+rng.IntN(20)))
				got = append(got, p[:r.ReadPast(p)]...)
				continue
			}
			b, _, err := r.Block()
			if err == io.EOF {
				break
			}
			if err != nil && !errors.Is(err, errDisk) {
				t.Fatal(err)
			}
			got = append(got, b...)
		}
		if !bytes.Equal(got, log) {
			t.Fatalf("seed %d: %d of %d bytes, or others", seed, len(got), len(log))
		}
		r.Close()
	}
}

// A source that panics, or ends the goroutine, does so where the consumer is, and nothing is
// passed over: reading on ends there again, or gives what comes next.
func TestASourceThatDoesNotReturn(t *testing.T) {
	log := makeLog(12*ahead.SegmentSize, 3000)
	for name, end := range map[string]func(){"panic": func() { panic("boom") }, "Goexit": runtime.Goexit} {
		for at := int64(0); at < int64(len(log)); at += ahead.SegmentSize {
			r := ahead.New(readerAt(func(b []byte, off int64) (int, error) {
				if off == at {
					end()
				}
				return bytes.NewReader(log).ReadAt(b, off)
			}), 0, int64(len(log)))
			pos := int64(0)
			for range 2 {
				done := make(chan any)
				go func() {
					defer func() { done <- recover() }()
					for {
						b, _, err := r.Block()
						if err != nil || !bytes.HasPrefix(log[pos:], b) {
							t.Errorf("%s at %d: %d bytes at %d, %v", name, at, len(b), pos, err)
							return
						}
						pos += int64(len(b))
					}
				}()
				if v := <-done; pos != at || (v != nil) != (name == "panic") {
					t.Errorf("%s at %d: it has come to %d, and ended with %v", name, at, pos, v)
				}
			}
		}
	}
}

type readerAt func(b []byte, off int64) (int, error)

func (r readerAt) ReadAt(b []byte, off int64) (int, error) { return r(b, off) }
