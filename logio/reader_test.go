package logio_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/stateio/stateio/internal/record"
	"github.com/stateio/stateio/logio"
)

func TestReadGivesWhatWasWritten(t *testing.T) {
	for seed := range uint64(count(200)) {
		m := randomModel(rand.New(rand.NewPCG(seed, 2)), 30)
		expect(t, m.file, 0, m.datas(0)...)
		for i, e := range m.entries {
			if i%5 == 0 {
				expect(t, m.file, e.start, m.datas(i)...)
			}
		}
	}
}

// Entries of 1 to 128 KiB, as programs for the original package write them.
func TestEntriesFrom1To128KiB(t *testing.T) {
	m := &model{}
	for size := 1; size <= 128<<10; size += 1 + size/7 {
		m.add(bytesOf(uint64(size), size))
	}
	m.add(bytesOf(0, 128<<10))
	expect(t, m.file, 0, m.datas(0)...)
}

// Every size around a block's end, written at every room near it.
func TestEverySizeNearABlockEnd(t *testing.T) {
	for room := block - 40; room <= block; room++ {
		for size := block - 80; size < block+40; size += 7 {
			m := (&model{}).add(bytesOf(1, room-15), bytesOf(2, size), bytesOf(3, 2*block-size), bytesOf(4, 1))
			expect(t, m.file, 0, m.datas(0)...)
		}
	}
}

func TestOffsetIsWhereTheEntryStarts(t *testing.T) {
	m := randomModel(rand.New(rand.NewPCG(9, 9)), 300)
	r := logio.NewReader(bytes.NewReader(m.file), 0)
	for i, e := range m.entries {
		if _, err := r.Read(); err != nil || r.Offset() != e.start {
			t.Fatalf("entry %d: at %d, %v, want %d", i, r.Offset(), err, e.start)
		}
	}
	if _, err := r.Read(); err != io.EOF || r.Offset() != int64(len(m.file)) {
		t.Fatalf("at the end: %d, %v, want %d", r.Offset(), err, len(m.file))
	}
}

// How the source cuts its reads makes no difference: G25.
func TestHowTheSourceReadsMakesNoDifference(t *testing.T) {
	m := randomModel(rand.New(rand.NewPCG(3, 3)), 40)
	m.file = append(m.file, make([]byte, 100)...)
	for name, wrap := range map[string]func(io.Reader) io.Reader{
		"one byte":      iotest.OneByteReader,
		"half":          iotest.HalfReader,
		"data with EOF": iotest.DataErrReader,
		"empty reads":   func(r io.Reader) io.Reader { return &lazy{r: r} },
	} {
		t.Run(name, func(t *testing.T) {
			got := readAll(t, logio.NewReader(wrap(bytes.NewReader(m.file)), 0))
			for i, e := range m.entries {
				if i >= len(got) || !bytes.Equal(got[i], e.data) {
					t.Fatalf("entry %d is wrong", i)
				}
			}
		})
	}
}

// lazy returns nothing at all every other time.
type lazy struct {
	r    io.Reader
	busy bool
}

func (l *lazy) Read(b []byte) (int, error) {
	if l.busy = !l.busy; l.busy {
		return 0, nil
	}
	return l.r.Read(b)
}

func TestASourceThatGivesNothingIsAnError(t *testing.T) {
	if _, err := logio.NewReader(liar{0}, 0).Read(); !errors.Is(err, io.ErrNoProgress) {
		t.Errorf("got %v, want io.ErrNoProgress", err)
	}
}

// growing is a log that grows once it was read to its end.
type growing struct{ bytes.Buffer }

// io.EOF is for good, also when the log has grown since; Reset reads on: G21.
func TestEOFIsForGood(t *testing.T) {
	m := (&model{}).add([]byte("one"), []byte("two"))
	src := &growing{}
	src.Write(m.file)
	r := logio.NewReader(src, 0)
	readAll(t, r)
	m.add([]byte("three"))
	src.Write(m.file[m.entries[2].start:])
	for range 3 {
		if b, err := r.Read(); err != io.EOF {
			t.Fatalf("got %q, %v after io.EOF", b, err)
		}
	}
	r.Reset(src, m.entries[2].start)
	if b, err := r.Read(); err != nil || string(b) != "three" || r.Offset() != m.entries[2].start {
		t.Fatalf("after Reset: %q, %v", b, err)
	}
}

