package durable

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
)

// An update of a value is
//
//	update = head | encoded                of a value on a store
//	       | head | index uvarint | encoded   that holds if index is the last update before it
//	head   = version<<5 | form<<3, one byte
//
// where form is 1 or 2, and encoded is what the codec has made of the value. The three lowest
// bits tell a value from a map: here they are 0, and in the head of a map they are a kind,
// which is never 0 (see ops.go). That must stay so in all versions: whatever is added to
// either has a head that the other one refuses.
//
// A snapshot of a value is
//
//	snapshot = "dval" | version uint8 = 1 | encoded
//	         | "dval" | version uint8 = 2             before the first update
//
// where that of a map begins with "dmap".
const (
	valuePlain byte = opsVersion<<5 | 1<<3
	valueSince byte = opsVersion<<5 | 2<<3

	valueMagic = "dval"
	keptValue  = 1 // versions of snapshots
	noValue    = 2
)

// isValueHead and isMapHead report whether an update of the version that this program knows
// is one of a value, or a map, by its first byte. It is never both.
func isValueHead(head byte) bool {
	return head>>5 == opsVersion && head&kindMask == 0 && head>>3&3 != 0
}

func isMapHead(head byte) bool { return head>>5 == opsVersion && head&kindMask != 0 }

// What an opener says of a directory of the other kind. Nothing was changed in it.
var (
	errHoldsValue = errors.New("durable: the directory holds a value, not a map: open it with OpenValue, or OpenValueOn, and the type that it was made with")
	errHoldsMap   = errors.New("durable: the directory holds a map, not a value: open it with OpenMap, or OpenMapOn, and the types of keys and values that it was made with")
)

// A valueUpdate is an update of a value.
type valueUpdate struct {
	value       []byte // encoded; part of the update
	conditional bool
	since       uint64 // the last update before it, if conditional
}

func parseValueUpdate(update []byte) (u valueUpdate, err error) {
	if len(update) == 0 {
		return u, errors.New("durable: the update is empty: no value has made it")
	}
	head, rest := update[0], update[1:]
	switch {
	case head == valuePlain:
		return valueUpdate{value: rest}, nil
	case head == valueSince:
		since, w := binary.Uvarint(rest)
		if w <= 0 {
			return u, errors.New("durable: the update ends within an index: no value has made it")
		}
		return valueUpdate{value: rest[w:], conditional: true, since: since}, nil
	case isMapHead(head):
		return u, errHoldsMap
	case head>>5 == opsVersion && !isValueHead(head):
		return u, fmt.Errorf("durable: the update begins with a byte %#02x, and no value has made it: open the directory with the program that made it", head)
	}
	return u, fmt.Errorf("durable: the update of a value is of version %d and form %d, which this program does not know: it was made by a newer one, use that", head>>5, head>>3&3)
}

// parseValueSnapshot returns the encoded value in a snapshot, if it has one.
func parseValueSnapshot(b []byte) (value []byte, kept bool, err error) {
	rest, ok := bytes.CutPrefix(b, []byte(valueMagic))
	switch {
	case bytes.HasPrefix(b, []byte(snapshotMagic)):
		return nil, false, errHoldsMap
	case !ok || len(rest) == 0:
		return nil, false, errors.New("durable: the snapshot is not that of a value: open the directory with the program that made it")
	case rest[0] == keptValue:
		return rest[1:], true, nil
	case rest[0] == noValue && len(rest) == 1:
		return nil, false, nil
	case rest[0] == noValue:
		return nil, false, errors.New("durable: the snapshot of a value says that there is none, and goes on: no value has made it")
	}
	return nil, false, fmt.Errorf("durable: the snapshot of a value is of version %d, and this program knows versions up to %d: it was made by a newer one, use that", rest[0], noValue)
}
