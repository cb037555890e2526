package inspect

import (
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/stateio/stateio"
	"github.com/stateio/stateio/internal/entry"
	"github.com/stateio/stateio/internal/fsys"
	"github.com/stateio/stateio/internal/record"
	"github.com/stateio/stateio/logio"
)

// A file is what is inspected: the first limit bytes of r.
type file struct {
	r     io.ReaderAt
	limit int64
	path  string // for errors; empty when not known
}

// newFile returns the file in the first limit bytes of r.
func newFile(r io.ReaderAt, limit int64) (file, error) {
	f := file{r: r, limit: limit}
	if limit < 0 {
		return f, fmt.Errorf("inspect: the limit %d is negative", limit)
	}
	f.path, f.limit = fsys.Describe(r, limit)
	return f, nil
}

// fail returns what is reported for error err about offset off: damage if it
// comes from a log's reader, and otherwise that reading failed.
func (f file) fail(err error, off int64) error {
	switch {
	case errors.Is(err, logio.ErrCorrupted):
		return &stateio.CorruptError{Path: f.path, Offset: off, Err: err}
	case f.path == "":
		return fmt.Errorf("inspect: %w", err)
	}
	return fmt.Errorf("inspect: %s: %w", f.path, err)
}

// head returns the head of entry e, which was checked, and reports false if it
// has none.
func (f file) head(e record.Entry) (h entry.Head, ok bool, err error) {
	log := logio.NewReader(io.NewSectionReader(f.r, e.Start, e.End-e.Start), e.Start)
	data, err := log.Stream()
	if err != nil {
		return h, false, f.fail(err, e.Start)
	}
	var b [entry.HeadSize]byte
	n, err := io.ReadFull(data, b[:])
	if err != nil && !errors.Is(err, io.ErrUnexpectedEOF) && !errors.Is(err, io.EOF) {
		return h, false, f.fail(err, e.Start)
	}
	h, _, ok = entry.Split(b[:n])
	return h, ok, nil
}

// zeroAt reports whether there are zeros in the place of a record's header, or nothing.
func (f file) zeroAt(off int64) bool {
	var buf [record.HeaderSize]byte
	b, err := record.ReadAt(f.r, buf[:], off, f.limit)
	return err == nil && record.Zero(b)
}

// leading returns how many blocks' worth of bytes the file begins with that are
// zeros, up to limit, as [stateio.Truncate] leaves them.
func (f file) leading(limit int64) (int64, error) {
	start := int64(0)
	if osf, ok := f.r.(*os.File); ok {
		start = min(firstData(osf), limit)
	}
	buf := make([]byte, readSize)
	for start -= start % record.BlockSize; start < limit; {
		b, err := record.ReadAt(f.r, buf, start, limit)
		if err != nil {
			return 0, f.fail(err, start)
		}
		if len(b) == 0 {
			return start, nil // r is shorter than was said
		}
		for len(b) > 0 {
			n := min(record.BlockSize, len(b))
			if !record.Zero(b[:n]) {
				return start, nil
			}
			b, start = b[n:], start+int64(n)
		}
	}
	return limit, nil
}
