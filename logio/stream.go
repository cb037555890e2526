package logio

import (
	"errors"
	"fmt"
	"io"

	"github.com/stateio/stateio/internal/record"
)

// streamBytes is how much of a streamed entry is written at once.
const streamBytes = 8 * Blocksz

// AppendFrom writes all that src gives as one entry, however long, with memory
// for 256 KiB, and returns the number of bytes read. An empty src writes no
// entry.
//
// The errors are those of src and of the underlying writer. An error after
// part of the entry was written is final, as with [Writer.Append]: the log
// ends in an unfinished entry. If src fails before, the log and the writer
// are as they were. A panic of src is final whenever it comes, and so is runtime.Goexit.
func (w *Writer) AppendFrom(src io.Reader) (n int64, err error) {
	if w.err != nil {
		return 0, w.err
	}
	start := w.Tell()
	pad := int(start - w.off)
	w.reserve(pad + streamBytes)
	out := w.scratch[:pad]
	clear(out)
	s := &streamSource{src: src}
	w.err = errNotReturned
	for pos := start; ; {
		room := record.BlockSize - int(pos%record.BlockSize)
		at := len(out)
		k, err := s.fill(out[at+record.HeaderSize : at+room])
		n += int64(k)
		if err != nil {
			w.err = nil
			if w.off > start {
				w.err = err
			}
			return n, err
		}
		if n == 0 {
			w.err = nil
			return 0, nil
		}
		out = out[:at+record.HeaderSize+k]
		record.Seal(out[at:], pos == start, !s.more, uint64(pos-start))
		pos += int64(record.HeaderSize + k)
		if !s.more || cap(out)-len(out) < record.BlockSize {
			if err := w.flush(out); err != nil || !s.more {
				return n, err
			}
			w.err = errNotReturned
			out = w.scratch[:0]
		}
	}
}

// A streamSource reads pieces of src, and one byte ahead: whether a record is
// the entry's last must be known before it is written.
type streamSource struct {
	src   io.Reader
	more  bool // src has not ended; ahead holds its next byte
	ahead [1]byte
	begun bool
}

// fill reads as much of src into b as there is. It returns no io.EOF.
func (s *streamSource) fill(b []byte) (n int, err error) {
	if s.begun {
		n = copy(b, s.ahead[:])
	}
	s.begun, s.more = true, false
	k, more, err := readFull(s.src, b[n:])
	if more {
		_, s.more, err = readFull(s.src, s.ahead[:])
	}
	return n + k, err
}

// readFull fills b, which is not empty, and reports that it could. Unlike io.ReadFull, it tells the
// end of src from an io.ErrUnexpectedEOF of src, which is an error.
func readFull(src io.Reader, b []byte) (n int, full bool, err error) {
	for idle := 0; ; idle++ {
		k, err := src.Read(b[n:])
		if k < 0 || k > len(b)-n {
			return n, false, fmt.Errorf("logio: the source returned the impossible count %d", k)
		}
		if n += k; k > 0 {
			idle = 0
		}
		switch {
		case n == len(b):
			return n, true, nil
		case err == io.EOF:
			return n, false, nil
		case err != nil:
			return n, false, err
		case idle >= 100:
			return n, false, io.ErrNoProgress
		}
	}
}

// Stream returns the next entry as a stream, for entries that need not fit in
// memory. It skips what is left of the entry streamed before, and returns
// errors as [Reader.Read] does, but for [ErrTooLong]: there is no limit.
//
// The stream is valid until the next call of a method of r. It gives io.EOF at
// the entry's end, and [ErrCorrupted] where the entry turns out to be damaged
// or cut short: what it gave before is then not to be used.
func (r *Reader) Stream() (io.Reader, error) {
	if err := r.skipStream(); err != nil {
		return nil, err
	}
	if r.begun >= 0 {
		r.leave() // an entry that Read could not get to the end of
	}
	h, data, err := r.begin()
	if err != nil {
		return nil, err
	}
	r.stream = &entryStream{r: r, data: data, last: h.Type.Ends()}
	return r.stream, nil
}

// skipStream reads on to the end of the entry being streamed, if there is one.
func (r *Reader) skipStream() error {
	s := r.stream
	if s == nil {
		return nil
	}
	for {
		switch err := s.next(); err {
		case nil:
		case io.EOF:
			r.stream = nil
			return nil
		case ErrCorrupted:
			r.stream = nil
			if s.told {
				return nil
			}
			return err
		default:
			return err
		}
	}
}

// An entryStream reads the entry that r has begun.
type entryStream struct {
	r    *Reader
	data []byte // not given yet
	last bool   // data is the entry's end
	err  error  // final
	told bool   // err was returned to the stream's user
}

// next makes data the data of the entry's next record.
func (s *entryStream) next() error {
	if s.err != nil {
		return s.err
	}
	if s.last {
		s.err = io.EOF
		return s.err
	}
	h, data, err := s.r.proceed()
	if err == ErrCorrupted {
		s.err = err
	}
	if err == nil {
		s.data, s.last = data, h.Type.Ends()
	}
	return err
}

// Read implements io.Reader.
func (s *entryStream) Read(p []byte) (int, error) {
	if s.r.stream != s {
		return 0, errStale
	}
	for len(s.data) == 0 {
		if len(p) == 0 {
			return 0, nil
		}
		if err := s.next(); err != nil {
			s.told = s.err != nil
			return 0, err
		}
	}
	n := copy(p, s.data)
	s.data = s.data[n:]
	return n, nil
}

var errStale = errors.New("logio: the reader has gone on to another entry")
