package inspect_test

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/stateio/stateio"
)

// A want is an entry as it was written.
type want struct {
	offset   int64
	snapshot bool
	epoch    uint64
	payload  []byte
}

// A logFile is a state file in memory, with what was written to it.
type logFile struct {
	bytes.Buffer
	entries []want
	epoch   uint64
}

// newLog writes entries of the given sizes: negative ones are snapshots of that
// many bytes less one. The payloads are full of what looks like records.
func newLog(t testing.TB, seed uint64, sizes ...int) *logFile {
	t.Helper()
	l := &logFile{}
	rng := rand.New(rand.NewPCG(seed, 1))
	w := stateio.NewWriter(l, 0, 0)
	for i, size := range sizes {
		e := want{snapshot: size < 0, payload: payload(rng, max(size, -size-1))}
		write := w.Update
		if e.snapshot {
			write = w.Snapshot
		}
		if err := write(e.payload); err != nil {
			t.Fatal(i, err)
		}
		e.offset = int64(l.Len()) - entrySize(l.Bytes(), len(e.payload))
		if e.snapshot {
			l.epoch = uint64(e.offset)
		}
		e.epoch = l.epoch
		l.entries = append(l.entries, e)
	}
	return l
}

// entrySize returns the size of the last entry of log b, whose payload has n
// bytes: found by the description of the format, not by the codec.
func entrySize(b []byte, n int) int64 {
	for back := n + 9 + 15; ; back++ {
		at := len(b) - back
		if typ := b[at+4]; (typ == 1 || typ == 2) && binary.LittleEndian.Uint64(b[at+7:]) == 0 &&
			back == n+9+15*records(at, n+9) {
			return int64(back)
		}
	}
}

// records returns how many records an entry of n bytes has that starts at at.
func records(at, n int) int {
	k := 1
	for room := block - at%block - 15; n > room; room = block - 15 {
		n -= room
		k++
	}
	return k
}

// payload returns n bytes: text, noise, or copies of a valid record.
func payload(rng *rand.Rand, n int) []byte {
	b := make([]byte, 0, n)
	switch rng.IntN(3) {
	case 0:
		for i := 0; len(b) < n; i++ {
			b = fmt.Appendf(b, "line %d\n", i)
		}
	case 1:
		for len(b) < n {
			b = append(b, byte(rng.Uint32()))
		}
	default:
		var nested bytes.Buffer
		if err := stateio.NewWriter(&nested, 0, 0).Update([]byte("planted")); err != nil {
			panic(err)
		}
		for len(b) < n {
			b = append(b, nested.Bytes()...)
		}
	}
	return b[:n]
}
