package store

import (
	"errors"
	"fmt"
	"io"
	"sync"

	"github.com/stateio/stateio/internal/record"
)

const (
	segmentBlocks = 8
	segmentSize   = segmentBlocks * record.BlockSize
	segmentsAhead = 6 // read and verified ahead of the consumer: 1.5 MiB
)

// maxEntry bounds what is put together from records, in bytes.
const maxEntry = maxMaxUpdate + maxFrame

// errStop is what entries.next returns where there is no whole, valid entry.
var errStop = errors.New("no entry")

// entries reads the entries of a file in order. Records are read and verified
// some segments ahead, by other goroutines: a record never crosses a block, so
// blocks can be verified in any order.
type entries struct {
	f     io.ReaderAt
	path  string
	limit int64 // the file's size, or how much of it is to be read
	start int64 // where reading began
	pos   int64 // the next record starts here, or behind the padding here

	cur   *segment   // holds pos, if it is not nil
	queue []*segment // those behind cur, in order
	ahead int64      // the offset of the segment to queue next

	off    int64     // where the entry last returned, or broken, starts
	span   span      // the records that it was put together from
	digest logDigest // of all records before pos
	spill  []byte    // the entry put together from records
	bad    int64     // where next found what made it return errStop
	reason string    // what that was
}

// newEntries returns the entries of f from offset start, where a record begins
// and segments can, up to limit. Close it after use.
func newEntries(f io.ReaderAt, path string, start, limit int64) *entries {
	return &entries{f: f, path: path, start: start, pos: start, limit: limit, ahead: start - start%record.BlockSize}
}

// next returns the next entry, which is valid until the next call. The error
// is io.EOF at the limit, errStop where no whole entry is, or one of reading.
func (e *entries) next() ([]byte, error) {
	h, data, err := e.record()
	e.off = e.pos - int64(h.Size())
	if err != nil {
		e.off = e.pos
		return nil, err
	}
	if h.Offset != 0 || !h.Type.Starts() {
		return nil, e.stop(e.off, "a %v record where an entry should begin", h.Type)
	}
	e.span = span{}
	if h.Type == record.Full {
		return data, nil
	}
	e.span.first = len(data)
	e.spill = append(e.spill[:0], data...)
	for start := e.off; ; {
		h, data, err := e.record()
		if err == io.EOF {
			return nil, e.stop(e.off, "an entry that the file ends in")
		}
		if err != nil {
			return nil, err
		}
		at := e.pos - int64(h.Size())
		switch {
		case h.Type != record.Middle && h.Type != record.Last || h.Offset != uint64(at-start):
			return nil, e.stop(at, "an entry that breaks off")
		case len(e.spill)+len(data) > maxEntry:
			return nil, e.stop(e.off, "an entry longer than any update")
		}
		e.spill = append(e.spill, data...)
		e.span.rest = e.span.rest.add(h.Sum)
		if h.Type == record.Last {
			return e.spill, nil
		}
	}
}

func (e *entries) stop(at int64, format string, args ...any) error {
	e.bad, e.reason = at, fmt.Sprintf(format, args...)
	return errStop
}

// record returns the next record and its data.
func (e *entries) record() (record.Header, []byte, error) {
	if left := record.BlockSize - e.pos%record.BlockSize; left <= record.HeaderSize {
		e.pos += left
	}
	if e.pos >= e.limit {
		return record.Header{}, nil, io.EOF
	}
	b, err := e.soundAt(e.pos)
	if err != nil {
		return record.Header{}, nil, err
	}
	if len(b) == 0 {
		return record.Header{}, nil, e.stop(e.pos, "no valid record")
	}
	h := record.Decode(b)
	e.pos += int64(h.Size())
	e.digest = e.digest.add(h.Sum)
	return h, b[record.HeaderSize:h.Size():h.Size()], nil
}

// soundAt returns the valid records of the block from pos on.
func (e *entries) soundAt(pos int64) ([]byte, error) {
	if e.cur == nil || pos >= e.cur.off+segmentSize {
		if err := e.advance(); err != nil {
			return nil, err
		}
	}
	i := int(pos - e.cur.off)
	if end := e.cur.sound[i/record.BlockSize]; i < end {
		return e.cur.buf[i:end], nil
	}
	return nil, nil
}

// advance makes the next segment the current one.
func (e *entries) advance() error {
	e.cur.release()
	e.cur = nil
	if e.limit-e.start <= 2*segmentSize {
		e.cur = e.segment()
		e.cur.load(e.f, e.start)
		return e.failed()
	}
	for len(e.queue) < segmentsAhead && e.ahead < e.limit {
		s := e.segment()
		s.done = make(chan struct{})
		e.queue = append(e.queue, s)
		go func() {
			defer close(s.done)
			s.load(e.f, e.start)
		}()
	}
	e.cur = e.queue[0]
	e.queue = append(e.queue[:0], e.queue[1:]...)
	<-e.cur.done
	return e.failed()
}

// failed returns the error that the current segment could not be read with.
func (e *entries) failed() error {
	if e.cur.err == nil {
		return nil
	}
	return fmt.Errorf("store: reading %s: %w", e.path, e.cur.err)
}

// segment returns the segment at e.ahead, not loaded.
func (e *entries) segment() *segment {
	s := segments.Get().(*segment)
	s.off, s.buf = e.ahead, s.buf[:min(segmentSize, e.limit-e.ahead)]
	e.ahead += segmentSize
	return s
}

// close waits for what reads ahead. Entries returned before are no longer
// valid.
func (e *entries) close() {
	for _, s := range e.queue {
		<-s.done
		s.release()
	}
	e.cur.release()
	e.queue, e.cur = nil, nil
}

// A segment is a part of a file, read and verified.
type segment struct {
	off  int64 // of buf in the file; a block starts there
	buf  []byte
	err  error         // why it could not be read
	done chan struct{} // closed when it is loaded, by who reads ahead
	// sound[i] is where the valid records of block i, which follow one another
	// from its start, or the start of reading, end in buf.
	sound [segmentBlocks]int
}

var segments = sync.Pool{New: func() any { return &segment{buf: make([]byte, segmentSize)} }}

// release makes the memory of s available to others.
func (s *segment) release() {
	if s != nil {
		segments.Put(s)
	}
}

// load reads the segment and verifies its records from offset start of the
// file on.
func (s *segment) load(f io.ReaderAt, start int64) {
	b, err := record.ReadAt(f, s.buf, s.off, s.off+int64(len(s.buf)))
	if s.err = err; err != nil {
		return
	}
	for i := range s.sound {
		pos, end := i*record.BlockSize, min((i+1)*record.BlockSize, len(b))
		pos = max(pos, int(min(max(start-s.off, 0), int64(end))))
		for pos < end {
			h, ok := record.Verify(b[pos:end])
			if !ok || h.Length == 0 {
				break
			}
			pos += h.Size()
		}
		s.sound[i] = pos
	}
}
