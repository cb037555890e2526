//go:build !race

// The race detector has memory of its own, for all that the process has touched.

package main

import (
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/stateio/stateio/logio"
	"github.com/stateio/stateio/store"
)

// idle is a machine without a state.
type idle struct{}

func (idle) Apply([]byte) (any, error) { return nil, nil }

func (idle) Snapshot() (io.WriterTo, error) {
	return store.WriterFunc(func(io.Writer) error { return nil }), nil
}

func (idle) Restore(io.Reader) error { return nil }

// mostMemory is what a command may take that reads a store of any size, in bytes.
const mostMemory = 100 << 20

// Commands that read all of a store take the same memory for one of any size:
// STATEIO_GIB makes it so many GiB.
func TestReadingALargeStoreTakesLittleMemory(t *testing.T) {
	size := int64(2 * mostMemory)
	if s := os.Getenv("STATEIO_GIB"); s != "" {
		gib, err := strconv.ParseInt(s, 10, 64)
		if err != nil {
			t.Fatal(err)
		}
		size = gib << 30
	}
	dir := filepath.Join(t.TempDir(), "store")
	s, err := store.Open(dir, idle{}, &store.Options{SnapshotBytes: -1})
	if err != nil {
		t.Fatal(err)
	}
	update := make([]byte, 4000)
	for range size / int64(len(update)) {
		if _, err := s.Submit(update); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	for _, args := range [][]string{{"verify"}, {"stat"}, {"log"}, {"restore"}, {"diff", dir}} {
		takesLittleMemory(t, size, append(args, dir)...)
	}
}

// So do those that read a state file with a large state.
func TestReadingALargeStateTakesLittleMemory(t *testing.T) {
	const size = 2 * mostMemory
	path := filepath.Join(t.TempDir(), "app.state")
	file, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	head := strings.NewReader("\x02" + strings.Repeat("\x00", 8)) // of a snapshot, see docs/FORMAT.md
	if _, err := logio.NewWriter(file, 0).AppendFrom(io.MultiReader(head, io.LimitReader(zeros{}, size))); err != nil {
		t.Fatal(err)
	}
	if err := file.Close(); err != nil {
		t.Fatal(err)
	}
	to := filepath.Join(t.TempDir(), "to")
	for _, args := range [][]string{{"verify", path}, {"stat", path}, {"log", path}, {"restore", path}, {"restore", path, "--updates", "-"}, {"compact", path, to}} {
		takesLittleMemory(t, size, args...)
	}
}

// zeros are without end.
type zeros struct{}

func (zeros) Read(b []byte) (int, error) {
	clear(b)
	return len(b), nil
}

// takesLittleMemory runs a command that reads so many bytes.
func takesLittleMemory(t *testing.T, size int64, args ...string) {
	t.Helper()
	cmd := exec.Command("stateio", args...)
	cmd.Stdout, cmd.Stderr = io.Discard, os.Stderr
	if err := cmd.Run(); err != nil {
		t.Fatal(args, err)
	}
	// What this process has when it starts the command is counted as well.
	took := cmd.ProcessState.SysUsage().(*syscall.Rusage).Maxrss << 10
	t.Logf("%s of %d bytes: %d bytes of memory at most, in %v", args[0], size, took, cmd.ProcessState.UserTime())
	if took > mostMemory {
		t.Errorf("%s of %d bytes took %d bytes of memory", args[0], size, took)
	}
}
