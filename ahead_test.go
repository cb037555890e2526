package stateio_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/stateio/stateio"
)

// largeLog returns a log of one epoch of some MiB, with updates of all sizes.
func largeLog(rng *rand.Rand) []byte {
	var buf bytes.Buffer
	w := stateio.NewWriter(&buf, 0, 0)
	if err := w.Snapshot(make([]byte, rng.IntN(500_000))); err != nil {
		panic(err)
	}
	for i := 0; buf.Len() < 3<<20; i++ {
		size := rng.IntN(200)
		if i%20 == 0 {
			size = rng.IntN(100_000)
		}
		update := bytes.Repeat([]byte{byte(i), byte(i >> 8), byte(rng.Uint32())}, size/3+1)
		if err := w.Update(update); err != nil {
			panic(err)
		}
	}
	return buf.Bytes()
}

// told returns what restoring r gives, entry by entry, and how it ends.
func told(r io.ReaderAt, limit int64) []string {
	state, epoch, updates, err := stateio.Restore(r, limit)
	list := []string{fmt.Sprintf("%d bytes, epoch %d", len(state), epoch)}
	for err == nil {
		var update []byte
		if update, err = updates.Read(); err == nil {
			list = append(list, fmt.Sprintf("%d: %d bytes of %x", updates.Offset(), len(update), update[:1]))
		}
	}
	var corrupt *stateio.CorruptError
	if errors.As(err, &corrupt) {
		return append(list, fmt.Sprintf("corrupt at %d: %v", corrupt.Offset, corrupt.Err))
	}
	return append(list, err.Error())
}

// A large file is read ahead by other goroutines, which must make no difference.
func TestALargeFileReadsAsMemoryDoes(t *testing.T) {
	path := filepath.Join(t.TempDir(), "state")
	for seed := range uint64(6) {
		rng := rand.New(rand.NewPCG(seed, 7))
		log := largeLog(rng)
		for try := range 8 {
			b := bytes.Clone(log)
			switch try % 4 {
			case 1:
				b[rng.IntN(len(b))] ^= 1 << rng.IntN(8)
			case 2:
				b = b[:len(b)-rng.IntN(100_000)]
			case 3:
				at := rng.IntN(len(b) - 70_000)
				clear(b[at : at+rng.IntN(70_000)])
			}
			if err := os.WriteFile(path, b, 0o600); err != nil {
				t.Fatal(err)
			}
			file, err := os.Open(path)
			if err != nil {
				t.Fatal(err)
			}
			got, want := told(file, int64(len(b))), told(bytes.NewReader(b), int64(len(b)))
			if !slices.Equal(got, want) {
				t.Fatalf("seed %d, try %d: %d entries and %q, not %d and %q", seed, try, len(got), got[len(got)-1], len(want), want[len(want)-1])
			}
			if err := file.Close(); err != nil {
				t.Fatal(err)
			}
		}
	}
}

// A caller that closes the file before all is read gets an error of reading.
func TestAFileThatIsClosedMeanwhileIsNotDamaged(t *testing.T) {
	path := filepath.Join(t.TempDir(), "state")
	if err := os.WriteFile(path, largeLog(rand.New(rand.NewPCG(1, 1))), 0o600); err != nil {
		t.Fatal(err)
	}
	file, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	_, _, updates, err := stateio.RestoreFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if err := file.Close(); err != nil {
		t.Fatal(err)
	}
	for err == nil {
		_, err = updates.Read()
	}
	if !errors.Is(err, os.ErrClosed) || errors.Is(err, stateio.ErrCorrupt) {
		t.Errorf("got %v", err)
	}
}
