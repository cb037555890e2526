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
			m.add(bytesOf(2, size), []byte("after"))
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
				t.Fatalf("%d bytes after %d are not written as the format has it", size, lead)
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
	m := (&model{}).add(bytesOf(1, 3*block), []byte("after"))
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
			if _, err := s.Read(make([]byte, 1)); err != logio.ErrCorrupted || r.Offset() != block {
				t.Fatalf("a second time: %v at %d", err, r.Offset())
			}
		} else if _, err := r.Read(); err != logio.ErrCorrupted || r.Offset() != block {
			t.Fatalf("a stream given up after %d bytes: %v at %d", give, err, r.Offset())
		}
		if b, err := r.Read(); err != nil || string(b) != "after" {
			t.Fatalf("after the damage: %q, %v", b, err)
		}
	}
}

// A read error that was told does not count as damage that was.
func TestDamageAfterAReadErrorInAStreamIsTold(t *testing.T) {
	m := (&model{}).add(bytesOf(1, 20*block), []byte("after"))
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
	if b, err := r.Read(); err != nil || string(b) != "after" {
		t.Fatalf("after the damage: %q, %v", b, err)
	}
}

// An entry that Read could not finish for a read error is not put together
// again by leaving out what Stream skipped of it.
func TestStreamAfterAFailedReadSplicesNothing(t *testing.T) {
	m := (&model{}).add(bytesOf(1, 30*block), []byte("after"))
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
			if err == nil && len(b) > 0 && !bytes.Equal(b, m.entries[0].data) && string(b) != "after" {
				t.Fatalf("every %d reads: an entry of %d bytes was never written", n, len(b))
			}
		}
	}
}

// ... but passed over, and what follows is read, also from the log's start.
func TestStreamAfterAFailedReadGoesOnBehind(t *testing.T) {
	for _, before := range []int{0, 1} {
		m := &model{}
		for i := range before {
			m.add(bytesOf(uint64(i), block-15))
		}
		m.add(bytesOf(8, 2*block), []byte("after"), []byte("broken"))
		m.file[len(m.file)-1] ^= 1
		cut := (before + 1) * block
		r := logio.NewReader(&steps{{data: m.file[:cut]}, {err: errDisk}, {data: m.file[cut:]}}, 0)
		for range before {
			if _, err := r.Read(); err != nil {
				t.Fatal(err)
			}
		}
		if _, err := r.Read(); !errors.Is(err, errDisk) {
			t.Fatal(err)
		}
		s, err := r.Stream()
		if err != nil {
			t.Fatal(err)
		}
		if b, err := io.ReadAll(s); string(b) != "after" {
			t.Errorf("got %d bytes, %v", len(b), err)
		}
		if _, err := r.Stream(); err != logio.ErrCorrupted {
			t.Errorf("damage after it: %v", err)
		}
	}
}

// ... nor is damage hidden by it.
func TestStreamAfterAFailedReadTellsDamage(t *testing.T) {
	m := (&model{}).add(bytesOf(1, 2*block), []byte("broken"))
	m.file[len(m.file)-1] ^= 1
	r := logio.NewReader(&steps{{data: m.file[:block]}, {err: errDisk}, {data: m.file[block:]}}, 0)
	if _, err := r.Read(); !errors.Is(err, errDisk) {
		t.Fatal(err)
	}
	if _, err := r.Stream(); err != logio.ErrCorrupted || r.Offset() != m.entries[1].start {
		t.Errorf("got %v at %d, want damage at %d", err, r.Offset(), m.entries[1].start)
	}
}

// A stream that the reader has left gives nothing more.
func TestAStreamEndsWhereTheReaderGoesOn(t *testing.T) {
	for _, n := range []int{10, 3 * block} {
		m := (&model{}).add(bytesOf(1, n), []byte("next"))
		r := logio.NewReader(bytes.NewReader(m.file), 0)
		s, err := r.Stream()
		if err != nil {
			t.Fatal(err)
		}
		if b, err := r.Read(); string(b) != "next" {
			t.Fatalf("%q, %v", b, err)
		}
		if n, err := s.Read(make([]byte, 100)); n != 0 || err == nil || err == io.EOF {
			t.Errorf("the stream of %d bytes: %d, %v", n, n, err)
		}
	}
}

// A read gives bytes, or an error.
func TestAStreamMakesProgress(t *testing.T) {
	m := (&model{}).add(bytesOf(1, 3*block))
	s, err := logio.NewReader(bytes.NewReader(m.file), 0).Stream()
	if err != nil {
		t.Fatal(err)
	}
	for b := make([]byte, 10_000); ; {
		n, err := s.Read(b)
		if err == io.EOF {
			return
		}
		if n == 0 || err != nil {
			t.Fatalf("%d bytes, %v", n, err)
		}
	}
}

// Errors met while the rest of a stream is passed over come back from Stream, and
// so does damage that its user has not come to, and what lies between entries.
func TestStreamTellsWhatItPasses(t *testing.T) {
	m := (&model{}).add(bytesOf(1, 3*block), []byte("after"))
	broken := func(at int) []byte { b := bytes.Clone(m.file); b[at] ^= 1; return b }
	for name, c := range map[string]struct {
		src  steps
		want error
	}{
		"a read error":        {steps{{data: m.file[:block]}, {err: errDisk}, {data: m.file[block:]}}, errDisk},
		"damage":              {steps{{data: broken(block + 100)}}, logio.ErrCorrupted},
		"damage between them": {steps{{data: append(broken(len(m.file)-1), make([]byte, block)...)}}, logio.ErrCorrupted},
	} {
		r := logio.NewReader(&c.src, 0)
		if _, err := r.Stream(); err != nil {
			t.Fatal(err)
		}
		if _, err := r.Stream(); !errors.Is(err, c.want) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// A source may be slow, as long as it gives something now and then.
func TestAppendFromASlowSource(t *testing.T) {
	var src steps
	data := bytesOf(1, 300)
	for i := range data {
		src = append(src, make([]step, 60)...)
		src = append(src, step{data: data[i : i+1]})
	}
	var got calls
	if n, err := logio.NewWriter(&got, 0).AppendFrom(&src); n != 300 || err != nil {
		t.Fatalf("%d, %v", n, err)
	}
	expect(t, got.bytes(), 0, data)
}

// An error of the source ends the entry, whatever the source would give next.
func TestASourceIsNotAskedAfterAnError(t *testing.T) {
	data := bytesOf(1, 20_000)
	for _, bad := range []step{{err: errDisk}, {n: 20_000}} {
		var got calls
		w := logio.NewWriter(&got, 0)
		if n, err := w.AppendFrom(&steps{{data: data}, bad, {data: data}}); err == nil || n != 20_000 || len(got) != 0 {
			t.Errorf("%d, %v, %d writes", n, err, len(got))
		}
	}
}

// After a write that failed AppendFrom writes nothing more.
func TestAppendFromEndsWithTheFirstFailedWrite(t *testing.T) {
	writes := 0
	w := logio.NewWriter(writeFunc(func(b []byte) (int, error) {
		if writes++; writes == 1 {
			return 0, errDisk
		}
		return len(b), nil
	}), 0)
	if _, err := w.AppendFrom(bytes.NewReader(bytesOf(1, 30*block))); !errors.Is(err, errDisk) || writes != 1 {
		t.Errorf("%v after %d writes", err, writes)
	}
}

type writeFunc func(b []byte) (int, error)

func (f writeFunc) Write(b []byte) (int, error) { return f(b) }
