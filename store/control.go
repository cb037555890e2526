package store

import (
	"encoding/binary"

	"github.com/cespare/xxhash/v2"

	"github.com/stateio/stateio/internal/record"
)

// A control is the payload of a control entry.
//
//	type uint8 | count uint64 | digest uint64
type control struct {
	kind controlKind
	// count is, in a seal, of the log's updates; in a trailer, of the snapshot's
	// bytes.
	count uint64
	// digest is, in a seal, of the checksums of the log's records up to it; in a
	// trailer, the XXH64 of the snapshot.
	digest uint64
}

type controlKind uint8

const (
	// seal ends a log: what follows is in the next one.
	seal controlKind = iota + 1
	// trailer ends a snapshot.
	trailer
)

const (
	controlSize = 1 + 8 + 8
	// tailRoom is kept free at the end of the space set aside for a log: for the
	// seal, which may be split in two by the end of a block, and padding.
	tailRoom = maxFrame + controlSize + 3*record.HeaderSize
)

func (c control) encode() []byte {
	b := append(make([]byte, 0, controlSize), byte(c.kind))
	b = binary.LittleEndian.AppendUint64(b, c.count)
	return binary.LittleEndian.AppendUint64(b, c.digest)
}

func parseControl(b []byte) (control, bool) {
	if len(b) != controlSize {
		return control{}, false
	}
	return control{controlKind(b[0]), binary.LittleEndian.Uint64(b[1:]), binary.LittleEndian.Uint64(b[9:])}, true
}

// A logDigest is a digest of the checksums of records, in order.
type logDigest uint64

// add returns the digest with one more record.
func (d logDigest) add(sum uint32) logDigest {
	return (d ^ logDigest(sum)) * digestFactor
}

// digestFactor is odd, so that no digest loses what went into it.
const digestFactor = 0x9E3779B185EBCA87

// bindRecords is the sum of an entry of several records whose first one holds
// frame and sum: rest is the digest of the other records' checksums.
func bindRecords(frame []byte, rest logDigest) uint64 {
	return xxhash.Sum64(frame)*digestFactor ^ uint64(rest)
}

// bindPayload is the sum of an entry whose first record has no room for it.
func bindPayload(frame, payload []byte) uint64 {
	return xxhash.Sum64(frame)*digestFactor ^ xxhash.Sum64(payload)
}
