// Package recordtest makes logs that no writer makes, for tests of readers.
package recordtest

import (
	"bytes"
	"math/rand/v2"

	"github.com/stateio/stateio/internal/record"
)

// Odd returns a log of at least n bytes of valid records that make entries at
// times, and often do not: of any type, any length and any offset. Their data
// begins like a record.
func Odd(rng *rand.Rand, n int) []byte {
	var log []byte
	for start := 0; len(log) < n; {
		left := record.BlockSize - len(log)%record.BlockSize
		if left <= record.HeaderSize {
			log = append(log, make([]byte, left)...)
			continue
		}
		if rng.IntN(2) == 0 {
			left = record.HeaderSize + 1 + rng.IntN(left-record.HeaderSize)
		}
		first, last := rng.IntN(3) == 0, rng.IntN(3) == 0
		if first {
			start = len(log)
		}
		offset := len(log) - start
		if rng.IntN(4) == 0 {
			offset = []int{0, offset + 1, record.BlockSize}[rng.IntN(3)]
		}
		rec := bytes.Repeat([]byte{0, 0, 0, 0, byte(record.First), 100, 0, 0, 0, 0, 0, 0, 0, 0, 0}, left/record.HeaderSize+1)[:left]
		record.Seal(rec, first, last, uint64(offset))
		log = append(log, rec...)
	}
	return log
}
