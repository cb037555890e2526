package logio_test

import (
	"bytes"
	"errors"
	"io"
	"math/rand/v2"
	"testing"
	"testing/iotest"

	"github.com/stateio/stateio/logio"
)

// streamSizes are those around the ends of blocks and of the pieces that are
// written at once.
func streamSizes() (sizes []int) {
	for _, base := range []int{block - 15, 2 * (block - 15), 7 * (block - 15), 8 * (block - 15), 9 * (block - 15), 16 * (block - 15)} {
		sizes = append(sizes, base-100, base-1, base, base+1, base+100)
	}
	return append(sizes, 1, 2, 1000)
}

// A streamed entry has the bytes of one that was appended at once.
func TestAppendFromWritesTheBytesOfAppend(t *testing.T) {
	for _, lead := range []int{0, 100, block - 15, block - 16, block - 31, block - 30} {
		for _, size := range streamSizes() {
			m := &model{}
			if lead > 0 {
				m.add(bytesOf(1, lead))
			}
			m.add(bytesOf(2, size), []byte("behind"))
			var got calls
			w := logio.NewWriter(&got, 0)
			for i, e := range m.entries {
				var src io.Reader = bytes.NewReader(e.data)
				if i%2 == 1 {
					src = iotest.DataErrReader(iotest.HalfReader(src))
				}
				n, err := w.AppendFrom(src)
				if err != nil || n != int64(len(e.data)) {
					t.Fatalf("%d bytes: %d, %v", len(e.data), n, err)
				}
			}
			if !bytes.Equal(got.bytes(), m.file) || w.Tell() != logio.Aligned(int64(len(m.file))) {
				t.Fatalf("%d bytes behind %d are not written as the format has it", size, lead)
			}
		}
	}
}

func TestAnEmptyStreamIsNoEntry(t *testing.T) {
	var got calls
	w := logio.NewWriter(&got, block-3)
	if n, err := w.AppendFrom(bytes.NewReader(nil)); n != 0 || err != nil || len(got) != 0 || w.Tell() != block {
		t.Fatalf("got %d, %v, %d writes, Tell %d", n, err, len(got), w.Tell())
	}
}

// Before anything was written, a source that fails leaves log and writer as
// they were; io.ErrUnexpectedEOF of the source is such an error.
func TestASourceThatFailsEarlyChangesNothing(t *testing.T) {
	for _, cause := range []error{errDisk, io.ErrUnexpectedEOF} {
		for _, size := range []int{0, 1, 1000, block - 15, block, 2 * block, 6 * block} {
			var got calls
			w := logio.NewWriter(&got, 0)
			n, err := w.AppendFrom(io.MultiReader(bytes.NewReader(bytesOf(1, size)), iotest.ErrReader(cause)))
			if !errors.Is(err, cause) || n > int64(size) || len(got) != 0 || w.Tell() != 0 {
				t.Fatalf("%v after %d bytes: %d, %v, %d writes", cause, size, n, err, len(got))
			}
			if err := w.Append([]byte("entry")); err != nil {
				t.Fatalf("%v after %d bytes: the writer is finished: %v", cause, size, err)
			}
			expect(t, got.bytes(), 0, []byte("entry"))
		}
	}
}

// Once part of the entry is written, the error is final.
func TestASourceThatFailsLateIsFinal(t *testing.T) {
	var got calls
	w := logio.NewWriter(&got, 0)
	_, err := w.AppendFrom(io.MultiReader(bytes.NewReader(bytesOf(1, 10*block)), iotest.ErrReader(errDisk)))
	if !errors.Is(err, errDisk) || len(got) == 0 {
		t.Fatalf("got %v, %d writes", err, len(got))
	}
	if again := w.Append([]byte("entry")); !errors.Is(again, errDisk) {
		t.Fatalf("afterwards: %v", again)
	}
	expect(t, got.bytes(), 0, nil)
}

func TestASourceThatGivesNothingEndsAppendFrom(t *testing.T) {
	if _, err := logio.NewWriter(&calls{}, 0).AppendFrom(liar{0}); !errors.Is(err, io.ErrNoProgress) {
		t.Fatalf("got %v, want io.ErrNoProgress", err)
	}
}

func TestAWriterThatFailsEndsAppendFrom(t *testing.T) {
	for n := 0; n < 12*block; n += 5000 {
		out := &limitedWriter{n: n, err: errDisk}
		w := logio.NewWriter(out, 0)
		if _, err := w.AppendFrom(bytes.NewReader(bytesOf(1, 12*block))); !errors.Is(err, errDisk) {
			t.Fatalf("after %d bytes: %v", n, err)
		}
		if err := w.Append([]byte("entry")); !errors.Is(err, errDisk) {
			t.Fatalf("afterwards: %v", err)
		}
	}
}

// An entry larger than memory passes through, written and read.
func TestStreamsNeedLittleMemory(t *testing.T) {
	const size = 64 << 20
	in, out := io.Pipe()
	go func() {
		_, err := logio.NewWriter(out, 0).AppendFrom(io.LimitReader(zeros{}, size))
		out.CloseWithError(err)
	}()
	if allocated := allocatedBy(func() {
		s, err := logio.NewReader(in, 0).Stream()
		if err != nil {
			t.Fatal(err)
		}
		if n, err := io.Copy(io.Discard, s); n != size || err != nil {
			t.Fatalf("got %d bytes, %v", n, err)
		}
	}); allocated > 4<<20 {
		t.Errorf("streaming 64 MiB allocated %d KiB", allocated>>10)
	}
}

