package inspect_test

import (
	"bytes"
	"encoding/binary"
	"runtime"
	"testing"

	"github.com/cespare/xxhash/v2"

	"github.com/stateio/stateio/inspect"
)

// Verify and package stateio agree on any file, and Verify needs no more memory
// for one than for another.
func FuzzVerify(f *testing.F) {
	for _, l := range logs(f) {
		b := l.Bytes()
		if len(b) < 9 || len(b) > 100_000 {
			continue
		}
		bad := bytes.Clone(b)
		bad[len(bad)/2] ^= 4
		for _, seed := range [][]byte{b, b[:len(b)-9], append(bytes.Clone(b), make([]byte, 40)...), bad} {
			f.Add(false, seed)
			f.Add(true, seed)
		}
	}
	f.Fuzz(func(t *testing.T, resealed bool, file []byte) {
		if resealed {
			file = bytes.Clone(file)
			reseal(file)
		}
		newAgreement(t).check(t, "the file", file)
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		if _, err := inspect.Verify(t.Context(), bytes.NewReader(file), int64(len(file)), nil); err != nil {
			t.Fatal(err)
		}
		runtime.ReadMemStats(&after)
		if n := after.TotalAlloc - before.TotalAlloc; n > uint64(8<<20+20*len(file)) {
			t.Errorf("Verify allocated %d bytes for a file of %d", n, len(file))
		}
	})
}

// reseal makes the checksums of all records right that follow one another, so
// that what is fuzzed is more than checksums.
func reseal(b []byte) {
	const block, header = 32 << 10, 15
	for pos := 0; pos+header <= len(b); {
		n := header + int(binary.LittleEndian.Uint16(b[pos+5:]))
		if end := pos + n; n == header || end > len(b) || end > pos-pos%block+block {
			return
		}
		binary.LittleEndian.PutUint32(b[pos:], uint32(xxhash.Sum64(b[pos+4:pos+n])))
		if pos += n; block-pos%block <= header {
			pos += block - pos%block
		}
	}
}
