//go:build !race

// The race detector has memory of its own, for all that the process has touched.

package store_test

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stateio/stateio/store"
)

// A tape is a machine with a state of so many bytes, which it has not in memory.
type tape int64

func (tape) Apply([]byte) (any, error)        { return nil, nil }
func (n tape) Snapshot() (io.WriterTo, error) { return n, nil }
func (n tape) Restore(r io.Reader) error      { _, err := io.Copy(io.Discard, r); return err }
func (n tape) WriteTo(w io.Writer) (int64, error) {
	piece := make([]byte, 64<<10)
	for at := int64(0); at < int64(n); at += int64(len(piece)) {
		for i := range piece {
			piece[i] = byte(i) ^ byte(at>>16)
		}
		if _, err := w.Write(piece); err != nil {
			return at, err
		}
	}
	return int64(n), nil
}

// mostMore is how much more memory Import may take for a large state than for one of
// 1 MiB, in kB. It is what the collector leaves for a moment.
const mostMore = 16 << 10

// Import needs no more memory for a larger state.
func TestImportNeedsTheSameMemoryForAnyState(t *testing.T) {
	if file := os.Getenv(childEnv); file != "" {
		importInChild(t, file)
		return
	}
	large := int64(256 << 20)
	switch {
	case os.Getenv("STATEIO_SWEEP") != "":
		large = 1 << 30
	case testing.Short():
		large = 64 << 20
	}
	small, most := importPeak(t, 1<<20), importPeak(t, large)
	t.Logf("%d kB for a state of 1 MiB, %d kB for one of %d MiB", small, most, large>>20)
	if most > small+mostMore {
		t.Errorf("%d kB for a state of 1 MiB, and %d kB for one of %d MiB", small, most, large>>20)
	}
}

// importPeak returns the most memory, in kB, that a process has had that imported a state
// of so many bytes.
func importPeak(t *testing.T, size int64) (kb int) {
	t.Helper()
	dir := t.TempDir()
	file := filepath.Join(dir, "backup")
	memory(t, "/tape")
	s := open(t, "/tape", tape(size), &store.Options{SnapshotBytes: -1})
	f, err := os.Create(file)
	check(t, err)
	_, err = s.Backup(t.Context(), f)
	check(t, err)
	check(t, f.Close())
	check(t, s.Close())
	out := inChild(t, file, nil)
	if _, err := fmt.Sscanf(out[strings.Index(out, peak)+len(peak):], "%d kB", &kb); err != nil {
		t.Fatalf("%v in %q", err, out)
	}
	return kb
}

// peak stands before the figure in /proc/self/status.
const peak = "VmHWM:"

func importInChild(t *testing.T, file string) {
	f, err := os.Open(file)
	check(t, err)
	defer f.Close()
	info, err := f.Stat()
	check(t, err)
	check(t, store.Import(file+".store", f, info.Size()))
	status, err := os.ReadFile("/proc/self/status")
	check(t, err)
	for line := range strings.Lines(string(status)) {
		if strings.HasPrefix(line, peak) {
			t.Log(line)
		}
	}
}
