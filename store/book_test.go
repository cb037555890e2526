package store_test

import (
	"encoding/binary"

	"github.com/cespare/xxhash/v2"
)

// What follows writes the files of a store by docs/FORMAT.md alone, and shares no code
// with what it is compared with. le is the byte order of all integers.
var le = binary.LittleEndian

const (
	bookBlock  = 32768
	bookHeader = 15
	bookPrime  = 0x9E3779B185EBCA87
)

// A bookFile is a log, a snapshot or a backup that is being written.
type bookFile struct {
	b    []byte
	salt uint64
	sums []uint32 // checksums of all records
}

// record appends a record, whose entry begins at start.
func (f *bookFile) record(kind byte, start int, data []byte) (sum uint32) {
	h := make([]byte, bookHeader, bookHeader+len(data))
	h[4] = kind
	le.PutUint16(h[5:], uint16(len(data)))
	le.PutUint64(h[7:], uint64(len(f.b)-start))
	h = append(h, data...)
	sum = uint32(xxhash.Sum64(h[4:]))
	le.PutUint32(h, sum)
	f.b = append(f.b, h...)
	return sum
}

// left returns how many bytes of data fit the block after a header. It pads a block in
// which no record can begin.
func (f *bookFile) left() int {
	n := bookBlock - len(f.b)%bookBlock
	if n <= bookHeader {
		f.b = append(f.b, make([]byte, n)...)
		n = bookBlock
	}
	return n - bookHeader
}

// append appends an entry of a log (section 1).
func (f *bookFile) append(entry []byte) {
	start, kind := 0, byte(2)
	for first := true; first || len(entry) > 0; first = false {
		n := f.left()
		if first {
			start = len(f.b)
		}
		switch {
		case len(entry) <= n && first:
			kind, n = 1, len(entry)
		case len(entry) <= n:
			kind, n = 4, len(entry)
		case !first:
			kind = 3
		}
		f.sums = append(f.sums, f.record(kind, start, entry[:n]))
		entry = entry[n:]
	}
}

// several reports whether an entry of n bytes needs more than one record, and returns how
// much of it the first one holds.
func (f *bookFile) several(n int) (first int, more bool) {
	probe := bookFile{b: f.b[:len(f.b):len(f.b)]}
	left := probe.left()
	return min(n, left), n > left
}

// head is that of an entry of a state file (section 2).
func head(kind byte, epoch uint64) []byte { return le.AppendUint64([]byte{kind}, epoch) }

// bookDigest is a digest of checksums (section 4).
func bookDigest(sums []uint32) (d uint64) {
	for _, s := range sums {
		d = (d ^ uint64(s)) * bookPrime
	}
	return d
}

// header begins a file of that kind (section 4).
func (f *bookFile) header(kind byte, id [16]byte, base, salt uint64, at int64) {
	f.salt = salt
	h := append([]byte("stateio\n"), 1, 0, kind, 0)
	h = append(h, make([]byte, 16)...) // required, optional, key, compression
	h = append(h, id[:]...)
	for _, n := range []uint64{base, salt, uint64(at)} {
		h = le.AppendUint64(h, n)
	}
	f.append(append(head(2, 0), h...))
}

// A bookTag is that of an entry.
type bookTag struct {
	index          uint64
	back           uint32
	at             int64 // with the first entry of a commit; 0: none
	group, control bool
	state          bool
}

// tagged appends an entry with its tag (section 4).
func (f *bookFile) tagged(t bookTag, payload []byte) {
	bit := func(b bool, n uint64) uint64 { return map[bool]uint64{true: n}[b] }
	tag := le.AppendUint64(nil, f.salt+(t.index<<4|bit(t.state, 8)|bit(t.group, 4)|bit(t.at != 0, 2)|bit(t.control, 1)))
	tag = le.AppendUint32(tag, t.back)
	if t.at != 0 {
		tag = le.AppendUint64(tag, uint64(t.at))
	}
	e := append(head(1, 0), tag...)
	before := len(e)
	if _, more := f.several(before + len(payload)); !more {
		f.append(append(e, payload...))
		return
	}
	sum := xxhash.Sum64(e) * bookPrime
	e = append(append(e, make([]byte, 8)...), payload...)
	if first, _ := f.several(len(e)); first < before+8 {
		sum ^= xxhash.Sum64(payload)
	} else {
		probe := bookFile{b: f.b[:len(f.b):len(f.b)]}
		probe.append(e)
		sum ^= bookDigest(probe.sums[1:])
	}
	le.PutUint64(e[before:], sum)
	f.append(e)
}

// seal ends a log of n updates, the next of which would have that index.
func (f *bookFile) seal(n, next uint64) {
	f.control(1, n, bookDigest(f.sums), next)
}

// snapshot writes the chunks of a state and the trailer.
func (f *bookFile) snapshot(chunks ...[]byte) {
	var state []byte
	for i, c := range chunks {
		f.tagged(bookTag{index: uint64(i) + 1}, c)
		state = append(state, c...)
	}
	f.control(2, uint64(len(state)), xxhash.Sum64(state), uint64(len(chunks))+1)
}

func (f *bookFile) control(kind byte, count, digest, next uint64) {
	c := le.AppendUint64(le.AppendUint64([]byte{kind}, count), digest)
	f.tagged(bookTag{index: next, control: true}, c)
}

// group returns the payload of updates that are one unit.
func group(updates ...string) (b []byte) {
	for _, u := range updates {
		b = append(binary.AppendUvarint(b, uint64(len(u))), u...)
	}
	return b
}

// backup is a whole backup (section 5).
func (f *bookFile) backup(id [16]byte, index, salt uint64, at int64, state []byte) {
	f.header('B', id, index, salt, at)
	f.left()
	epoch := uint64(len(f.b))
	f.append(append(head(2, 0), state...))
	end := append([]byte("stateio\n"), 1, 0, 'E')
	for _, n := range []uint64{salt, index, uint64(len(state)), xxhash.Sum64(state)} {
		end = le.AppendUint64(end, n)
	}
	f.append(append(head(1, epoch), end...))
}
