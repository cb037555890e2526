package storefile

import (
	"encoding/binary"

	"github.com/cespare/xxhash/v2"

	"github.com/stateio/stateio/internal/record"
)

// A Control is the payload of a control entry.
//
//	type uint8 | count uint64 | digest uint64
type Control struct {
	Kind ControlKind
	// Count is, in a seal, of the log's updates; in a trailer, of the snapshot's
	// bytes.
	Count uint64
	// Digest is, in a seal, of the checksums of the log's records up to it; in a
	// trailer, the XXH64 of the snapshot.
	Digest uint64
}

// ControlKind says what a control entry is.
type ControlKind uint8

const (
	// Seal ends a log: what follows is in the next one.
	Seal ControlKind = iota + 1
	// trailer ends a snapshot.
	trailer
)

const (
	controlSize = 1 + 8 + 8
	// TailRoom is kept free at the end of the space set aside for a log: for the
	// seal, which may be split in two by the end of a block, and padding.
	TailRoom = maxFrame + controlSize + 3*record.HeaderSize
)

// Encode returns the payload of a control entry.
func (c Control) Encode() []byte {
	b := append(make([]byte, 0, controlSize), byte(c.Kind))
	b = binary.LittleEndian.AppendUint64(b, c.Count)
	return binary.LittleEndian.AppendUint64(b, c.Digest)
}

// parseControl decodes a control record of kind k.
func parseControl(b []byte, k ControlKind) (Control, bool) {
	if len(b) != controlSize || ControlKind(b[0]) != k {
		return Control{}, false
	}
	return Control{k, binary.LittleEndian.Uint64(b[1:]), binary.LittleEndian.Uint64(b[9:])}, true
}

// unknownControl returns the error for a control record which is none of those that
// may stand there.
func unknownControl(path string, off int64, payload []byte) error {
	if len(payload) == 0 || payload[0] == byte(Seal) || payload[0] == byte(trailer) {
		return Corrupt(path, off, "a control entry that does not belong there")
	}
	return newer("%s has a control entry of kind %d at offset %d, which this program does not know: use a newer one", path, payload[0], off)
}

// A Digest is a digest of the checksums of records, in order.
type Digest uint64

// Add returns the digest with one more record.
func (d Digest) Add(sum uint32) Digest {
	return (d ^ Digest(sum)) * digestFactor
}

// AddAll returns the digest with the records in b, which stand at offset off.
func (d Digest) AddAll(b []byte, off int64) Digest {
	for pos := record.Aligned(off) - off; pos+record.HeaderSize <= int64(len(b)); {
		h := record.Decode(b[pos:])
		d = d.Add(h.Sum)
		pos = record.Aligned(off+pos+int64(h.Size())) - off
	}
	return d
}

// digestFactor is odd, so that no digest loses what went into it.
const digestFactor = 0x9E3779B185EBCA87

// bindRecords is the sum of an entry of several records whose first one holds
// frame and sum: rest is the digest of the other records' checksums.
func bindRecords(frame []byte, rest Digest) uint64 {
	return xxhash.Sum64(frame)*digestFactor ^ uint64(rest)
}

// bindPayload is the sum of an entry whose first record has no room for it.
func bindPayload(frame, payload []byte) uint64 {
	return xxhash.Sum64(frame)*digestFactor ^ xxhash.Sum64(payload)
}
