package logio

import (
	"io"
	"math"
	"slices"
	"sync"

	"github.com/stateio/stateio/internal/record"
)

// DefaultMaxEntry is the length in bytes of the longest entry that a [Reader]
// accepts, unless [Reader.SetMaxEntry] sets another limit: 1 GiB.
const DefaultMaxEntry = 1 << 30

// A Reader reads the entries of a log. It is not safe for concurrent use. The zero Reader is
// ready for Reset.
type Reader struct {
	in    input
	start int64 // where reading began, or went on within an entry that was given up
	lead  int64 // up to here there were only records of an entry that began before
	max   int64 // length of the longest entry; 0: Reset sets the default

	at     int64  // see Offset
	entry  []byte // the entry assembled from more than one record
	begun  int64  // where the entry that is being read starts; -1: none is
	bad    int64  // where the damage is that peek found
	zeros  int64  // where zeros begin that reach up to here; -1: there are none
	lost   bool   // damage was reported, and no entry was found since
	stream *entryStream
	size   int // of the entry that was assembled last
}

// NewReader returns a reader of the entries that start at off or after it. r
// is at offset off of the log. It is read in pieces of up to 256 KiB.
func NewReader(r io.Reader, off int64) *Reader {
	rd := new(Reader)
	rd.Reset(r, off)
	return rd
}

// Reset makes the reader read from r, which is at offset off of the log, as if
// it were new. It keeps its memory and its limit on the length of entries.
func (r *Reader) Reset(rd io.Reader, off int64) {
	r.in.reset(rd, off)
	r.start, r.lead, r.at, r.begun, r.zeros = off, Aligned(max(off, 0)), off, -1, -1
	r.lost, r.stream, r.size = false, nil, 0
	if r.max == 0 {
		r.max = DefaultMaxEntry
	}
}

// SetMaxEntry sets the length in bytes of the longest entry that Read accepts.
// An n of zero or less removes the limit. The reader allocates no more than
// 2 MiB, or twice what an entry has shown to hold, if that is more.
func (r *Reader) SetMaxEntry(n int64) {
	if n <= 0 {
		n = math.MaxInt64
	}
	r.max = n
}

// Offset returns where the entry last returned starts: the offset of its first
// record. After an error it is the offset of the damage, of the entry that was
// too long, or of the end. It can be given to [NewReader], together with an
// io.Reader positioned there.
func (r *Reader) Offset() int64 { return r.at }

// Read returns the next entry. The slice is the reader's, and valid until the
// next call of one of its methods; entries in one record are not copied.
//
// At the end of the log, Read returns io.EOF, and goes on to do so whatever is
// appended: to follow a log, call Reset with the offset after the last entry.
// Where the log is damaged or ends within an entry, it returns [ErrCorrupted],
// once for each damaged stretch, and [ErrTooLong] for an entry over the limit;
// the next call reads on after it. Any other error is the underlying
// reader's; the next call tries again where that one failed, and no entry is
// lost or returned twice.
func (r *Reader) Read() ([]byte, error) {
	if b, ok := r.quick(); ok {
		return b, nil
	}
	if err := r.skipStream(); err != nil {
		return nil, err
	}
	if r.begun < 0 {
		h, data, err := r.begin()
		if err != nil {
			return nil, err
		}
		if int64(len(data)) > r.max {
			return nil, r.tooLong(h)
		}
		if h.Type == record.Full {
			return data, nil
		}
		if cap(r.entry) > keepScratch {
			r.entry = nil
		}
		r.entry = r.entry[:0]
		r.grow(len(data))
		r.entry = append(r.entry, data...)
	}
	for {
		r.gulp()
		h, data, err := r.proceed()
		if err != nil {
			return nil, err
		}
		if int64(len(r.entry))+int64(len(data)) > r.max {
			return nil, r.tooLong(h)
		}
		r.grow(len(data))
		r.entry = append(r.entry, data...)
		if h.Type == record.Last {
			r.size = len(r.entry)
			return r.entry[:r.size:r.size], nil // what was given back lies after
		}
	}
}

// quick returns the next entry if that is one record which is at hand, as almost
// all of them are.
func (r *Reader) quick() ([]byte, bool) {
	if r.begun >= 0 || r.stream != nil {
		return nil, false
	}
	h, data, ok := r.in.record()
	if !ok || h.Type != record.Full || h.Offset != 0 || int64(h.Length) > r.max {
		return nil, false
	}
	r.at, r.lost = r.in.pos, false
	r.in.advance(h.Size())
	return data, true
}