// moody fails at every nth read once.
type moody struct {
	r    io.Reader
	n, i int
}

func (m *moody) Read(b []byte) (int, error) {
	if m.i++; m.i%m.n == 0 {
		return 0, errDisk
	}
	return m.r.Read(b[:min(len(b), 1000)])
}

// A read error that passes loses no entry and gives none twice, whether entries
// are read whole or as streams: G22.
func TestAReadErrorIsRetriedWhereItHappened(t *testing.T) {
	m := randomModel(rand.New(rand.NewPCG(4, 4)), 200)
	for n := 2; n < 8; n++ {
		for _, stream := range []bool{false, true} {
			r := logio.NewReader(&moody{r: bytes.NewReader(m.file), n: n}, 0)
			failed := 0
			for i := 0; i < len(m.entries); {
				b, err := retryStream(r, stream)
				if errors.Is(err, errDisk) {
					failed++
					continue
				}
				if err != nil || !bytes.Equal(b, m.entries[i].data) || r.Offset() != m.entries[i].start {
					t.Fatalf("entry %d: %d bytes at %d, %v", i, len(b), r.Offset(), err)
				}
				i++
			}
			if failed == 0 && !stream {
				t.Fatal("no read failed")
			}
		}
	}
}

// retryStream reads an entry; a stream it reads through its errors.
func retryStream(r *logio.Reader, stream bool) (all []byte, err error) {
	if !stream {
		return r.Read()
	}
	s, err := r.Stream()
	if err != nil {
		return nil, err
	}
	var b [777]byte
	for {
		n, err := s.Read(b[:])
		all = append(all, b[:n]...)
		if err == io.EOF {
			return all, nil
		}
		if err != nil && !errors.Is(err, errDisk) {
			return nil, err
		}
	}
}

func TestReadErrorsNameTheOffset(t *testing.T) {
	m := (&model{}).add(bytesOf(1, 3*block))
	_, err := logio.NewReader(io.MultiReader(bytes.NewReader(m.file[:40_000]), iotest.ErrReader(errDisk)), 0).Read()
	if !errors.Is(err, errDisk) || !bytes.Contains([]byte(err.Error()), []byte("offset 40000")) {
		t.Errorf("got %v", err)
	}
}

// The slice that Read returns is the reader's: what the caller appends to it
// does not reach the next entry.
func TestAppendingToAnEntryHarmsNoOther(t *testing.T) {
	m := (&model{}).add([]byte("one"), []byte("two"), []byte("three"))
	r := logio.NewReader(bytes.NewReader(m.file), 0)
	for _, e := range m.entries {
		b, err := r.Read()
		if err != nil || !bytes.Equal(b, e.data) {
			t.Fatalf("got %q, %v, want %q", b, err, e.data)
		}
		_ = append(b, make([]byte, 100)...)
	}
}

func TestTheZeroFilledEndOfAFileIsAnEnd(t *testing.T) {
	for _, zeros := range []int{1, 14, 15, 16, 17, block - 1, block, block + 1, 3 * block, 1 << 20} {
		for _, size := range []int{1, 100, block - 15, block - 30, block - 31, block - 29, block} {
			m := (&model{}).add(bytesOf(1, size))
			file := append(m.file, make([]byte, zeros)...)
			expect(t, file, 0, m.datas(0)...)
			r := logio.NewReader(bytes.NewReader(file), 0)
			readAll(t, r)
			if at := r.Offset(); logio.Aligned(at) != logio.Aligned(m.entries[0].end) {
				t.Fatalf("%d zeros after %d bytes: the end is said to be at %d", zeros, len(m.file), at)
			}
		}
	}
}

func TestZerosAmongEntriesAreDamage(t *testing.T) {
	for _, blocks := range []int{1, 2, 9} {
		m := (&model{}).add(bytesOf(1, 100))
		m.file = append(m.file, make([]byte, blocks*block-len(m.file))...)
		m.add([]byte("after"))
		expect(t, m.file, 0, m.entries[0].data, nil, m.entries[1].data)
		r := logio.NewReader(bytes.NewReader(m.file), 0)
		if _, err := r.Read(); err != nil {
			t.Fatal(err)
		}
		if _, err := r.Read(); err != logio.ErrCorrupted || r.Offset() != m.entries[0].end {
			t.Fatalf("got %v at %d, want damage at %d", err, r.Offset(), m.entries[0].end)
		}
	}
}

