package store

import (
	"encoding/binary"
	"fmt"
	"sync"

	"github.com/stateio/stateio/internal/entry"
	"github.com/stateio/stateio/internal/record"
)

// A logTail is what follows the last good entry of a log.
type logTail struct {
	// torn is the number of bytes from the end of the last good entry to the
	// last byte that is not zero. Zeros up to the end of the file are a clean
	// end: space set aside.
	torn int64
	// proof is the offset of an entry which shows that what is broken before it
	// was once durable, or -1. It is of the commit that begins with update first.
	proof int64
	first uint64
	index uint64 // of the entry
}

// tailPiece is how much of a tail is looked at at once, in bytes.
const tailPiece = 8 * record.BlockSize

type tailBuffer [tailPiece]byte

var tailBuffers = sync.Pool{New: func() any { return new(tailBuffer) }}

// readTail looks at what follows the last good entry of r.
//
// A batch is only written once the one before it is durable. So when an entry
// is found whose batch begins behind the update that should be next, that
// update was durable, and is damaged. Damage with no such entry behind it may
// be the remainder of the last batch, torn by a crash before it was
// acknowledged. Damage can have changed where records begin, so every position
// is looked at; that is safe because the tag's salt is not known to who makes
// payloads.
func (r *logReader) readTail() (logTail, error) {
	t := logTail{proof: -1}
	buf := tailBuffers.Get().(*tailBuffer)
	defer tailBuffers.Put(buf)
	for off := r.end - r.end%record.BlockSize; off < r.limit; off += tailPiece {
		b, err := record.ReadAt(r.f, buf[:], off, r.limit)
		if err != nil {
			return t, fmt.Errorf("store: reading %s: %w", r.path, err)
		}
		from := int(max(0, r.end-off))
		if record.Zero(b[from:]) {
			continue
		}
		last := len(b) - 1
		for b[last] == 0 {
			last--
		}
		t.torn = off + int64(last) + 1 - r.end
		if t.proof < 0 {
			if at, later := r.findLater(b, from); at >= 0 {
				t.proof, t.index, t.first = off+int64(at), later.index, later.index-uint64(later.back)
			}
		}
	}
	return t, nil
}

// touched reports whether anything but zeros follows the last good entry of r.
func (r *logReader) touched() (bool, error) {
	buf := tailBuffers.Get().(*tailBuffer)
	defer tailBuffers.Put(buf)
	for off := r.end; off < r.limit; off += tailPiece {
		b, err := record.ReadAt(r.f, buf[:], off, r.limit)
		if err != nil {
			return false, fmt.Errorf("store: reading %s: %w", r.path, err)
		}
		if !record.Zero(b) {
			return true, nil
		}
	}
	return false, nil
}

// findLater looks in b, which begins with a block, from position from on for
// an entry whose batch begins behind the next update. It returns its position,
// or -1, and its tag.
func (r *logReader) findLater(b []byte, from int) (int, tag) {
	const at = record.HeaderSize + entry.HeadSize // of the tag, in a record
	next := r.index + 1
	for pos := from; pos+record.HeaderSize+frameSize <= len(b); pos++ {
		// Of the checks, this one lets the least pass. What is before next wraps.
		index := (binary.LittleEndian.Uint64(b[pos+at:]) - r.hdr.salt) >> 1
		if index-next > 1<<40 {
			continue
		}
		t := parseTag(b[pos+record.HeaderSize:], r.hdr.salt)
		if uint64(t.back) >= index-next {
			continue
		}
		block := min(pos-pos%record.BlockSize+record.BlockSize, len(b))
		h, ok := record.Verify(b[pos:block])
		if ok && h.Type.Starts() && h.Length >= frameSize {
			return pos, t
		}
	}
	return -1, tag{}
}

// skip continues at the entry that t found, as if all before it had been read.
func (r *logReader) skip(t logTail) {
	r.end, r.index, r.back = t.proof, t.index-1, uint32(t.index-t.first)
	r.skipped = true
	r.resume(r.limit)
}
