package record

import (
	"encoding/binary"
	"fmt"
	"slices"

	"github.com/cespare/xxhash/v2"
)

const (
	// BlockSize is the size in bytes of a block. A record never crosses one.
	BlockSize = 32 << 10
	// HeaderSize is the size in bytes of a record's header. A record starts
	// only where more than this is left of the block.
	HeaderSize = 15
	// MaxData is the largest number of data bytes in one record.
	MaxData = BlockSize - HeaderSize
)

// Layout of a header, little endian.
const (
	sumAt    = 0 // uint32, low half of the XXH64 of everything after it
	typeAt   = 4 // uint8
	lengthAt = 5 // uint16, bytes of data
	offsetAt = 7 // uint64, from the start of the entry's first record
)

// Type says which part of its entry a record holds.
type Type uint8

// The record types of the format.
const (
	Full   Type = 1 // the whole entry
	First  Type = 2
	Middle Type = 3
	Last   Type = 4
)

// Known reports whether t is a type of the format.
func (t Type) Known() bool { return Full <= t && t <= Last }

// Starts reports whether a record of type t begins an entry.
func (t Type) Starts() bool { return t == Full || t == First }

// Ends reports whether a record of type t completes an entry.
func (t Type) Ends() bool { return t == Full || t == Last }

func (t Type) String() string {
	switch t {
	case Full:
		return "FULL"
	case First:
		return "FIRST"
	case Middle:
		return "MIDDLE"
	case Last:
		return "LAST"
	}
	return fmt.Sprintf("unknown type %d", uint8(t))
}

// A Header is a record's header, decoded.
type Header struct {
	Sum    uint32
	Type   Type
	Length int    // bytes of data, 0 to 65535
	Offset uint64 // bytes from the start of the entry's first record
}

// Size is the record's size in bytes, header included.
func (h Header) Size() int { return HeaderSize + h.Length }

// Entry returns where the entry of this record starts, when the record is at
// log offset pos. It reports false when that would be before the log.
func (h Header) Entry(pos int64) (int64, bool) {
	if h.Offset > uint64(pos) {
		return 0, false
	}
	return pos - int64(h.Offset), true
}

// Decode decodes the header in the first [HeaderSize] bytes of b, unchecked.
func Decode(b []byte) Header {
	_ = b[HeaderSize-1]
	return Header{
		Sum:    binary.LittleEndian.Uint32(b[sumAt:]),
		Type:   Type(b[typeAt]),
		Length: int(binary.LittleEndian.Uint16(b[lengthAt:])),
		Offset: binary.LittleEndian.Uint64(b[offsetAt:]),
	}
}

// Verify decodes the record at the start of b, which ends where the record's
// block or the log ends, and reports whether it lies within b and its checksum
// is right. The type of such a record may still be unknown.
func Verify(b []byte) (Header, bool) {
	if len(b) < HeaderSize {
		return Header{}, false
	}
	h := Decode(b)
	if h.Length > len(b)-HeaderSize {
		return h, false
	}
	return h, sum(b[:HeaderSize+h.Length]) == h.Sum
}

// Seal fills in the header of record b, whose data is in place. It says whether
// the record is its entry's first one, and its last one, and how many bytes it
// lies from the start of the first.
func Seal(b []byte, first, last bool, offset uint64) {
	// Type, length and the low bytes of offset in one store: the hash loads them
	// as one word, and has to wait for the cache if they come from several.
	word := uint64(typeOf(first, last)) | uint64(uint16(len(b)-HeaderSize))<<8 | offset<<24
	binary.LittleEndian.PutUint64(b[typeAt:], word)
	b[HeaderSize-3], b[HeaderSize-2], b[HeaderSize-1] = byte(offset>>40), byte(offset>>48), byte(offset>>56)
	binary.LittleEndian.PutUint32(b[sumAt:], sum(b))
}

