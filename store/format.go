package store

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/stateio/stateio/internal/entry"
	"github.com/stateio/stateio/internal/record"
)

// version is the format version that this package writes, and the newest that
// it reads.
const version = 1

// kind says what a file of a store holds.
type kind uint8

const (
	logKind  kind = 'L'
	snapKind kind = 'S'
	// importKind is a log of index 0 behind a state that was imported: it is of no
	// use without a snapshot.
	importKind kind = 'I'
)

func (k kind) String() string {
	switch k {
	case logKind:
		return "log"
	case importKind:
		return "log of an imported state"
	case snapKind:
		return "snapshot"
	}
	return fmt.Sprintf("unknown kind %d", uint8(k))
}

// A header is what every file begins with: the payload of a snapshot entry at
// offset 0.
//
//	magic [8]byte | version uint16 | kind uint8 | store [16]byte | base uint64 | salt uint64
type header struct {
	kind  kind
	store [16]byte // the same in all files of a store
	base  uint64   // index of the last update before the log, or in the snapshot
	salt  uint64   // of this file's tags; random
}

const (
	magic          = "stateio\n"
	headerPayload  = len(magic) + 2 + 1 + 16 + 8 + 8
	headerSize     = record.HeaderSize + entry.HeadSize + headerPayload
	headerVersion  = len(magic)
	headerKind     = headerVersion + 2
	headerStore    = headerKind + 1
	headerBase     = headerStore + 16
	headerSalt     = headerBase + 8
	minHeaderBytes = headerKind // enough to tell a newer version
)

// appendTo appends the records of h, which stands at the start of its file.
func (h header) appendTo(dst []byte) []byte {
	p := make([]byte, 0, headerPayload)
	p = append(p, magic...)
	p = binary.LittleEndian.AppendUint16(p, version)
	p = append(p, byte(h.kind))
	p = append(p, h.store[:]...)
	p = binary.LittleEndian.AppendUint64(p, h.base)
	p = binary.LittleEndian.AppendUint64(p, h.salt)
	var head [entry.HeadSize]byte
	entry.Head{Kind: entry.Snapshot}.Put(&head)
	return record.AppendEntry(dst, 0, head[:], p)
}

var errNoHeader = errors.New("it does not begin with the header of a store's file")

// parseHeader decodes the first entry of a file.
func parseHeader(b []byte) (h header, err error) {
	head, p, ok := entry.Split(b)
	if !ok || head != (entry.Head{Kind: entry.Snapshot}) || len(p) < minHeaderBytes || !bytes.HasPrefix(p, []byte(magic)) {
		return h, errNoHeader
	}
	if v := binary.LittleEndian.Uint16(p[headerVersion:]); v != version {
		return h, &opError{is: ErrVersion, msg: fmt.Sprintf("it has format version %d, and this program knows versions up to %d: use a newer one", v, version)}
	}
	if len(p) != headerPayload {
		return h, errNoHeader
	}
	h.kind = kind(p[headerKind])
	copy(h.store[:], p[headerStore:])
	h.base = binary.LittleEndian.Uint64(p[headerBase:])
	h.salt = binary.LittleEndian.Uint64(p[headerSalt:])
	return h, nil
}

// A tag stands before the payload of every numbered entry. It says which one
// it is, in a way that no other file and no payload can imitate.
//
//	salt + (index<<1 | control) uint64 | back uint32
type tag struct {
	index   uint64 // of the update or chunk; of a control entry, of the next one
	control bool   // the payload is a control record, not data
	back    uint32 // entries of its commit batch before it
}

const (
	tagSize  = 12
	spanSize = 8
	// frameSize is what an entry in one record has before its payload.
	frameSize = entry.HeadSize + tagSize
	maxFrame  = frameSize + spanSize
)

// frame encodes head and tag of an entry into b and returns them.
func frame(b *[maxFrame]byte, salt uint64, t tag) []byte {
	entry.Head{Kind: entry.Update}.Put((*[entry.HeadSize]byte)(b[:]))
	v := t.index << 1
	if t.control {
		v |= 1
	}
	binary.LittleEndian.PutUint64(b[entry.HeadSize:], salt+v)
	binary.LittleEndian.PutUint32(b[entry.HeadSize+8:], t.back)
	return b[:frameSize]
}

// appendFramed appends the records of a numbered entry at offset off. An entry
// of more than one record has a sum before its payload, because only the first
// record holds the tag: it binds the others to it.
func appendFramed(dst []byte, off int64, salt uint64, t tag, payload []byte) []byte {
	var b [maxFrame]byte
	head := frame(&b, salt, t)
	if fits(off, len(payload)) {
		return record.AppendEntry(dst, off, head, payload)
	}
	at := len(dst) + int(record.Aligned(off)-off)
	first := record.BlockSize - int(record.Aligned(off)%record.BlockSize) - record.HeaderSize
	if first < maxFrame {
		binary.LittleEndian.PutUint64(b[frameSize:], bindPayload(head, payload))
		return record.AppendEntry(dst, off, b[:], payload)
	}
	dst = record.AppendEntry(dst, off, b[:], payload)
	var rest logDigest
	next := at + record.HeaderSize + first // behind the first record, where a block begins
	for pos := next; pos < len(dst); pos += record.BlockSize {
		rest = rest.add(record.Decode(dst[pos:]).Sum)
	}
	binary.LittleEndian.PutUint64(dst[at+record.HeaderSize+frameSize:], bindRecords(head, rest))
	record.Seal(dst[at:next], true, false, 0)
	return dst
}

// framedSize returns how many bytes appendFramed appends at offset off for a
// payload of n bytes.
func framedSize(off int64, n int) int64 {
	if fits(off, n) {
		return record.EntrySize(off, int64(frameSize+n))
	}
	return record.EntrySize(off, int64(maxFrame+n))
}

// fits reports whether a payload of n bytes, framed, is one record at off.
func fits(off int64, n int) bool {
	room := record.BlockSize - record.Aligned(off)%record.BlockSize - record.HeaderSize
	return int64(frameSize+n) <= room
}

// parseTag decodes the tag in frame b with the file's salt. With another salt
// the index is any number.
func parseTag(b []byte, salt uint64) tag {
	v := binary.LittleEndian.Uint64(b[entry.HeadSize:]) - salt
	return tag{index: v >> 1, control: v&1 != 0, back: binary.LittleEndian.Uint32(b[entry.HeadSize+8:])}
}

var errFrame = errors.New("an entry of another kind than a store writes")

// A span says of which records an entry was put together.
type span struct {
	first int       // bytes of data in the first record; 0: there is only one
	rest  logDigest // of the checksums of the others
}

// parseFramed decodes entry b of a file with that salt.
func parseFramed(b []byte, salt uint64, s span) (t tag, payload []byte, err error) {
	head, _, ok := entry.Split(b)
	if !ok || head != (entry.Head{Kind: entry.Update}) || len(b) < frameSize {
		return t, nil, errFrame
	}
	t, payload = parseTag(b, salt), b[frameSize:]
	if s.first == 0 {
		return t, payload, nil
	}
	if len(payload) < spanSize {
		return t, nil, errFrame
	}
	sum, payload := binary.LittleEndian.Uint64(payload), payload[spanSize:]
	want := bindRecords(b[:frameSize], s.rest)
	if s.first < maxFrame {
		want = bindPayload(b[:frameSize], payload)
	}
	if sum != want {
		return t, nil, errors.New("an entry whose blocks do not belong together")
	}
	return t, payload, nil
}
