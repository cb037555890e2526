package cluster

import (
	"bytes"
	"io"
	"math/rand/v2"
	"testing"
	"testing/iotest"
)

func chunked(t *testing.T, data []byte) []byte {
	t.Helper()
	var buf bytes.Buffer
	w := newChunkWriter(&buf)
	for rest := data; len(rest) > 0; {
		n := min(len(rest), 1+rand.IntN(100_000))
		if _, err := w.Write(rest[:n]); err != nil {
			t.Fatal(err)
		}
		rest = rest[n:]
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return buf.Bytes()
}

func TestChunksGiveBackWhatWasWritten(t *testing.T) {
	for _, size := range []int{0, 1, chunkSize - chunkHeader, chunkSize - 1, chunkSize, chunkSize + 1, 3 * chunkSize, 1_000_000} {
		data := make([]byte, size)
		for i := range data {
			data[i] = byte(i * 7)
		}
		got, err := io.ReadAll(newChunkReader(iotest.HalfReader(bytes.NewReader(chunked(t, data)))))
		if err != nil || !bytes.Equal(got, data) {
			t.Errorf("%d bytes: %d are read back, %v", size, len(got), err)
		}
	}
}

// TestDamagedChunksAreNoticed cuts the stream everywhere and flips bits everywhere.
func TestDamagedChunksAreNoticed(t *testing.T) {
	data := bytes.Repeat([]byte("state"), 40)
	whole := chunked(t, data)
	for n := range whole {
		if _, err := io.ReadAll(newChunkReader(bytes.NewReader(whole[:n]))); err == nil {
			t.Errorf("a stream of %d bytes that ends after %d is read without an error", len(whole), n)
		}
		for bit := range 8 {
			bad := bytes.Clone(whole)
			bad[n] ^= 1 << bit
			if _, err := io.ReadAll(newChunkReader(bytes.NewReader(bad))); err == nil {
				t.Errorf("bit %d of byte %d is flipped, and no error comes of it", bit, n)
			}
		}
	}
}
