package storefile

import (
	"errors"
	"fmt"
	"io"

	"github.com/stateio/stateio/internal/ahead"
	"github.com/stateio/stateio/internal/record"
)

// MaxUpdate is the size of the largest update, in bytes.
const MaxUpdate = 1 << 30

// maxEntry bounds what is put together from records, in bytes.
const maxEntry = MaxUpdate + maxFrame

// ErrStop is what entries.next returns where there is no whole, valid entry.
var ErrStop = errors.New("no entry")

// entries reads the entries of a file in order. Records are read and verified
// ahead, by other goroutines.
type entries struct {
	f     io.ReaderAt
	Path  string
	Limit int64 // the file's size, or how much of it is to be read
	pos   int64 // the next record starts here, or after the padding here

	segments *ahead.Reader
	cur      *ahead.Segment // holds pos, if it is not nil

	Off    int64  // where the entry last returned, or broken off, starts
	sum    uint32 // the checksum of its first record
	span   span   // the records that it was put together from
	digest Digest // of all records before pos
	spill  []byte // the entry put together from records
	Bad    int64  // where next found what made it return ErrStop
	Reason string // what that was
}

// newEntries returns the entries of f from offset start, where a record begins,
// up to limit. Close it after use.
func newEntries(f io.ReaderAt, path string, start, limit int64) *entries {
	return &entries{f: f, Path: path, pos: start, Limit: limit, segments: ahead.NewJoined(f, start, limit)}
}

// next returns the next entry, which is valid until the next call. The error
// is io.EOF at the limit, ErrStop where no whole entry is, or one of reading.
func (e *entries) next() ([]byte, error) {
	h, data, err := e.record()
	if err != nil {
		return nil, err
	}
	e.Off, e.sum = e.pos-int64(h.Size()), h.Sum
	if h.Offset != 0 || !h.Type.Starts() {
		return nil, e.stop(e.Off, "a %v record where an entry should begin", h.Type)
	}
	e.span = span{}
	if h.Type == record.Full {
		return data, nil
	}
	e.span.first = len(data)
	if b := e.joined(len(data)); b != nil {
		return b, nil
	}
	e.spill = append(e.spill[:0], data...)
	for start := e.Off; ; {
		h, data, err := e.record()
		if err == io.EOF {
			return nil, e.stop(e.Off, "an entry that the file ends in")
		}
		if err != nil {
			return nil, err
		}
		at := e.pos - int64(h.Size())
		switch {
		case h.Type != record.Middle && h.Type != record.Last || h.Offset != uint64(at-start):
			return nil, e.stop(at, "an entry that breaks off")
		case len(e.spill)+len(data) > maxEntry:
			return nil, e.stop(e.Off, "an entry longer than any update")
		}
		e.spill = append(e.spill, data...)
		e.span.rest = e.span.rest.Add(h.Sum)
		if h.Type == record.Last {
			return e.spill, nil
		}
	}
}

// joined returns the entry at e.off, whose first record, before pos, has n bytes
// of data, if what reads ahead has put it together. Else it returns nil.
func (e *entries) joined(n int) []byte {
	i := int(e.pos-e.cur.Off) / record.BlockSize
	if e.pos%record.BlockSize != 0 || i >= len(e.cur.Joined) || e.cur.Joined[i].Type == 0 {
		return nil
	}
	for more := true; more; i++ {
		h := e.cur.Joined[i]
		n += h.Length
		e.pos += int64(h.Size())
		e.digest = e.digest.Add(h.Sum)
		e.span.rest = e.span.rest.Add(h.Sum)
		more = h.Type != record.Last
	}
	at := int(e.Off-e.cur.Off) + record.HeaderSize
	return e.cur.Bytes[at : at+n : at+n]
}

func (e *entries) stop(at int64, format string, args ...any) error {
	e.Bad, e.Reason = at, fmt.Sprintf(format, args...)
	return ErrStop
}

// record returns the next record and its data.
func (e *entries) record() (record.Header, []byte, error) {
	if left := record.BlockSize - e.pos%record.BlockSize; left <= record.HeaderSize {
		e.pos += left
	}
	if e.pos >= e.Limit {
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
	e.digest = e.digest.Add(h.Sum)
	return h, b[record.HeaderSize:h.Size():h.Size()], nil
}

// soundAt returns the valid records of the block from pos on.
func (e *entries) soundAt(pos int64) ([]byte, error) {
	if e.cur == nil || pos >= e.cur.Off+ahead.SegmentSize {
		s, err := e.segments.Next()
		if err != nil {
			e.cur = nil // it was given back
			return nil, fmt.Errorf("store: reading %s: %w", e.Path, err)
		}
		e.cur = s
	}
	i := int(pos - e.cur.Off)
	if end := e.cur.Sound[i/record.BlockSize]; i < end {
		return e.cur.Bytes[i:end], nil
	}
	return nil, nil
}

// Close waits for what reads ahead. Entries returned before are no longer
// valid.
func (e *entries) Close() {
	e.segments.Close()
	e.cur = nil
}
