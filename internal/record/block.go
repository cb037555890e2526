package record

import (
	"encoding/binary"

	"github.com/cespare/xxhash/v2"
)

// A Record is a whole, valid record of a block.
type Record struct {
	Header
	Pos int // of its header, in the block
}

// A Gap is a stretch of a block, [From, To), that holds no valid record.
type Gap struct {
	From, To int
	// Claimed is where the broken record at From says that it ends, or From
	// when its header is not one.
	Claimed int
	// Bridged: the next record, at To, is known to be real.
	Bridged bool
	// Unknown: the gap is a sound record of a type that the format lacks.
	Unknown bool
}

// A Block is what the bytes of one block say. The zero value is ready for use.
type Block struct {
	Records []Record // in order
	Gaps    []Gap    // in order; trailing zeros are no gap
}

// Parse reads block b, from its first byte up to its end or the log's.
//
// The records are those that follow from the block's start one by one. After
// a broken record the next is taken only where it is sure to be one, because
// the bytes of a payload may look like records: see bridge.
func (k *Block) Parse(b []byte) {
	k.Records, k.Gaps = k.Records[:0], k.Gaps[:0]
	for pos := 0; BlockSize-pos > HeaderSize; {
		h, ok := Verify(b[pos:])
		if ok && h.Type.Known() {
			k.Records = append(k.Records, Record{h, pos})
			pos += h.Size()
			continue
		}
		if Zero(b[pos:]) { // also where there is nothing left
			return
		}
		g := Gap{From: pos, To: pos + h.Size(), Claimed: pos + h.Size(), Bridged: true, Unknown: true}
		if !ok {
			g = bridge(b, pos)
		}
		k.Gaps = append(k.Gaps, g)
		pos = g.To
	}
}

// Covers reports whether position pos of the block lies inside a record: no
// other record can start there.
func (k *Block) Covers(pos int) bool {
	for _, r := range k.Records {
		if r.Pos < pos && pos < r.Pos+r.Size() {
			return true
		}
	}
	return false
}

// bridge returns the gap that begins with the broken record at pos of block b.
// Three arguments lead over it:
//
//   - The length has one wrong bit: with it turned, the checksum is right.
//   - The header was damaged: a valid record starts at q, and the broken one's
//     checksum is right once its length is taken to reach up to q, or, if it
//     does so already, once its type or its offset is another.
//   - The header was not: type and offset are those of a header, and where the
//     record says that it ends, a valid record starts (or another such broken
//     one that leads to a valid one).
//
// A record in a payload passes none, whichever single bit is wrong.
func bridge(b []byte, pos int) Gap {
	g := Gap{From: pos, To: len(b), Claimed: claimedEnd(b, pos)}
	if end, ok := flippedLength(b, pos); ok {
		g.To, g.Claimed, g.Bridged = end, end, true
		return g
	}
	for q := range starts(b, pos+HeaderSize+1) {
		if headerWas(b[pos:q]) {
			g.To, g.Bridged = q, true
			return g
		}
	}
	for at, q := pos, g.Claimed; q > at && q < len(b); at, q = q, claimedEnd(b, q) {
		if h, ok := Verify(b[q:]); ok && h.Type.Starts() {
			g.To, g.Bridged = q, true
			return g
		}
	}
	return g
}

// flippedLength returns where the broken record at pos ends if one bit of its
// length is wrong and nothing else.
func flippedLength(b []byte, pos int) (end int, ok bool) {
	if len(b)-pos < HeaderSize {
		return 0, false
	}
	h := Decode(b[pos:])
	for bit := range 16 {
		end := pos + HeaderSize + (h.Length ^ 1<<bit)
		if pos+HeaderSize < end && end <= len(b) && sumAs(b[pos:end], h.Type, h.Offset) == h.Sum {
			return end, true
		}
	}
	return 0, false
}

// claimedEnd returns where the broken record at pos says that it ends, or pos
// if its header can't be right.
func claimedEnd(b []byte, pos int) int {
	if len(b)-pos < HeaderSize {
		return pos
	}
	h := Decode(b[pos:])
	end := pos + h.Size()
	ok := false
	switch {
	case end > BlockSize || h.Length == 0:
	case h.Type == Full:
		ok = h.Offset == 0
	case h.Type == First:
		ok = h.Offset == 0 && end == BlockSize
	case h.Type == Middle:
		ok = pos == 0 && end == BlockSize
	case h.Type == Last:
		ok = pos == 0
	}
	if !ok {
		return pos
	}
	return end
}

// headerWas reports whether the broken record at the start of b is whole when
// it is taken to end where b does, and damaged in one field of its header.
func headerWas(b []byte) bool {
	h := Decode(b)
	if h.Size() != len(b) {
		return sumAs(b, h.Type, h.Offset) == h.Sum
	}
	for t := Full; t <= Last; t++ {
		if sumAs(b, t, h.Offset) == h.Sum {
			return true
		}
	}
	return sumAs(b, h.Type, 0) == h.Sum
}

// sumAs is the checksum that record b would have if its header had this type
// and offset, and its length were right.
func sumAs(b []byte, t Type, offset uint64) uint32 {
	var head [HeaderSize - typeAt]byte
	head[0] = byte(t)
	binary.LittleEndian.PutUint16(head[lengthAt-typeAt:], uint16(len(b)-HeaderSize))
	binary.LittleEndian.PutUint64(head[offsetAt-typeAt:], offset)
	var d xxhash.Digest
	d.Reset()
	d.Write(head[:])
	d.Write(b[HeaderSize:])
	return uint32(d.Sum64())
}

// starts yields each position of block b from pos on at which a valid record
// starts that begins an entry, whether it is a real one or lies in a payload.
func starts(b []byte, pos int) func(yield func(int) bool) {
	return func(yield func(int) bool) {
		for ; len(b)-pos > HeaderSize; pos++ {
			if !Type(b[pos+typeAt]).Starts() || binary.LittleEndian.Uint64(b[pos+offsetAt:]) != 0 {
				continue
			}
			h, ok := Verify(b[pos:])
			if !ok || h.Length == 0 || h.Type == First && pos+h.Size() != BlockSize {
				continue
			}
			if !yield(pos) {
				return
			}
		}
	}
}

// Zero reports whether b holds nothing but zeros.
func Zero(b []byte) bool {
	for len(b) > len(zeros) {
		if string(b[:len(zeros)]) != string(zeros[:]) {
			return false
		}
		b = b[len(zeros):]
	}
	return string(b) == string(zeros[:len(b)])
}
