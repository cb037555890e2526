package logio_test

import (
	"bufio"
	"bytes"
	"io"
	"math/rand/v2"
	"testing"

	"github.com/stateio/stateio/logio"
)

// A numbered writer is the kind that embeds a bufio.Writer, whose memory it thus
// shows, and writes something of its own before what it is given.
type numbered struct {
	*bufio.Writer
	calls byte
}

func (w *numbered) Write(p []byte) (int, error) {
	w.calls++
	if err := w.WriteByte(w.calls); err != nil {
		return 0, err
	}
	return w.Writer.Write(p)
}

// appendAll appends the entries of m to w, by a Writer or one by one.
func appendAll(t *testing.T, w io.Writer, m *model, oneByOne bool) {
	t.Helper()
	wr, off := logio.NewWriter(w, 0), int64(0)
	for _, e := range m.entries {
		if !oneByOne {
			if err := wr.Append(e.data); err != nil {
				t.Fatal(err)
			}
			continue
		}
		n, err := logio.Append(w, off, e.data, nil)
		if err != nil {
			t.Fatal(err)
		}
		off += int64(n)
	}
}

func TestEntriesBuiltInTheWritersBufferAreTheSame(t *testing.T) {
	for seed := range uint64(count(100)) {
		m := randomModel(rand.New(rand.NewPCG(seed, 7)), 30)
		for _, oneByOne := range []bool{false, true} {
			for _, room := range []int{0, 100, 1 << 10, 60 << 10, len(m.file) - 1, len(m.file)} {
				var buf, under bytes.Buffer
				buf.Grow(room)
				appendAll(t, &buf, m, oneByOne)
				bw := bufio.NewWriterSize(&under, room)
				appendAll(t, bw, m, oneByOne)
				if err := bw.Flush(); err != nil {
					t.Fatal(err)
				}
				if !bytes.Equal(buf.Bytes(), m.file) || !bytes.Equal(under.Bytes(), m.file) {
					t.Fatalf("seed %d, room for %d bytes: the log is not the format's", seed, room)
				}
			}
		}
	}
}

// What a bytes.Buffer held before is not touched, read or not.
func TestAnEntryIsBuiltBehindWhatTheBufferHolds(t *testing.T) {
	m := (&model{}).add(bytesOf(1, 1000), bytesOf(2, block), bytesOf(3, 9))
	var buf bytes.Buffer
	buf.Grow(4 * block)
	buf.WriteString("read, not read")
	buf.Next(len("read, "))
	appendAll(t, &buf, m, false)
	if want := "not read" + string(m.file); buf.String() != want {
		t.Fatal("the buffer's content is not what was there and the entries")
	}
}

func TestAWriterThatPutsSomethingInFrontOfTheEntry(t *testing.T) {
	m := (&model{}).add(bytesOf(1, 100), bytesOf(2, 20), bytesOf(3, 3))
	for _, oneByOne := range []bool{false, true} {
		var want, got bytes.Buffer
		for i, e := range m.entries {
			want.WriteByte(byte(i + 1))
			want.Write(m.file[e.start:e.end])
		}
		w := &numbered{Writer: bufio.NewWriter(&got)}
		appendAll(t, w, m, oneByOne)
		if err := w.Flush(); err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(got.Bytes(), want.Bytes()) {
			t.Fatalf("got % x,\nwant % x", got.Bytes(), want.Bytes())
		}
	}
}

// An entry may be made where the writer shows its memory, and be handed over to
// Append instead of Write.
func TestAnEntryThatWasMadeInTheWritersBuffer(t *testing.T) {
	for _, size := range []int{1, 7, 8, 100, 5000, 2 * block} {
		for _, at := range []int{0, 3, size / 2} { // where it begins in that memory
			for _, oneByOne := range []bool{false, true} {
				var under bytes.Buffer
				var buf bytes.Buffer
				buf.Grow(5 * block)
				bw := bufio.NewWriterSize(&under, 5*block)
				for _, w := range []interface {
					io.Writer
					AvailableBuffer() []byte
				}{&buf, bw} {
					data := append(append(w.AvailableBuffer(), make([]byte, at)...), bytesOf(1, size)...)[at:]
					appendAll(t, w, &model{entries: []entry{{data: data}}}, oneByOne)
				}
				if err := bw.Flush(); err != nil {
					t.Fatal(err)
				}
				want := (&model{}).add(bytesOf(1, size)).file
				if !bytes.Equal(buf.Bytes(), want) || !bytes.Equal(under.Bytes(), want) {
					t.Fatalf("an entry of %d bytes, made at %d of the free memory, is not what was appended", size, at)
				}
			}
		}
	}
}

func TestAnEntryThatWasMadeInScratch(t *testing.T) {
	for _, size := range []int{1, 8, 100, 2 * block} {
		scratch := append(make([]byte, 0, 5*block), bytesOf(1, size)...)
		var got calls
		if _, err := logio.Append(&got, 0, scratch, scratch); err != nil {
			t.Fatal(err)
		}
		if want := (&model{}).add(bytesOf(1, size)).file; !bytes.Equal(got.bytes(), want) {
			t.Fatalf("an entry of %d bytes, made in scratch, is not what was appended", size)
		}
	}
}

func TestAppendToABufferWithRoomDoesNotAllocate(t *testing.T) {
	for _, size := range []int{16, 1000, 100_000} {
		data := bytesOf(1, size)
		var buf bytes.Buffer
		buf.Grow(size + 2*block)
		if n := testing.AllocsPerRun(300, func() {
			buf.Reset()
			_, _ = logio.Append(&buf, 0, data, nil)
		}); n != 0 {
			t.Errorf("Append of %d bytes allocates %v times", size, n)
		}
		if n := testing.AllocsPerRun(300, func() {
			buf.Reset()
			_ = logio.NewWriter(&buf, 0).Append(data)
		}); n > 1 {
			t.Errorf("a Writer and its Append of %d bytes allocate %v times: more than the Writer", size, n)
		}
	}
}
