package record

import (
	"errors"
	"fmt"
	"io"
	"sync"
)

// ReadAt fills b from offset off of r, at most up to limit, and returns the
// part of b that it filled: less than asked only where r ends. Whether r says
// io.EOF together with its last bytes or by itself makes no difference.
func ReadAt(r io.ReaderAt, b []byte, off, limit int64) ([]byte, error) {
	if left := limit - off; int64(len(b)) > left {
		b = b[:max(left, 0)]
	}
	n := 0
	for n < len(b) {
		k, err := r.ReadAt(b[n:], off+int64(n))
		if k < 0 || k > len(b)-n {
			return nil, fmt.Errorf("reading at offset %d: the reader returned the impossible count %d", off+int64(n), k)
		}
		n += k
		switch {
		case n == len(b) || errors.Is(err, io.EOF):
			return b[:n], nil
		case err != nil:
			return nil, fmt.Errorf("reading at offset %d: %w", off+int64(n), err)
		case k == 0:
			return nil, fmt.Errorf("reading at offset %d: %w", off+int64(n), io.ErrNoProgress)
		}
	}
	return b, nil
}

// An Entry is where a whole, valid entry stands in a log.
type Entry struct {
	Start int64 // of its first record
	End   int64 // of its last record
	Size  int64 // bytes of data
}

// walkBuffer is how much of a log is read at once where an entry is followed.
const walkBuffer = 8 * BlockSize

// buffers are for what is read here and not returned.
var buffers = sync.Pool{New: func() any { return new([walkBuffer]byte) }}

// FindEntry follows the entry whose first record is at offset start, checking
// every record. It reports false, and the offset of the first record that is
// not right, if there is no whole, valid entry before limit. The error, if
// any, is one of reading.
func FindEntry(r io.ReaderAt, start, limit int64) (e Entry, bad int64, ok bool, err error) {
	if start < 0 || Aligned(start) != start {
		return e, start, false, nil
	}
	buf := buffers.Get().(*[walkBuffer]byte)
	defer buffers.Put(buf)
	size := BlockSize
	e.Start = start
	var have []byte // bytes from pos on
	for pos := start; ; {
		left := int(BlockSize - pos%BlockSize)
		if len(have) < left {
			if have, err = ReadAt(r, buf[:size-int(pos%BlockSize)], pos, limit); err != nil {
				return e, pos, false, err
			}
			size = walkBuffer
		}
		h, sound := Verify(have[:min(left, len(have))])
		if !sound || h.Offset != uint64(pos-start) || h.Type != typeOf(pos == start, h.Type.Ends()) {
			return e, pos, false, nil
		}
		e.Size += int64(h.Length)
		pos += int64(h.Size())
		have = have[h.Size():]
		if h.Type.Ends() {
			e.End = pos
			return e, 0, true, nil
		}
		next := Aligned(pos)
		have = have[min(int(next-pos), len(have)):]
		pos = next
	}
}

// Covered reports whether position pos of the log in r lies inside a record that
// is sure to be one, so that no other record can start there.
func Covered(r io.ReaderAt, pos, limit int64) (bool, error) {
	in := pos % BlockSize
	if in == 0 {
		return false, nil
	}
	var b blockAt
	defer b.free()
	if _, err := b.load(r, pos-in, limit); err != nil {
		return false, err
	}
	return b.Covers(int(in)), nil
}
