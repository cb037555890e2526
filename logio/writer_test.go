package logio_test

import (
	"bytes"
	"errors"
	"io"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/stateio/stateio/logio"
)

func TestWrittenBytesAreThoseOfTheFormat(t *testing.T) {
	for seed := range uint64(count(200)) {
		m := randomModel(rand.New(rand.NewPCG(seed, 1)), 30)
		var got calls
		w := logio.NewWriter(&got, 0)
		for _, e := range m.entries {
			if err := w.Append(e.data); err != nil {
				t.Fatal(err)
			}
		}
		if !bytes.Equal(got.bytes(), m.file) {
			t.Fatalf("seed %d: the log is not the format's", seed)
		}
		if len(got) != len(m.entries) {
			t.Fatalf("seed %d: %d calls of Write for %d entries", seed, len(got), len(m.entries))
		}
	}
}

// Append, Tell and Aligned agree at every offset of a block, the 1 to 14 stray
// bytes at its start included: G4.
func TestAppendTellAndAlignedAgreeAtEveryOffset(t *testing.T) {
	scratch := make([]byte, 0, 2*logio.Blocksz)
	for _, base := range []int64{0, 3 * block} {
		for in := range int64(block) {
			off := base + in
			at := logio.Aligned(off)
			if left := block - in; at != off && (left > 15 && in >= 15 || in == 0 || at != base+block) || at == off && (left <= 15 || in > 0 && in < 15) {
				t.Fatalf("Aligned(%d) = %d", off, at)
			}
			if tell := logio.NewWriter(nil, off).Tell(); tell != at {
				t.Fatalf("Tell at %d is %d, Aligned %d", off, tell, at)
			}
			if in > 40 && in < block-60 && in%101 != 0 {
				continue
			}
			data := bytesOf(uint64(in), 50)
			var got bytes.Buffer
			n, err := logio.Append(&got, off, data, scratch)
			if err != nil || n != got.Len() {
				t.Fatalf("Append at %d: %d, %v", off, n, err)
			}
			file := make([]byte, base, off+200)
			if in < 15 {
				file = append(file, bytesOf(1, int(in))...)
			} else { // what ends there is a record
				file = appendRecord(file, 1, 0, bytesOf(1, int(min(in, block-15)-15)))
				file = append(file, make([]byte, off-int64(len(file)))...)
			}
			file = append(file, got.Bytes()...)
			expect(t, file, at, data)
			if next := logio.NewReader(bytes.NewReader(file[off:]), off); string(readAll(t, next)[0]) != string(data) {
				t.Fatalf("a reader at offset %d misses the entry", off)
			}
			if start, err := logio.Rewind(bytes.NewReader(file), int64(len(file))); err != nil || start != at {
				t.Fatalf("Rewind over the entry written at %d: %d, %v, want %d", off, start, err, at)
			}
		}
	}
}

func TestAppendReturnsTheBytesWrittenInOneCall(t *testing.T) {
	for size := 1; size <= 128<<10; size = size*3 + 1 {
		for _, scratch := range [][]byte{nil, make([]byte, 3), make([]byte, 0, 2*logio.Blocksz)} {
			var got calls
			m := (&model{}).add(bytesOf(1, 77), bytesOf(2, size))
			off := m.entries[0].end
			n, err := logio.Append(&got, off, m.entries[1].data, scratch)
			if err != nil || len(got) != 1 || n != len(got[0]) || !bytes.Equal(got[0], m.file[off:]) {
				t.Fatalf("size %d: %d bytes in %d calls, %v", size, n, len(got), err)
			}
		}
	}
}

// G26.
func TestAppendWorksWithoutScratch(t *testing.T) {
	var got bytes.Buffer
	if n, err := logio.Append(&got, 0, []byte("entry"), nil); n != 20 || err != nil {
		t.Fatalf("got %d, %v", n, err)
	}
	expect(t, got.Bytes(), 0, []byte("entry"))
}

// G30.
func TestAnEmptyEntryWritesNothing(t *testing.T) {
	for _, off := range []int64{0, 5, 100, block - 15, block - 1, block} {
		var got calls
		n, err := logio.Append(&got, off, nil, nil)
		w := logio.NewWriter(&got, off)
		if n != 0 || err != nil || w.Append([]byte{}) != nil || len(got) != 0 || w.Tell() != logio.Aligned(off) {
			t.Fatalf("at offset %d: %d, %v, %d writes", off, n, err, len(got))
		}
	}
}

// Offsets from 2 GiB on are no different, on 32-bit machines too: G27.
func TestOffsetsPast2GiB(t *testing.T) {
	for _, base := range []int64{1 << 31, 1<<31 - block, 1 << 32, 1 << 40, 1<<31 + 5*block} {
		m := (&model{}).add(bytesOf(1, 100), bytesOf(2, 2*block), bytesOf(3, 3))
		var got bytes.Buffer
		off := base
		for _, e := range m.entries {
			n, err := logio.Append(&got, off, e.data, make([]byte, 0, 2*logio.Blocksz))
			if err != nil {
				t.Fatal(err)
			}
			off += int64(n)
		}
		if !bytes.Equal(got.Bytes(), m.file) {
			t.Fatalf("the entries at offset %d differ from those at 0", base)
		}
		r := logio.NewReader(&got, base)
		for _, e := range m.entries {
			if b, err := r.Read(); err != nil || !bytes.Equal(b, e.data) || r.Offset() != base+e.start {
				t.Fatalf("at offset %d: %d bytes, %v", r.Offset(), len(b), err)
			}
		}
	}
}

