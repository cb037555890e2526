package storefile

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/stateio/stateio/internal/entry"
	"github.com/stateio/stateio/internal/record"
)

// version is the format version that this package writes and reads.
const version = 1

// Kind says what a file of a store holds.
type Kind uint8

// The kinds of files.
const (
	LogKind  Kind = 'L'
	SnapKind Kind = 'S'
	// ImportKind is a log of index 0 after a state that no update has made: it is of no
	// use without a snapshot.
	ImportKind Kind = 'I'
	// BackupKind is a state file with the state at one moment.
	BackupKind Kind = 'B'
)

func (k Kind) String() string {
	switch k {
	case LogKind:
		return "log"
	case ImportKind:
		return "log of an imported state"
	case SnapKind:
		return "snapshot"
	case BackupKind:
		return "backup"
	}
	return fmt.Sprintf("unknown kind %d", uint8(k))
}

// A Header is what every file begins with: the payload of a snapshot entry at
// offset 0.
//
//	magic [8]byte | version uint16 | kind uint8 | reserved uint8
//	| required uint32 | optional uint32 | key uint32 | compression uint32
//	| store [16]byte | base uint64 | salt uint64 | time int64
//
// Later versions may append to it.
type Header struct {
	Kind  Kind
	Store [16]byte // the same in all files of a store
	Base  uint64   // index of the last update before the log, or in the snapshot
	Salt  uint64   // of this file's tags; random
	Time  int64    // of the commit of update base, in nanoseconds since 1970; 0 if there is none
}

const (
	magic             = entry.StoreMagic
	headerVersion     = len(magic)
	headerKind        = headerVersion + 2
	headerRequired    = headerKind + 2
	headerOptional    = headerRequired + 4
	headerKey         = headerOptional + 4
	headerCompression = headerKey + 4
	headerStore       = headerCompression + 4
	headerBase        = headerStore + 16
	headerSalt        = headerBase + 8
	headerTime        = headerSalt + 8
	headerPayload     = headerTime + 8
	// HeaderSize is that of the records of the header that is written, in bytes.
	HeaderSize     = record.HeaderSize + entry.HeadSize + headerPayload
	minHeaderBytes = headerKind // enough to tell another version
	// headerBound is how much of a file is read for its header, whoever wrote it.
	headerBound = record.BlockSize
)

// required and optional are the features that this package knows. A file that has
// another required one can't be read; another optional one is no matter.
const required, optional uint32 = 0, 0

// AppendTo appends the records of h, which stands at the start of its file.
func (h Header) AppendTo(dst []byte) []byte {
	var head [entry.HeadSize]byte
	entry.Head{Kind: entry.Snapshot}.Put(&head)
	return record.AppendEntry(dst, 0, head[:], h.Encode())
}

// Encode returns the payload of the first entry.
func (h Header) Encode() []byte {
	p := make([]byte, headerPayload)
	copy(p, magic)
	binary.LittleEndian.PutUint16(p[headerVersion:], version)
	p[headerKind] = byte(h.Kind)
	binary.LittleEndian.PutUint32(p[headerRequired:], required)
	binary.LittleEndian.PutUint32(p[headerOptional:], optional)
	copy(p[headerStore:], h.Store[:])
	binary.LittleEndian.PutUint64(p[headerBase:], h.Base)
	binary.LittleEndian.PutUint64(p[headerSalt:], h.Salt)
	binary.LittleEndian.PutUint64(p[headerTime:], uint64(h.Time))
	return p
}

// ErrNoHeader says that a file is none of a store.
var ErrNoHeader = errors.New("it does not begin with the header of a store's file")

// parseHeader decodes the first entry of a file.
func parseHeader(b []byte) (h Header, err error) {
	head, p, ok := entry.Split(b)
	if !ok || head != (entry.Head{Kind: entry.Snapshot}) || len(p) < minHeaderBytes || !bytes.HasPrefix(p, []byte(magic)) {
		return h, ErrNoHeader
	}
	if v := binary.LittleEndian.Uint16(p[headerVersion:]); v != version {
		return h, otherVersion(v)
	}
	if len(p) < headerPayload {
		return h, ErrNoHeader
	}
	if unknown := binary.LittleEndian.Uint32(p[headerRequired:]) &^ required; unknown != 0 {
		return h, newer("it needs features that this program does not know (bits %#x): use a newer one", unknown)
	}
	h.Kind = Kind(p[headerKind])
	copy(h.Store[:], p[headerStore:])
	h.Base = binary.LittleEndian.Uint64(p[headerBase:])
	h.Salt = binary.LittleEndian.Uint64(p[headerSalt:])
	h.Time = int64(binary.LittleEndian.Uint64(p[headerTime:]))
	return h, nil
}

// otherVersion says what to do about a file of format version v.
func otherVersion(v uint16) error {
	advice := "use a newer one"
	if v < version {
		advice = "no released program has written it"
	}
	return newer("it has format version %d, and this program knows version %d: %s", v, version, advice)
}

// A Tag stands before the payload of every numbered entry. It says which one
// it is, in a way that no other file and no payload can imitate.
//
//	salt + (index<<4 | state<<3 | grouped<<2 | timed<<1 | control) uint64 | back uint32 | time int64, if timed
type Tag struct {
	Index   uint64 // of the update or chunk, the first of a group; of a control entry, of the next one
	Control bool   // the payload is a control record, not data
	Grouped bool   // the payload is a group of updates
	State   bool   // the payload is a whole state, which replaces the one before
	Back    uint32 // updates of its commit before it
	// Timed says that the entry is the first of its commit in a log, and carries the
	// commit's time, in nanoseconds since 1970.
	Timed bool
	Time  int64
}

