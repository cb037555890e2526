package logio

import (
	"errors"
	"fmt"
	"io"
	"slices"

	"github.com/stateio/stateio/internal/record"
)

// keepScratch is the largest buffer, in bytes, that is kept between entries.
const keepScratch = 8 << 20

// errNegative reports an offset that no log has.
var errNegative = errors.New("negative offset")

// Append writes data as one entry to w, which is at offset off of the log, and
// returns the number of bytes written, padding included: the next entry goes
// to off plus nwrite. It makes exactly one call to w.Write, and none for an
// empty entry, which does not exist in a log.
//
// The records are built in scratch, if its capacity suffices for all of them
// (2 x [Blocksz] is enough for any entry of up to 32,753 bytes, 15 bytes more
// than data otherwise for each 32,753 bytes of it and one block); else, nil
// included, in memory that Append allocates. Neither slice is kept.
//
// The errors are those of w, and [io.ErrShortWrite] if w takes less without
// saying why. After an error, the log may end in a torn entry.
func Append(w io.Writer, off int64, data, scratch []byte) (nwrite int, err error) {
	if off < 0 {
		return 0, fmt.Errorf("logio: appending at offset %d: %w", off, errNegative)
	}
	if len(data) == 0 {
		return 0, nil
	}
	if need := record.EntrySize(off, int64(len(data))); int64(cap(scratch)) < need {
		scratch = make([]byte, 0, need)
	}
	b := record.AppendEntry(scratch[:0], off, nil, data)
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

// A Writer appends entries to a log. It is not safe for concurrent use.
type Writer struct {
	w       io.Writer
	off     int64 // where w is; the next entry begins at Aligned(off)
	scratch []byte
	err     error // the first one, final
}

// NewWriter returns a writer of entries to w, which is at offset off of the log.
func NewWriter(w io.Writer, off int64) *Writer {
	wr := &Writer{w: w, off: off}
	if off < 0 {
		wr.err = fmt.Errorf("logio: writing at offset %d: %w", off, errNegative)
	}
	return wr
}

// Append writes data as one entry with one call to the underlying writer. It
// does not keep data, and allocates nothing in the steady state. An empty
// entry is not written.
//
// The first error, the underlying writer's or [io.ErrShortWrite], is final:
// the log may end in a torn entry, behind which nothing may be written, so
// every later call returns it too.
func (w *Writer) Append(data []byte) error {
	if w.err != nil || len(data) == 0 {
		return w.err
	}
	if cap(w.scratch) < record.Room(len(data)) {
		w.reserve(record.Room(len(data)))
	}
	b := record.AppendEntry(w.scratch[:0], w.off, nil, data)
	n, err := w.w.Write(b)
	w.off += int64(n)
	if err != nil || n != len(b) || cap(b) > keepScratch {
		return w.settle(n, len(b), err)
	}
	return nil
}

// Tell returns the offset at which the next entry will begin.
func (w *Writer) Tell() int64 { return Aligned(w.off) }

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
