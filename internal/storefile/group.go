package storefile

import "encoding/binary"

// A group is the payload of an entry with several updates: of each the length, as a
// varint, and the bytes. It is there as a whole or not at all.

// AppendToGroup appends an update to a group, which is empty at first.
func AppendToGroup(group, update []byte) []byte {
	group = binary.AppendUvarint(group, uint64(len(update)))
	return append(group, update...)
}

// GroupSize returns how long a group becomes with another update. It must be no longer than
// MaxUpdate, or it is not read back.
func GroupSize(group, update []byte) int64 {
	var n [binary.MaxVarintLen64]byte
	return int64(len(group)) + int64(binary.PutUvarint(n[:], uint64(len(update)))) + int64(len(update))
}

// cutGroup returns the first update of a group, and what follows it.
func cutGroup(group []byte) (update, rest []byte, ok bool) {
	n, k := binary.Uvarint(group)
	if k <= 0 || n > uint64(len(group)-k) {
		return nil, nil, false
	}
	end := k + int(n)
	return group[k:end:end], group[end:], true
}

// countGroup returns how many updates a group has. It reports false for what is none.
func countGroup(group []byte) (n uint32, ok bool) {
	for len(group) > 0 {
		if _, group, ok = cutGroup(group); !ok {
			return 0, false
		}
		n++
	}
	return n, n > 0
}
