// Package entry holds the codec of a state file's entries: the head that turns
// a log entry into an update or a snapshot. The format is described in package
// stateio.
package entry

import (
	"encoding/binary"
	"fmt"
	"strings"
)

// HeadSize is the size in bytes of an entry's head.
const HeadSize = 9

// Kind says what an entry holds.
type Kind uint8

// The kinds of the format.
const (
	Update   Kind = 1
	Snapshot Kind = 2
)

// Known reports whether k is a kind of the format.
func (k Kind) Known() bool { return k == Update || k == Snapshot }

func (k Kind) String() string {
	switch k {
	case Update:
		return "update"
	case Snapshot:
		return "snapshot"
	}
	return fmt.Sprintf("unknown kind %d", uint8(k))
}

// A Head is what an entry begins with, decoded: one byte of kind and eight of
// epoch, little endian.
type Head struct {
	Kind Kind
	// Epoch is the epoch that an update belongs to: the offset of its
	// snapshot's entry, or 0 for the first. Of a snapshot it is the epoch
	// before.
	Epoch uint64
}

// Put encodes h.
func (h Head) Put(b *[HeadSize]byte) {
	b[0] = byte(h.Kind)
	binary.LittleEndian.PutUint64(b[1:], h.Epoch)
}

// Split decodes the head of log entry b and returns it with the payload after
// it, a part of b. It reports false if b is too short for a head or of a kind
// that the format lacks.
func Split(b []byte) (h Head, payload []byte, ok bool) {
	if len(b) < HeadSize {
		return h, nil, false
	}
	h = Head{Kind(b[0]), binary.LittleEndian.Uint64(b[1:])}
	return h, b[HeadSize:], h.Kind.Known()
}

// StoreMagic is what the payload of the first entry begins with in every file of
// package store. That entry is a snapshot, of epoch 0.
const StoreMagic = "stateio\n"

// IsStoreHeader reports whether a file that begins with log entry b, or more than
// the first bytes of one, is one of package store.
func IsStoreHeader(b []byte) bool {
	h, payload, ok := Split(b)
	return ok && h == Head{Kind: Snapshot} && strings.HasPrefix(string(payload), StoreMagic)
}
