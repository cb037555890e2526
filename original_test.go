package stateio_test

import (
	"bytes"
	"io"
	"os"
	"runtime"
	"testing"

	"github.com/stateio/stateio"
)

// The test of the original package makes a temporary file, removes it first, and
// only then writes and restores it, over and over through the same descriptor.
// Programs were written after its example.
func TestAFileIsWrittenAndRestoredAsInTheTestOfTheOriginal(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("an open file can't be removed on Windows")
	}
	file, err := os.CreateTemp(t.TempDir(), "")
	do(t, err)
	defer file.Close()
	do(t, os.Remove(file.Name()))
	expect := func(state []byte, epoch uint64, want ...string) {
		t.Helper()
		gotState, gotEpoch, updates, err := stateio.RestoreFile(file)
		do(t, err)
		if !bytes.Equal(gotState, state) || gotEpoch != epoch {
			t.Fatalf("state %q of epoch %d, want %q of %d", gotState, gotEpoch, state, epoch)
		}
		for _, u := range want {
			if got, err := updates.Read(); err != nil || string(got) != u {
				t.Fatalf("update %q, %v, want %q", got, err, u)
			}
		}
		if got, err := updates.Read(); err != io.EOF {
			t.Fatalf("an update too many: %q, %v", got, err)
		}
	}
	expect(nil, 0)
	w, err := stateio.NewFileWriter(file)
	do(t, err, w.Update([]byte("update 1")), w.Update([]byte("update 2")))
	expect(nil, 0, "update 1", "update 2")
	do(t, w.Snapshot([]byte("snapshot 1")))
	const epoch = 2 * (15 + 9 + 8)
	expect([]byte("snapshot 1"), epoch)
	do(t, w.Update([]byte("update 3")))
	expect([]byte("snapshot 1"), epoch, "update 3")

	w, err = stateio.NewFileWriter(file)
	do(t, err, w.Update([]byte("update 4")))
	expect([]byte("snapshot 1"), epoch, "update 3", "update 4")
}
