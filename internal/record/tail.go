package record

import (
	"io"
	"slices"
	"sync"
)

// A Tail tells where a log ends.
type Tail struct {
	// Last is the last whole, valid entry; Found reports whether there is one.
	Last  Entry
	Found bool
	// Torn: bytes other than zeros follow Last.
	Torn bool
	// Damaged: a valid record after the broken bytes that follow Last, at
	// Proof, shows that these were once whole. They start at Break.
	Damaged      bool
	Break, Proof int64
}

// FindTail finds the end of the log in r, whose size is at most limit, reading
// backwards from there. The error, if any, is one of reading.
//
// What follows the last whole entry is the remainder of one write, torn by a
// crash, unless a valid record lies after it that can't be part of that
// write: one that says its entry starts elsewhere, or one outside of the bytes
// that the broken entry is known to span. An entry is only written once the
// one before it is durable, so such a record shows that what is broken now was
// whole before.
func FindTail(r io.ReaderAt, limit int64) (Tail, error) {
	s := search{r: r, lookalike: -1, alien: -1}
	defer s.block.free()
	defer s.other.free()
	limit, err := sizeOf(r, limit)
	if err != nil {
		return Tail{}, err
	}
	s.limit = limit
	nonzero, err := lastNonzero(r, limit)
	if err != nil || nonzero < 0 {
		return Tail{}, err
	}
	for start := nonzero - nonzero%BlockSize; start >= 0 && !s.Found; start -= BlockSize {
		if err := s.visit(start); err != nil {
			return Tail{}, err
		}
	}
	s.Torn = nonzero >= s.Last.End
	s.judge()
	return s.Tail, nil
}

// A search is the state of FindTail. All but the Tail and the blocks speak of
// what was seen after the last whole entry.
type search struct {
	Tail
	r     io.ReaderAt
	limit int64
	block blockAt // being visited
	other blockAt // that an entry starts in

	pieces    []piece
	lookalike int64   // the last place in a gap where a valid record starts, or -1
	alien     int64   // the first sound record of unknown type, or -1
	gaps      []piece // whose entry is the one that the broken header tells, last first
}

// A piece is a record of an entry that is not whole.
type piece struct {
	pos, end int64
	entry    int64 // where it says its entry starts; -1: before the log
}

// visit looks for the last whole entry that ends in the block at start, and
// notes what lies after it.
func (s *search) visit(start int64) error {
	b, err := s.block.load(s.r, start, s.limit)
	if err != nil {
		return err
	}
	for i := len(s.block.Records) - 1; i >= 0 && !s.Found; i-- {
		if err := s.take(start, s.block.Records[i]); err != nil {
			return err
		}
	}
	for i := len(s.block.Gaps) - 1; i >= 0; i-- {
		g := s.block.Gaps[i]
		if start+int64(g.From) < s.Last.End {
			break
		}
		at := start + int64(g.From)
		if g.Unknown {
			s.alien = at
			continue
		}
		if g.Claimed > g.From {
			offset := int64(Decode(b[g.From:]).Offset)
			s.gaps = append(s.gaps, piece{pos: at, end: start + int64(g.Claimed), entry: at - offset})
		}
		for q := range starts(b[:g.To], g.From) {
			s.lookalike = max(s.lookalike, start+int64(q))
		}
	}
	return nil
}

// take makes the entry that ends with rec the last whole one, or rec a piece.
func (s *search) take(start int64, rec Record) error {
	p := piece{pos: start + int64(rec.Pos)}
	p.end = p.pos + int64(rec.Size())
	entry, ok := rec.Entry(p.pos)
	if p.entry = entry; !ok {
		p.entry = -1
	}
	if ok && rec.Type.Ends() {
		e, whole, err := s.whole(entry, p.end)
		if err != nil {
			return err
		}
		if whole {
			s.Last, s.Found = e, true
			return nil
		}
	}
	s.pieces = append(s.pieces, p)
	return nil
}

// whole reports whether the bytes from start to end are one whole entry, and
// not in part the payload of another one.
func (s *search) whole(start, end int64) (Entry, bool, error) {
	e, _, _, err := FindEntry(s.r, start, end)
	if e.End != end { // it is 0 where there is none, also after an error
		return e, false, err
	}
	if in := start % BlockSize; start-in != s.block.start {
		if _, err := s.other.load(s.r, start-in, s.limit); err != nil {
			return e, false, err
		}
		return e, !s.other.Covers(int(in)), nil
	}
	return e, true, nil
}

// judge decides whether what follows the last whole entry is a torn write.
func (s *search) judge() {
	s.Break = Aligned(s.Last.End)
	own := s.Break // what is broken extends at least to here
	s.Proof = -1
	for _, p := range s.pieces {
		if p.entry == s.Break {
			own = max(own, p.end)
		} else {
			s.Proof = p.pos
		}
	}
	for _, g := range slices.Backward(s.gaps) {
		if g.entry == s.Break && g.pos == own {
			own = g.end
		}
	}
	if s.lookalike >= own {
		s.Proof = s.lookalike
	}
	if s.alien >= 0 {
		s.Proof = s.alien
	}
	s.Damaged = s.Proof >= 0
}

// A blockAt is a parsed block and its offset in the log. Its memory can be freed.
type blockAt struct {
	Block
	start int64
	buf   *[BlockSize]byte
}

var blocks = sync.Pool{New: func() any { return new([BlockSize]byte) }}

// load reads and parses the block at start. The bytes it returns are valid
// until the next call.
func (b *blockAt) load(r io.ReaderAt, start, limit int64) ([]byte, error) {
	if b.buf == nil {
		b.buf = blocks.Get().(*[BlockSize]byte)
	}
	got, err := ReadAt(r, b.buf[:], start, limit)
	if err != nil {
		return nil, err
	}
	b.start = start
	b.Parse(got)
	return got, nil
}

// free makes the memory of b available to others.
func (b *blockAt) free() {
	if b.buf != nil {
		blocks.Put(b.buf)
		b.buf = nil
	}
}

// sizeOf returns limit, or the size of r if that is less.
func sizeOf(r io.ReaderAt, limit int64) (int64, error) {
	// There is a byte before low, if low is not 0, and none from high on.
	for low, high, at := int64(0), limit, limit; low < high; at = low + (high-low+1)/2 {
		var buf [1]byte
		switch b, err := ReadAt(r, buf[:], at-1, limit); {
		case err != nil:
			return 0, err
		case len(b) > 0:
			low = at
		default:
			high = at - 1
		}
		limit = high
	}
	return limit, nil
}

// lastNonzero returns the offset of the last byte before limit that is not
// zero, or -1 if there is none.
func lastNonzero(r io.ReaderAt, limit int64) (int64, error) {
	buf := buffers.Get().(*[walkBuffer]byte)
	defer buffers.Put(buf)
	for end, size := limit, int64(BlockSize); end > 0; size = walkBuffer {
		start := max(0, (end-1)/BlockSize*BlockSize+BlockSize-size)
		b, err := ReadAt(r, buf[:end-start], start, end)
		if err != nil {
			return 0, err
		}
		if !Zero(b) {
			for i := len(b) - 1; ; i-- {
				if b[i] != 0 {
					return start + int64(i), nil
				}
			}
		}
		end = start
	}
	return -1, nil
}