// Memory is bounded by the limit, not by what the log says: G28.
func TestAnEntryOverTheLimitIsRefusedInBoundedMemory(t *testing.T) {
	endless := &endlessEntry{}
	r := logio.NewReader(io.LimitReader(endless, 200<<20), 0)
	r.SetMaxEntry(1 << 20)
	if allocated := allocatedBy(func() {
		if b, err := r.Read(); err != logio.ErrTooLong || r.Offset() != 0 {
			t.Fatalf("got %d bytes, %v at %d", len(b), err, r.Offset())
		}
	}); allocated > 8<<20 {
		t.Errorf("reading an entry of 200 MB with a limit of 1 MiB allocated %d MiB", allocated>>20)
	}
	if b, err := r.Read(); err != io.EOF {
		t.Fatalf("after it: %d bytes, %v", len(b), err)
	}
}

// A long entry's buffer is not kept for ever; the entries after are whole.
func TestLongEntriesAreFollowedByOthers(t *testing.T) {
	m := (&model{}).add(bytesOf(1, 9<<20), bytesOf(2, 100_000), []byte("short"), bytesOf(3, 40_000))
	expect(t, m.file, 0, m.datas(0)...)
}

// endlessEntry is a log of one FIRST and MIDDLE records without end.
type endlessEntry struct {
	n    uint64
	rest []byte
}

func (e *endlessEntry) Read(b []byte) (int, error) {
	if len(e.rest) == 0 {
		kind := byte(3)
		if e.n == 0 {
			kind = 2
		}
		e.rest = appendRecord(e.rest[:0], kind, e.n, make([]byte, block-15))
		e.n += block
	}
	n := copy(b, e.rest)
	e.rest = e.rest[n:]
	return n, nil
}

func TestEntriesBehindOneOverTheLimitAreRead(t *testing.T) {
	m := (&model{}).add([]byte("one"), bytesOf(1, 200_000), []byte("three"), bytesOf(2, 1001), bytesOf(3, 1000))
	r := logio.NewReader(bytes.NewReader(m.file), 0)
	r.SetMaxEntry(1000)
	for i, e := range m.entries {
		b, err := r.Read()
		if len(e.data) > 1000 {
			if err != logio.ErrTooLong || r.Offset() != e.start {
				t.Fatalf("entry %d: %d bytes, %v at %d", i, len(b), err, r.Offset())
			}
		} else if err != nil || !bytes.Equal(b, e.data) {
			t.Fatalf("entry %d: %d bytes, %v", i, len(b), err)
		}
	}
	r.SetMaxEntry(0)
	r.Reset(bytes.NewReader(m.file), 0)
	if got := readAll(t, r); len(got) != 5 || got[1] == nil {
		t.Fatalf("without a limit: %s", got)
	}
}

// A step is what one call of Read gives.
type step struct {
	data []byte
	n    int // more than there is of data
	err  error
}

// steps gives one after the other, then io.EOF.
type steps []step

func (s *steps) Read(b []byte) (int, error) {
	if len(*s) == 0 {
		return 0, io.EOF
	}
	next := &(*s)[0]
	n := copy(b, next.data)
	if next.data = next.data[n:]; len(next.data) > 0 {
		return n, nil
	}
	n, err := n+next.n, next.err
	*s = (*s)[1:]
	return n, err
}

// Where reading failed is told, in every block of the buffer.
func TestErrorsOfTheSourceNameTheOffset(t *testing.T) {
	file := (&model{}).add(bytesOf(1, 6*block)).file
	for _, at := range []int{0, 10, block + 20, 3*block + 30, 5*block + 40} {
		for _, c := range []struct {
			then []step
			want error
		}{{[]step{{err: errDisk}}, errDisk}, {make([]step, 200), io.ErrNoProgress}} {
			src := append(steps{{data: file[:at]}}, c.then...)
			_, err := logio.NewReader(&src, 0).Read()
			if where := fmt.Sprintf("offset %d: ", at); !errors.Is(err, c.want) || !strings.Contains(err.Error(), where) {
				t.Errorf("got %v, want %v at %d", err, c.want, at)
			}
		}
	}
	src := steps{{data: file[:block+20]}, {n: 8 * block}} // 20 bytes more than there is room for
	if _, err := logio.NewReader(&src, 0).Read(); err == nil || !strings.Contains(err.Error(), "impossible count") {
		t.Errorf("a count that is impossible: %v", err)
	}
}