type zeros struct{}

func (zeros) Read(b []byte) (int, error) { clear(b); return len(b), nil }

// Entries read whole, streamed, streamed in part and not at all, mixed.
func TestStreamsAndReadsMix(t *testing.T) {
	for seed := range uint64(count(100)) {
		rng := rand.New(rand.NewPCG(seed, 6))
		m := randomModel(rng, 40)
		r := logio.NewReader(bytes.NewReader(m.file), 0)
		var stale io.Reader
		for i, e := range m.entries {
			if rng.IntN(2) == 0 {
				if b, err := r.Read(); err != nil || !bytes.Equal(b, e.data) {
					t.Fatalf("seed %d, entry %d: %d bytes, %v", seed, i, len(b), err)
				}
				continue
			}
			s, err := r.Stream()
			if err != nil || r.Offset() != e.start {
				t.Fatalf("seed %d, entry %d: %v at %d", seed, i, err, r.Offset())
			}
			if stale != nil {
				if n, err := stale.Read(make([]byte, 1)); n != 0 || err == nil || err == io.EOF {
					t.Fatalf("a stream that is over gives %d bytes, %v", n, err)
				}
			}
			stale = s
			k := rng.IntN(len(e.data) + 2)
			got := make([]byte, min(k, len(e.data)))
			if _, err := io.ReadFull(s, got); err != nil || !bytes.Equal(got, e.data[:len(got)]) {
				t.Fatalf("seed %d, entry %d: %d bytes of a stream, %v", seed, i, len(got), err)
			}
			if k > len(e.data) {
				for range 2 {
					if n, err := s.Read(make([]byte, 1)); n != 0 || err != io.EOF {
						t.Fatalf("at the end of a stream: %d, %v", n, err)
					}
				}
			}
		}
		if _, err := r.Stream(); err != io.EOF {
			t.Fatalf("after the last entry: %v", err)
		}
	}
}

func TestAStreamReadsNothingIntoNothing(t *testing.T) {
	m := (&model{}).add([]byte("one"))
	s, err := logio.NewReader(bytes.NewReader(m.file), 0).Stream()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadAll(s); err != nil {
		t.Fatal(err)
	}
	if n, err := s.Read(nil); n != 0 || err != nil {
		t.Fatalf("got %d, %v", n, err)
	}
}

// Damage midway ends a stream with ErrCorrupted; whoever gave the stream up
// before hears of it from the next Read.
func TestDamageMidwayThroughAStream(t *testing.T) {
	m := (&model{}).add(bytesOf(1, 3*block), []byte("behind"))
	m.file[block+100] ^= 1
	for _, give := range []int64{0, 100, block - 15, 3 * block} {
		r := logio.NewReader(bytes.NewReader(m.file), 0)
		s, err := r.Stream()
		if err != nil {
			t.Fatal(err)
		}
		n, err := io.CopyN(io.Discard, s, give)
		if give > block {
			if err != logio.ErrCorrupted || n != block-15 || r.Offset() != block {
				t.Fatalf("got %d bytes, %v at %d", n, err, r.Offset())
			}
			if _, err := s.Read(make([]byte, 1)); err != logio.ErrCorrupted {
				t.Fatalf("a second time: %v", err)
			}
		} else if _, err := r.Read(); err != logio.ErrCorrupted || r.Offset() != block {
			t.Fatalf("a stream given up after %d bytes: %v at %d", give, err, r.Offset())
		}
		if b, err := r.Read(); err != nil || string(b) != "behind" {
			t.Fatalf("behind the damage: %q, %v", b, err)
		}
	}
}

// A read error that was told does not count as damage that was.
func TestDamageAfterAReadErrorInAStreamIsTold(t *testing.T) {
	m := (&model{}).add(bytesOf(1, 20*block), []byte("behind"))
	m.file[12*block+100] ^= 1
	src := &moody{r: bytes.NewReader(m.file), n: 100}
	r := logio.NewReader(src, 0)
	s, err := r.Stream()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.Copy(io.Discard, s); !errors.Is(err, errDisk) {
		t.Fatalf("got %v, want the read error", err)
	}
	src.n = 1 << 30
	if _, err := r.Read(); err != logio.ErrCorrupted {
		t.Fatalf("got %v, want ErrCorrupted", err)
	}
	if b, err := r.Read(); err != nil || string(b) != "behind" {
		t.Fatalf("behind the damage: %q, %v", b, err)
	}
}

// An entry that Read could not finish for a read error is not put together
// again by leaving out what Stream skipped of it.
func TestStreamAfterAFailedReadSplicesNothing(t *testing.T) {
	m := (&model{}).add(bytesOf(1, 30*block), []byte("behind"))
	for n := 2; n < 200; n++ {
		r := logio.NewReader(&moody{r: bytes.NewReader(m.file), n: n}, 0)
		for i := range 10_000 {
			var b []byte
			var err error
			if i%2 == 0 {
				b, err = r.Read()
			} else if s, serr := r.Stream(); serr == nil {
				b, err = io.ReadAll(s)
			} else {
				err = serr
			}
			if err == io.EOF {
				break
			}
			if err == nil && len(b) > 0 && !bytes.Equal(b, m.entries[0].data) && string(b) != "behind" {
				t.Fatalf("every %d reads: an entry of %d bytes was never written", n, len(b))
			}
		}
	}
}
