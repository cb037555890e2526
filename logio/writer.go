package logio

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"slices"
	"unsafe"

	"github.com/stateio/stateio/internal/record"
)

// keepScratch is the largest buffer, in bytes, that is kept between entries.
const keepScratch = 8 << 20

// maxOffset is the largest offset at which a log is written: what is appended then does not
// come to where an int64 ends.
const maxOffset = 1 << 62

var (
	// errNegative and errTooFar report offsets that no log has.
	errNegative = errors.New("negative offset")
	errTooFar   = errors.New("offset beyond 1<<62, where no log is written")
	// errNotReturned is the error of a Writer while it calls the user's code, and stays if
	// that does not return.
	errNotReturned = errors.New("logio: an earlier call of this writer has not returned: it goes on, or a panic or runtime.Goexit in what it called has ended it, " +
		"and the log may end in a torn entry: open the log anew")
)

// checkOffset returns an error for an offset at which nothing can be appended.
func checkOffset(off int64) error {
	switch {
	case off < 0:
		return errNegative
	case off > maxOffset:
		return errTooFar
	}
	return nil
}

// Append writes data as one entry to w, which is at offset off of the log, and
// returns the number of bytes written, padding included: the next entry goes
// to off plus nwrite. It makes exactly one call to w.Write, and none for an
// empty entry, which does not exist in a log.
//
// The records are built in w itself, if it is a [bytes.Buffer] or
// [bufio.Writer] that has room for all of them; else in scratch, if its
// capacity suffices (2 x [Blocksz] is enough for any entry of up to 32,753
// bytes, 15 bytes more than data otherwise for each 32,753 bytes of it and one
// block) and data is not in it; else, nil included, in memory that Append
// allocates. Neither slice is kept.
//
// The errors are those of w, and [io.ErrShortWrite] if w takes less without
// saying why. After an error, the log may end in a torn entry.
func Append(w io.Writer, off int64, data, scratch []byte) (nwrite int, err error) {
	if err := checkOffset(off); err != nil {
		return 0, fmt.Errorf("logio: appending at offset %d: %w", off, err)
	}
	if len(data) == 0 {
		return 0, nil
	}
	need := record.EntrySize(off, int64(len(data)))
	b := free(bufferOf(w), need, data)
	switch {
	case b != nil:
	case fits(scratch, need, data):
		b = scratch[:0]
	default:
		b = make([]byte, 0, need)
	}
	b = record.AppendEntry(b, off, nil, data)
	nwrite, err = w.Write(b)
	return nwrite, checkWrite(nwrite, len(b), err)
}

// checkWrite returns the error of a write of want bytes that returned n and err.
func checkWrite(n, want int, err error) error {
	switch {
	case n < 0 || n > want:
		return fmt.Errorf("logio: the writer returned the impossible count %d for %d bytes", n, want)
	case err == nil && n < want:
		return io.ErrShortWrite
	}
	return err
}

// A buffer is a writer that copies what is written to it after what it holds,
// and shows the memory in which that will be.
type buffer interface{ AvailableBuffer() []byte }

// bufferOf returns w, if it is a buffer. That it has the method does not make it
// one: a type that embeds a bufio.Writer, and whose Write puts something of
// its own in front, would write that over the entry.
func bufferOf(w io.Writer) buffer {
	switch w := w.(type) {
	case *bytes.Buffer:
		return w
	case *bufio.Writer:
		return w
	}
	return nil
}

// free returns the free memory of buf, empty, for need bytes that hold data. It
// returns nil if that is too little or buf is nil, and if data itself is there,
// made by the caller that asked for that memory before: it would be written over while it
// is copied.
func free(buf buffer, need int64, data []byte) []byte {
	if buf == nil {
		return nil
	}
	if b := buf.AvailableBuffer(); fits(b, need, data) {
		return b
	}
	return nil
}

// fits reports whether b has the capacity for need bytes, and data is not in it.
func fits(b []byte, need int64, data []byte) bool {
	return int64(cap(b)) >= need && !overlap(b[:need], data)
}

// overlap reports whether a and b, which are not empty, share memory.
func overlap(a, b []byte) bool {
	return uintptr(unsafe.Pointer(&a[0])) <= uintptr(unsafe.Pointer(&b[len(b)-1])) &&
		uintptr(unsafe.Pointer(&b[0])) <= uintptr(unsafe.Pointer(&a[len(a)-1]))
}

// A Writer appends entries to a log. It is not safe for concurrent use.
type Writer struct {
	w       io.Writer
	buf     buffer // w, if it is one
	off     int64  // where w is; the next entry begins at Aligned(off)
	scratch []byte
	err     error // the first one, final; errNotReturned while w or a source is called
}

// NewWriter returns a writer of entries to w, which is at offset off of the log. One at a
// negative offset, or beyond 1<<62, writes nothing.
func NewWriter(w io.Writer, off int64) *Writer {
	wr := &Writer{w: w, buf: bufferOf(w), off: off}
	if err := checkOffset(off); err != nil {
		wr.err = fmt.Errorf("logio: writing at offset %d: %w", off, err)
	}
	return wr
}

// Append writes data as one entry with one call to the underlying writer. It
// does not keep data, and allocates nothing in the steady state. An empty
// entry is not written. The entry is copied once if the writer is a
// [bytes.Buffer] or [bufio.Writer] with room for it, and once more if not.
//
// The first error, the underlying writer's or [io.ErrShortWrite], is final:
// the log may end in a torn entry, after which nothing may be written, so
// every later call returns it too. The same holds when the underlying writer panics, or
// ends the goroutine; and for a call that it makes of this writer, which is refused.
func (w *Writer) Append(data []byte) error {
	if w.err != nil || len(data) == 0 {
		return w.err
	}
	b := record.AppendEntry(w.room(data), w.off, nil, data)
	w.err = errNotReturned
	n, err := w.w.Write(b)
	w.off += int64(n)
	if err != nil || n != len(b) || cap(w.scratch) > keepScratch {
		return w.settle(n, len(b), err)
	}
	w.err = nil
	return nil
}

// Tell returns the offset at which the next entry will begin.
func (w *Writer) Tell() int64 { return Aligned(w.off) }

// room returns an empty buffer that holds data as an entry.
func (w *Writer) room(data []byte) []byte {
	n := len(data)
	if w.buf != nil {
		if b := free(w.buf, record.EntrySize(w.off, int64(n)), data); b != nil {
			return b
		}
	}
	if cap(w.scratch) < record.Room(n) {
		w.reserve(record.Room(n))
	}
	return w.scratch[:0]
}

// reserve makes room for n bytes in the empty scratch buffer.
func (w *Writer) reserve(n int) { w.scratch = slices.Grow(w.scratch[:0], n) }

// flush writes the records in b, which is the scratch buffer.
func (w *Writer) flush(b []byte) error {
	n, err := w.w.Write(b)
	w.off += int64(n)
	return w.settle(n, len(b), err)
}

// settle ends a write of want bytes from the scratch buffer, that returned n
// and err.
func (w *Writer) settle(n, want int, err error) error {
	if cap(w.scratch) > keepScratch {
		w.scratch = nil
	}
	w.err = checkWrite(n, want, err)
	return w.err
}