// A log is read in pieces of up to 256 KiB, at first of one block.
func TestHowMuchIsReadAtOnce(t *testing.T) {
	file := bytes.NewReader((&model{}).add(bytesOf(1, 40*block)).file)
	var sizes []int
	r := logio.NewReader(readFunc(func(b []byte) (int, error) {
		sizes = append(sizes, len(b))
		return file.Read(b)
	}), 0)
	if _, err := r.Read(); err != nil || sizes[0] != block || slices.Max(sizes) != 8*block || len(sizes) > 10 {
		t.Errorf("%v: reads of %d bytes", err, sizes)
	}
}

type readFunc func(b []byte) (int, error)

func (f readFunc) Read(b []byte) (int, error) { return f(b) }

// The limit is the length of the longest entry that is accepted, in one record
// and in more.
func TestTheLimitIsTheLongestEntry(t *testing.T) {
	for _, n := range []int{1, 2, 1000, 40_000, 100_000} {
		m := (&model{}).add(bytesOf(1, n), bytesOf(2, n+1), []byte{3})
		r := logio.NewReader(bytes.NewReader(m.file), 0)
		r.SetMaxEntry(int64(n))
		if b, err := r.Read(); err != nil || len(b) != n {
			t.Errorf("an entry of %d bytes: %d, %v", n, len(b), err)
		}
		if b, err := r.Read(); err != logio.ErrTooLong {
			t.Errorf("an entry of %d bytes and one: %d, %v", n, len(b), err)
		}
		if b, err := r.Read(); err != nil || len(b) != 1 {
			t.Errorf("after it: %d, %v", len(b), err)
		}
	}
}

// An entry that is too long hides no damage after it.
func TestDamageBehindAnEntryOverTheLimitIsTold(t *testing.T) {
	for _, n := range []int{1000, 40_000, 100_000} {
		m := (&model{}).add(bytesOf(1, n), bytesOf(2, 50))
		m.file[m.entries[1].start+20] ^= 1
		r := logio.NewReader(bytes.NewReader(m.file), 0)
		r.SetMaxEntry(100)
		if _, err := r.Read(); err != logio.ErrTooLong {
			t.Fatal(err)
		}
		if _, err := r.Read(); err != logio.ErrCorrupted || r.Offset() != m.entries[1].start {
			t.Errorf("after an entry of %d bytes: %v at %d", n, err, r.Offset())
		}
	}
}

// What is left of another entry is damage after every entry, be it read, too long,
// or a stream.
func TestTheRestOfAnotherEntryIsDamage(t *testing.T) {
	m := (&model{}).add(bytesOf(1, 100), bytesOf(2, 200))
	end := int64(len(m.file))
	file := appendRecord(m.file, 4, uint64(end), []byte("rest"))
	for _, stream := range []bool{false, true} {
		r := logio.NewReader(bytes.NewReader(file), 0)
		r.SetMaxEntry(150)
		next := func() (err error) { _, err = r.Read(); return err }
		if stream {
			next = func() (err error) { _, err = r.Stream(); return err }
		}
		first, second, third := next(), next(), next()
		if first != nil || !stream && second != logio.ErrTooLong || third != logio.ErrCorrupted || r.Offset() != end {
			t.Errorf("streams: %v: %v, %v, %v at %d", stream, first, second, third, r.Offset())
		}
	}
}

// A Reader that NewReader has not made reads what one of NewReader does, as in the original.
func TestTheZeroReaderIsReadyForReset(t *testing.T) {
	m := (&model{}).add(bytesOf(1, 100), bytesOf(2, 3*block))
	var r logio.Reader
	r.Reset(bytes.NewReader(m.file), 0)
	if got := readAll(t, &r); len(got) != 2 || !bytes.Equal(got[0], m.entries[0].data) || !bytes.Equal(got[1], m.entries[1].data) {
		t.Errorf("got %d entries", len(got))
	}
	r = logio.Reader{}
	r.SetMaxEntry(100)
	r.Reset(bytes.NewReader(m.file), 0)
	_, first := r.Read()
	if _, second := r.Read(); first != nil || second != logio.ErrTooLong {
		t.Errorf("with a limit: %v, %v", first, second)
	}
}

