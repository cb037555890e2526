package child

import (
	"bytes"
	"encoding/binary"
	"math/rand/v2"
)

// fill makes update the one with that number: its number, and bytes that follow from it
// and do not compress.
func fill(update []byte, number uint64) {
	binary.BigEndian.PutUint64(update, number)
	random := rand.NewPCG(number, 1)
	for rest := update[8:]; len(rest) > 0; {
		var b [8]byte
		binary.LittleEndian.PutUint64(b[:], random.Uint64())
		rest = rest[copy(rest, b[:]):]
	}
}

// written tells whether update is one that fill made, of that size, and its number.
func written(update []byte, size int) (number uint64, ok bool) {
	if len(update) != size {
		return 0, false
	}
	want := make([]byte, size)
	fill(want, fromBytes(update))
	return fromBytes(update), bytes.Equal(update, want)
}

func fromBytes(b []byte) uint64 { return binary.BigEndian.Uint64(b) }
