package storefile

import (
	"encoding/binary"
	"fmt"
	"sync"

	"github.com/stateio/stateio/internal/entry"
	"github.com/stateio/stateio/internal/record"
)

// A LogTail is what follows the last good entry of a log.
type LogTail struct {
	// Torn is the number of bytes from the end of the last good entry to the
	// last byte that is not zero. Zeros up to the end of the file are a clean
	// end: space set aside.
	Torn int64
	// Proof is the offset of an entry which shows that what is broken before it
	// was once durable, or -1. It is of the commit that begins with update first.
	Proof int64
	First uint64
	Index uint64 // of the entry
}

// tailPiece is how much of a tail is looked at at once, in bytes.
const tailPiece = 8 * record.BlockSize

type tailBuffer [tailPiece]byte

var tailBuffers = sync.Pool{New: func() any { return new(tailBuffer) }}

// ReadTail looks at what follows the last good entry of r.
//
// A batch is only written once the one before it is durable. So when an entry
// is found whose batch begins after the update that should be next, that
// update was durable, and is damaged. Damage with no such entry after it may
// be the remainder of the last batch, torn by a crash before it was
// acknowledged. Damage can have changed where records begin, so every position
// is looked at; that is safe because the tag's salt is not known to the author of
// a payload.
func (r *LogReader) ReadTail() (LogTail, error) {
	t := LogTail{Proof: -1}
	buf := tailBuffers.Get().(*tailBuffer)
	defer tailBuffers.Put(buf)
	for off := r.End - r.End%record.BlockSize; off < r.Limit; off += tailPiece {
		b, err := record.ReadAt(r.f, buf[:], off, r.Limit)
		if err != nil {
			return t, fmt.Errorf("store: reading %s: %w", r.Path, err)
		}
		from := int(max(0, r.End-off))
		if len(b) < from {
			return t, Corrupt(r.Path, off+int64(len(b)), "the file was cut while it was read: somebody writes over it, or its disk has lost something")
		}
		if record.Zero(b[from:]) {
			continue
		}
		last := len(b) - 1
		for b[last] == 0 {
			last--
		}
		t.Torn = off + int64(last) + 1 - r.End
		if t.Proof < 0 {
			if at, later := r.findLater(b, from, true); at >= 0 {
				t.Proof, t.Index, t.First = off+int64(at), later.Index, later.Index-uint64(later.Back)
			}
		}
	}
	return t, nil
}

// touched reports whether anything but zeros follows the last good entry of r.
func (r *LogReader) touched() (bool, error) {
	buf := tailBuffers.Get().(*tailBuffer)
	defer tailBuffers.Put(buf)
	for off := r.End; off < r.Limit; off += tailPiece {
		b, err := record.ReadAt(r.f, buf[:], off, r.Limit)
		if err != nil {
			return false, fmt.Errorf("store: reading %s: %w", r.Path, err)
		}
		if !record.Zero(b) {
			return true, nil
		}
	}
	return false, nil
}

// Waits reports whether the place of the next entry holds nothing but zeros.
func (r *LogReader) Waits() (bool, error) {
	var next [2 * record.HeaderSize]byte // padding, and the head of a record
	b, err := record.ReadAt(r.f, next[:], r.End, r.End+int64(len(next)))
	if err != nil {
		return false, fmt.Errorf("store: reading %s: %w", r.Path, err)
	}
	return record.Zero(b), nil
}

// findLater looks in b, which begins with a block, from position from on for
// an entry after the next update; with proof, for one whose batch begins there. It
// returns its position, or -1, and its tag.
func (r *LogReader) findLater(b []byte, from int, proof bool) (int, Tag) {
	const at = record.HeaderSize + entry.HeadSize // of the tag, in a record
	next := r.Index + 1
	for pos := from; pos+record.HeaderSize+frameSize <= len(b); pos++ {
		// Of the checks, this one lets the least pass. What is before next wraps.
		index := (binary.LittleEndian.Uint64(b[pos+at:]) - r.Header.Salt) >> indexShift
		if index-next > 1<<40 {
			continue
		}
		var t Tag
		t.decode(b[pos+record.HeaderSize:], r.Header.Salt)
		if proof && uint64(t.Back) >= index-next {
			continue
		}
		block := min(pos-pos%record.BlockSize+record.BlockSize, len(b))
		h, ok := record.Verify(b[pos:block])
		if ok && h.Type.Starts() && h.Length >= frameSize {
			return pos, t
		}
	}
	return -1, Tag{}
}

// Salvage continues at the first entry after offset from, and after what was read, that
// can be read, whatever it proves. It reports false if there is none. The time of what
// follows is not known before the next commit begins.
func (r *LogReader) Salvage(from int64) (bool, error) {
	from = max(from, r.End)
	buf := tailBuffers.Get().(*tailBuffer)
	defer tailBuffers.Put(buf)
	for off := from - from%record.BlockSize; off < r.Limit; off += tailPiece {
		b, err := record.ReadAt(r.f, buf[:], off, r.Limit)
		if err != nil {
			return false, fmt.Errorf("store: reading %s: %w", r.Path, err)
		}
		if at, t := r.findLater(b, int(max(0, from-off)), false); at >= 0 {
			r.Skip(LogTail{Proof: off + int64(at), Index: t.Index, First: t.Index - uint64(t.Back)})
			return true, nil
		}
	}
	return false, nil
}

// Skip continues at the entry that t found, as if all before it had been read.
func (r *LogReader) Skip(t LogTail) {
	r.End, r.Index, r.back = t.Proof, t.Index-1, uint32(t.Index-t.First)
	r.UnitEnd = r.Index
	r.Skipped, r.group = true, nil
	r.Resume(r.Limit)
}