// A large buffer is not kept for entries that do not need it.
func TestALargeBufferIsNotKept(t *testing.T) {
	m := (&model{}).add(bytesOf(1, 9<<20), bytesOf(2, 2*block))
	r := logio.NewReader(bytes.NewReader(m.file), 0)
	for range m.entries {
		b, err := r.Read()
		if err != nil || len(b) < 9<<20 && cap(b) > 8<<20 {
			t.Errorf("an entry of %d bytes in a buffer of %d, %v", len(b), cap(b), err)
		}
	}
	w := logio.NewWriter(io.Discard, 0)
	if n := testing.AllocsPerRun(1, func() { _ = w.Append(m.entries[0].data) }); n == 0 {
		t.Error("the writer keeps a buffer of over 9 MiB")
	}
}

// Zeros at a log's very start, too, are damage from there, or its end.
func TestZerosAtTheStart(t *testing.T) {
	file := make([]byte, 3*block)
	r := logio.NewReader(bytes.NewReader(file), 0)
	if _, err := r.Read(); err != io.EOF || r.Offset() != 0 {
		t.Errorf("nothing else: %v at %d", err, r.Offset())
	}
	m := (&model{file: file}).add([]byte("after"))
	r = logio.NewReader(bytes.NewReader(m.file), 0)
	if _, err := r.Read(); err != logio.ErrCorrupted || r.Offset() != 0 {
		t.Errorf("before an entry: %v at %d", err, r.Offset())
	}
	if b, err := r.Read(); string(b) != "after" || r.Offset() != 3*block {
		t.Errorf("the entry: %q, %v at %d", b, err, r.Offset())
	}
	if _, err := r.Read(); err != io.EOF || r.Offset() != int64(len(m.file)) {
		t.Errorf("the end: %v at %d, want %d", err, r.Offset(), len(m.file))
	}
}

// While reading fails, Offset is that of the entry returned last.
func TestOffsetAfterAReadError(t *testing.T) {
	m := (&model{}).add(bytesOf(1, block-15), []byte("far"))
	r := logio.NewReader(&steps{{data: m.file[:block]}, {err: errDisk}, {data: m.file[block:]}}, 0)
	for _, c := range []struct {
		err error
		at  int64
	}{{nil, 0}, {errDisk, 0}, {nil, block}} {
		if _, err := r.Read(); !errors.Is(err, c.err) || r.Offset() != c.at {
			t.Fatalf("got %v at %d, want %v at %d", err, r.Offset(), c.err, c.at)
		}
	}
}

// blocks is a source that verifies what it gives, block by block. It fails once
// before each.
type blocks struct {
	io.Reader // not used
	file      []byte
	failed    bool
}

func (b *blocks) Block() ([]byte, int, error) {
	if len(b.file) == 0 {
		return nil, 0, io.EOF
	}
	if b.failed = !b.failed; b.failed {
		return nil, 0, errDisk
	}
	next := b.file[:min(block, len(b.file))]
	b.file = b.file[len(next):]
	sound, _ := record.Sound(next)
	return next, sound, nil
}

func (b *blocks) ReadPast(p []byte) int {
	n := copy(p, b.file)
	b.file = b.file[n:]
	return n
}

func TestASourceThatVerifiesGivesBlocks(t *testing.T) {
	m := (&model{}).add(bytesOf(1, 100), bytesOf(2, 3*block), bytesOf(3, 100))
	r := logio.NewReader(&blocks{file: m.file}, 0)
	for _, e := range m.entries {
		b, err := r.Read()
		for ; errors.Is(err, errDisk); b, err = r.Read() {
			if !strings.HasPrefix(err.Error(), "logio: ") {
				t.Errorf("got %v", err)
			}
		}
		if err != nil || !bytes.Equal(b, e.data) || r.Offset() != e.start {
			t.Fatalf("%d bytes at %d, %v", len(b), r.Offset(), err)
		}
	}
	if _, err := r.Read(); err != io.EOF {
		t.Errorf("at the end: %v", err)
	}
}