// limitedWriter takes n bytes.
type limitedWriter struct {
	n   int
	err error
	bytes.Buffer
}

func (w *limitedWriter) Write(b []byte) (int, error) {
	k := min(len(b), w.n)
	w.n -= k
	w.Buffer.Write(b[:k])
	if k < len(b) {
		return k, w.err
	}
	return k, nil
}

// The first failed write is final, a short one without an error included: G8.
func TestTheFirstFailedWriteIsFinal(t *testing.T) {
	for _, cause := range []error{errDisk, nil} {
		for n := range 35 {
			out := &limitedWriter{n: n, err: cause}
			w := logio.NewWriter(out, 0)
			err := w.Append(bytesOf(1, 20))
			want := cause
			if cause == nil {
				want = io.ErrShortWrite
			}
			if !errors.Is(err, want) {
				t.Fatalf("after %d bytes: %v, want %v", n, err, want)
			}
			out.n = 1000
			if again := w.Append([]byte("more")); !errors.Is(again, want) || out.Len() != n {
				t.Fatalf("after the failure: %v, and %d bytes written", again, out.Len()-n)
			}
			if _, again := w.AppendFrom(bytes.NewReader([]byte("more"))); !errors.Is(again, want) || out.Len() != n {
				t.Fatalf("AppendFrom after the failure: %v, and %d bytes written", again, out.Len()-n)
			}
		}
	}
}

// An error is one also beside a full count; a count that can't be is named.
func TestWhatAWriteReturnsIsHeeded(t *testing.T) {
	for _, c := range []struct {
		n    int
		err  error
		want string
	}{{20, errDisk, errDisk.Error()}, {-1, nil, "impossible count -1"}, {-1, errDisk, "impossible count -1"}, {21, nil, "impossible count 21"}, {19, nil, io.ErrShortWrite.Error()}} {
		out := writeFunc(func([]byte) (int, error) { return c.n, c.err })
		if _, err := logio.Append(out, 0, []byte("entry"), nil); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("Append, %d, %v: got %v", c.n, c.err, err)
		}
		w := logio.NewWriter(out, 0)
		for range 2 {
			if err := w.Append([]byte("entry")); err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("Writer, %d, %v: got %v", c.n, c.err, err)
			}
		}
	}
}

type liar struct{ n int }

func (l liar) Write([]byte) (int, error)         { return l.n, nil }
func (l liar) Read([]byte) (int, error)          { return l.n, nil }
func (l liar) ReadAt([]byte, int64) (int, error) { return l.n, nil }

func TestImpossibleCountsAreErrors(t *testing.T) {
	for _, n := range []int{-1, 1 << 30} {
		if _, err := logio.Append(liar{n}, 0, []byte("entry"), nil); err == nil {
			t.Errorf("a Write that returns %d is taken for good", n)
		}
		if err := logio.NewWriter(liar{n}, 0).Append([]byte("entry")); err == nil {
			t.Errorf("a Write that returns %d is taken for good", n)
		}
		if _, err := logio.NewReader(liar{n}, 0).Read(); err == nil || err == io.EOF {
			t.Errorf("a Read that returns %d gives %v", n, err)
		}
		if _, err := logio.Rewind(liar{n}, 100); err == nil || err == io.EOF {
			t.Errorf("a ReadAt that returns %d gives %v", n, err)
		}
		if _, err := logio.NewWriter(&calls{}, 0).AppendFrom(liar{n}); err == nil {
			t.Errorf("a source that returns %d is taken for good", n)
		}
	}
}

func TestNegativeOffsetsAreErrors(t *testing.T) {
	if _, err := logio.Append(&calls{}, -1, []byte("entry"), nil); err == nil {
		t.Error("Append takes offset -1")
	}
	if err := logio.NewWriter(&calls{}, -1).Append([]byte("entry")); err == nil {
		t.Error("a Writer takes offset -1")
	}
	for range 2 {
		if _, err := logio.NewReader(bytes.NewReader(nil), -1).Read(); err == nil || err == io.EOF {
			t.Errorf("a Reader at offset -1 gives %v", err)
		}
	}
	if _, err := logio.Rewind(bytes.NewReader(nil), -1); err == nil || err == io.EOF {
		t.Errorf("Rewind from -1 gives %v", err)
	}
}

func TestAppendAndReadDoNotAllocate(t *testing.T) {
	for _, size := range []int{16, 1000, 100_000} {
		data := bytesOf(1, size)
		w := logio.NewWriter(io.Discard, 0)
		if n := testing.AllocsPerRun(300, func() { _ = w.Append(data) }); n != 0 {
			t.Errorf("Writer.Append of %d bytes allocates %v times", size, n)
		}
		scratch := make([]byte, 0, size*2+logio.Blocksz*2)
		if n := testing.AllocsPerRun(300, func() { _, _ = logio.Append(io.Discard, 0, data, scratch) }); n != 0 {
			t.Errorf("Append of %d bytes allocates %v times", size, n)
		}
		m := &model{}
		for range 500 {
			m.add(data)
		}
		src := bytes.NewReader(m.file)
		r := logio.NewReader(src, 0)
		for range 100 {
			if _, err := r.Read(); err != nil {
				t.Fatal(err)
			}
		}
		if n := testing.AllocsPerRun(300, func() {
			if _, err := r.Read(); err != nil {
				t.Fatal(err)
			}
		}); n != 0 {
			t.Errorf("Read of %d bytes allocates %v times", size, n)
		}
	}
}