// begin reads on to the first record of the next entry.
func (r *Reader) begin() (record.Header, []byte, error) {
	for {
		h, data, err := r.peek()
		switch {
		case err == ErrCorrupted:
		case err != nil:
			return h, nil, err
		case h.Type.Starts() && h.Offset == 0:
			r.at, r.begun, r.lost = r.in.pos, -1, false
			if h.Type == record.First {
				r.begun = r.in.pos
			}
			r.in.advance(h.Size())
			return h, data, nil
		default:
			r.bad = r.in.pos
			r.in.advance(h.Size())
			if r.precedes(h) {
				r.lead = r.in.pos
				continue
			}
		}
		if !r.lost {
			return h, nil, r.corrupted(r.bad)
		}
	}
}

// precedes reports whether record h at r.bad belongs to an entry that starts
// before the reader does: it was no use to start reading there, but no damage.
func (r *Reader) precedes(h record.Header) bool {
	entry, ok := h.Entry(r.bad)
	return r.bad == r.lead && (h.Type == record.Middle || h.Type == record.Last) && (!ok || entry < r.start)
}

// proceed reads the next record of the entry that has begun.
func (r *Reader) proceed() (record.Header, []byte, error) {
	h, data, err := r.peek()
	switch {
	case err == io.EOF:
		return h, nil, r.corrupted(r.begun)
	case err == ErrCorrupted:
		return h, nil, r.corrupted(r.bad)
	case err != nil:
		return h, nil, err
	case h.Type.Starts():
		// The entry was never finished; this record is the next entry's.
		return h, nil, r.corrupted(r.begun)
	}
	pos := r.in.pos
	r.in.advance(h.Size())
	if !h.Type.Known() || h.Offset != uint64(pos-r.begun) {
		return h, nil, r.corrupted(pos)
	}
	if h.Type == record.Last {
		r.begun = -1
	}
	return h, data, nil
}

// corrupted gives up the entry that has begun, and reports damage at pos.
func (r *Reader) corrupted(pos int64) error {
	r.at, r.begun, r.lost = pos, -1, true
	return ErrCorrupted
}

// grow makes room for n more bytes of the entry: first for a few blocks, then for
// a megabyte and a head, so that one of that size is moved once, then for twice as
// much as it has.
func (r *Reader) grow(n int) {
	need := len(r.entry) + n
	if need <= cap(r.entry) {
		return
	}
	if need <= len(entryBuffer{}) {
		if b, ok := entryBuffers.Get().(*entryBuffer); ok {
			r.entry = append(b[:0], r.entry...)
			return
		}
	}
	switch {
	case need <= 4*Blocksz:
		r.entry = slices.Grow(r.entry, 4*Blocksz-len(r.entry))
	case need <= len(entryBuffer{}):
		r.entry = append(new(entryBuffer)[:0], r.entry...)
	default:
		r.entry = slices.Grow(r.entry, max(n, len(r.entry)))
	}
}

// An entryBuffer holds entries of up to a megabyte and a head. At a log's end it is
// left to other readers: fresh memory costs more than reading into it.
type entryBuffer [36 * Blocksz]byte

var entryBuffers sync.Pool

// release gives up the memory for entries, at the end.
func (r *Reader) release() {
	if cap(r.entry) == len(entryBuffer{}) {
		entryBuffers.Put((*entryBuffer)(r.entry[:cap(r.entry)]))
	}
	r.entry, r.in.block = nil, nil
}

// tooLong gives up the entry that has begun, whose record h was read last.
func (r *Reader) tooLong(h record.Header) error {
	if !h.Type.Ends() {
		r.leave()
	}
	return ErrTooLong
}

// leave gives up the entry that has begun. What is left of it is passed over, as
// if reading began here.
func (r *Reader) leave() {
	r.begun, r.start, r.lead = -1, r.in.pos, r.in.pos
}

// peek returns the record at the reader's position, without going on. Where
// there is none it goes on to where there may be one, sets r.bad to where it
// was, and returns ErrCorrupted.
func (r *Reader) peek() (record.Header, []byte, error) {
	for {
		if h, data, ok := r.in.record(); ok {
			return h, data, nil
		}
		if b := r.in.block; len(b) > 0 {
			if h, ok := record.Verify(b); ok {
				return h, b[record.HeaderSize:h.Size():h.Size()], nil
			}
			pos := r.in.pos
			r.in.advance(len(b))
			if !record.Zero(b) {
				r.bad = pos
				return record.Header{}, nil, ErrCorrupted
			}
			if r.zeros < 0 {
				r.zeros = pos
			}
		}
		if err := r.load(); err != nil {
			return record.Header{}, nil, err
		}
	}
}

// load loads the next block. Zeros up to the log's end are a clean end, but
// others are damage.
func (r *Reader) load() error {
	err := r.in.load()
	if r.zeros < 0 || err == nil && record.Zero(r.in.block) {
		if err == io.EOF && r.begun < 0 {
			r.at = r.in.pos
			r.release()
		}
		return err
	}
	switch err {
	case nil:
		r.bad, r.zeros = r.zeros, -1
		return ErrCorrupted
	case io.EOF:
		r.at = r.zeros
	}
	return err
}