const (
	tagSize  = 12
	timeSize = 8
	spanSize = 8
	// frameSize is what an entry in one record has before its payload, without a time.
	frameSize = entry.HeadSize + tagSize
	maxFrame  = frameSize + timeSize + spanSize
)

// A frame is what an entry has before its payload: head, tag, and room for the sum.
type frame [maxFrame]byte

// put encodes head and tag of an entry, and returns them.
func (b *frame) put(salt uint64, t Tag) []byte {
	entry.Head{Kind: entry.Update}.Put((*[entry.HeadSize]byte)(b[:]))
	v := t.Index << indexShift
	if t.Control {
		v |= controlBit
	}
	if t.Timed {
		v |= timedBit
	}
	if t.Grouped {
		v |= groupedBit
	}
	if t.State {
		v |= stateBit
	}
	binary.LittleEndian.PutUint64(b[entry.HeadSize:], salt+v)
	binary.LittleEndian.PutUint32(b[entry.HeadSize+8:], t.Back)
	if !t.Timed {
		return b[:frameSize]
	}
	binary.LittleEndian.PutUint64(b[frameSize:], uint64(t.Time))
	return b[:frameSize+timeSize]
}

// What is below the index in a tag.
const (
	controlBit, timedBit, groupedBit, stateBit = 1, 2, 4, 8

	indexShift = 4
)

// AppendEntry appends the records of a numbered entry at offset off. An entry
// of more than one record has a sum before its payload, because only the first
// record holds the tag: it binds the others to it.
func AppendEntry(dst []byte, off int64, salt uint64, t Tag, payload []byte) []byte {
	var b frame
	head := b.put(salt, t)
	if fits(off, len(head)+len(payload)) {
		return record.AppendEntry(dst, off, head, payload)
	}
	at := len(dst) + int(record.Aligned(off)-off)
	first := record.BlockSize - int(record.Aligned(off)%record.BlockSize) - record.HeaderSize
	whole := b[:len(head)+spanSize]
	if first < len(whole) {
		binary.LittleEndian.PutUint64(whole[len(head):], bindPayload(head, payload))
		return record.AppendEntry(dst, off, whole, payload)
	}
	dst = record.AppendEntry(dst, off, whole, payload)
	var rest Digest
	next := at + record.HeaderSize + first // after the first record, where a block begins
	for pos := next; pos < len(dst); pos += record.BlockSize {
		rest = rest.Add(record.Decode(dst[pos:]).Sum)
	}
	binary.LittleEndian.PutUint64(dst[at+record.HeaderSize+len(head):], bindRecords(head, rest))
	record.Seal(dst[at:next], true, false, 0)
	return dst
}

// EntrySize returns how many bytes AppendEntry appends at offset off for a
// payload of n bytes, timed or not.
func EntrySize(off int64, n int, timed bool) int64 {
	n += frameSize
	if timed {
		n += timeSize
	}
	if fits(off, n) {
		return record.EntrySize(off, int64(n))
	}
	return record.EntrySize(off, int64(n+spanSize))
}

// fits reports whether an entry of n bytes is one record at off.
func fits(off int64, n int) bool {
	return int64(n) <= record.BlockSize-record.Aligned(off)%record.BlockSize-record.HeaderSize
}

// decode takes the tag in the frame that b begins with, of frameSize bytes or more, with
// the file's salt; not the time. With another salt the index is any number.
//
// It fills what is there, as parseFramed does: to return a Tag costs more than to
// decode it.
func (t *Tag) decode(b []byte, salt uint64) {
	v := binary.LittleEndian.Uint64(b[entry.HeadSize:]) - salt
	t.Index = v >> indexShift
	t.Control, t.Timed, t.Grouped, t.State = v&controlBit != 0, v&timedBit != 0, v&groupedBit != 0, v&stateBit != 0
	t.Back = binary.LittleEndian.Uint32(b[entry.HeadSize+8:])
	t.Time = 0
}

var errFrame = errors.New("an entry of another kind than a store writes")

// A span says of which records an entry was put together.
type span struct {
	first int    // bytes of data in the first record; 0: there is only one
	rest  Digest // of the checksums of the others
}

// parseFramed decodes entry b of a file with that salt into t, and returns its payload.
func parseFramed(t *Tag, b []byte, salt uint64, s span) (payload []byte, err error) {
	head, _, ok := entry.Split(b)
	if !ok || head != (entry.Head{Kind: entry.Update}) || len(b) < frameSize {
		return nil, errFrame
	}
	t.decode(b, salt)
	n := frameSize
	if t.Timed {
		if n += timeSize; len(b) < n {
			return nil, errFrame
		}
		t.Time = int64(binary.LittleEndian.Uint64(b[frameSize:]))
	}
	if s.first == 0 {
		return b[n:], nil
	}
	if len(b) < n+spanSize {
		return nil, errFrame
	}
	sum, payload := binary.LittleEndian.Uint64(b[n:]), b[n+spanSize:]
	want := bindRecords(b[:n], s.rest)
	if s.first < n+spanSize {
		want = bindPayload(b[:n], payload)
	}
	if sum != want {
		return nil, errors.New("an entry whose blocks do not belong together")
	}
	return payload, nil
}