// makeFull makes rec the FULL record of data, which is at least 8 bytes long. It
// is what copying data and [Seal] do, in an order that suits the hash: see
// there. The hash's second word is the end of the offset, which is 0, and the
// first 5 bytes of data; copied from there on, data is in step with its words.
func makeFull(rec, data []byte) {
	const second = typeAt + 8
	const with = second + 8 - HeaderSize // bytes of data in it
	binary.LittleEndian.PutUint64(rec[typeAt:], uint64(Full)|uint64(uint16(len(data)))<<8)
	binary.LittleEndian.PutUint64(rec[second:], binary.LittleEndian.Uint64(data)<<(64-8*with))
	copy(rec[second+8:], data[with:])
	binary.LittleEndian.PutUint32(rec[sumAt:], sum(rec))
}

// sum is the checksum of record b: the low 32 bits of the XXH64 (seed 0,
// https://xxhash.com) of everything after the checksum itself.
func sum(b []byte) uint32 { return uint32(xxhash.Sum64(b[typeAt:])) }

// Aligned returns where a record written at offset off begins: off itself, or
// the start of the next block where at most [HeaderSize] bytes are left of
// this one. Offsets 1 to 14 into a block count as such too: no record can end
// there, so they can only be the stray bytes of a torn header, and a record
// after them would never be found from the block's start.
func Aligned(off int64) int64 {
	in := off % BlockSize
	if left := BlockSize - in; left <= HeaderSize || 0 < in && in < HeaderSize {
		return off + left
	}
	return off
}

// EntrySize returns how many bytes [AppendEntry] appends for an entry of n
// bytes at offset off, padding included.
func EntrySize(off, n int64) int64 {
	if n == 0 {
		return 0
	}
	start := Aligned(off)
	rest := n - (BlockSize - start%BlockSize - HeaderSize) // for further blocks, if positive
	blocks := (rest + MaxData - 1) / MaxData
	return start - off + HeaderSize + n + blocks*HeaderSize
}

// Room returns a number of bytes that an entry of n bytes needs no more than, at
// any offset.
func Room(n int) int { return n + (n/MaxData+2)*HeaderSize + BlockSize }

// AppendEntry appends to dst the bytes of the entry head+body as they stand in
// a log from offset off on, padding included, and returns the longer slice.
// An empty entry has no bytes. The arguments are not kept.
func AppendEntry(dst []byte, off int64, head, body []byte) []byte {
	n := len(head) + len(body)
	at := len(dst)
	// Almost every entry fits its block.
	in := int(uint64(off) % BlockSize)
	if 0 < n && n <= BlockSize-HeaderSize-in && (in == 0 || in >= HeaderSize) {
		dst = slices.Grow(dst, HeaderSize+n)[:at+HeaderSize+n]
		rec := dst[at:]
		if len(head) == 0 && n >= 8 {
			makeFull(rec, body)
			return dst
		}
		copy(rec[HeaderSize+len(head):], body)
		copy(rec[HeaderSize:], head)
		Seal(rec, true, true, 0)
		return dst
	}
	return appendRecords(dst, off, head, body)
}

// appendRecords is AppendEntry for entries of any number of records.
func appendRecords(dst []byte, off int64, head, body []byte) []byte {
	n := len(head) + len(body)
	if n == 0 {
		return dst
	}
	start := Aligned(off)
	dst = slices.Grow(dst, int(EntrySize(off, int64(n))))
	dst = append(dst, zeros[:start-off]...)
	for pos := start; ; {
		data := min(n, BlockSize-int(pos%BlockSize)-HeaderSize)
		n -= data
		at := len(dst)
		dst = dst[:at+HeaderSize+data]
		rec := dst[at:]
		k := copy(rec[HeaderSize:], head)
		head, body = head[k:], body[copy(rec[HeaderSize+k:], body):]
		Seal(rec, pos == start, n == 0, uint64(pos-start))
		if n == 0 {
			return dst
		}
		pos += int64(HeaderSize + data)
	}
}

// typeOf returns the type of a record that is or is not its entry's first and
// last one.
func typeOf(first, last bool) Type {
	switch {
	case first && last:
		return Full
	case first:
		return First
	case last:
		return Last
	}
	return Middle
}

var zeros [BlockSize]byte
