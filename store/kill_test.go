package store_test

import (
	"bufio"
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"os"
	"os/exec"
	"sync"
	"testing"

	"github.com/stateio/stateio/store"
)

const (
	killWriters = 8
	killState   = 4 << 20 // bytes of a snapshot
	killEnv     = "STATEIO_STORE_TO_KILL"
)

// TestMain is also the program that TestKill starts and kills. No test may leave
// a goroutine of a store after.
func TestMain(m *testing.M) {
	if dir := os.Getenv(killEnv); dir != "" {
		if err := writeUntilKilled(dir); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
	}
	status := m.Run()
	if status == 0 { // else a test may hang
		if left := leaked(); left != "" {
			fmt.Fprintln(os.Stderr, "a test has left goroutines:\n"+left)
			status = 1
		}
	}
	os.Exit(status)
}

// sequences is a machine that counts the updates of each writer, and refuses
// any that is not the next one.
type sequences struct{ seq [killWriters]uint64 }

func (m *sequences) Apply(u []byte) (any, error) {
	w, n := u[0], binary.LittleEndian.Uint64(u[1:])
	if n != m.seq[w]+1 {
		return nil, fmt.Errorf("update %d of writer %d after %d", n, w, m.seq[w])
	}
	m.seq[w] = n
	return nil, nil
}

func (m *sequences) Snapshot() (io.WriterTo, error) {
	c := *m
	return &c, nil
}

func (m *sequences) WriteTo(w io.Writer) (int64, error) {
	b := make([]byte, killState)
	for i, n := range m.seq {
		binary.LittleEndian.PutUint64(b[i*8:], n)
	}
	n, err := w.Write(b)
	return int64(n), err
}

func (m *sequences) Restore(r io.Reader) error {
	return binary.Read(r, binary.LittleEndian, &m.seq)
}

// writeUntilKilled makes updates and prints each one that is acknowledged.
func writeUntilKilled(dir string) error {
	m := &sequences{}
	s, err := store.Open(dir, m, &store.Options{SnapshotBytes: 100_000, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		return err
	}
	start := m.seq
	failed := make(chan error)
	var out sync.Mutex
	for w := range killWriters {
		go func() {
			for n := start[w] + 1; ; n++ {
				u := make([]byte, 9+rand.IntN(300))
				u[0] = byte(w)
				binary.LittleEndian.PutUint64(u[1:], n)
				if _, err := s.Update(context.Background(), u); err != nil {
					failed <- err
					return
				}
				out.Lock()
				fmt.Println(w, n)
				out.Unlock()
			}
		}()
	}
	return <-failed
}

// A process that is killed at any moment, with eight writers at work and
// snapshots of 4 MiB being written, loses nothing that was acknowledged, and
// the next one opens the store at once.
func TestKill(t *testing.T) {
	kills := 500
	if testing.Short() {
		kills = 15
	}
	exe, err := os.Executable()
	if err != nil {
		t.Skip(err)
	}
	dir := t.TempDir()
	var acked [killWriters]uint64
	snapshots := 0
	for i := range kills {
		readAndKill(t, exe, dir, 1+rand.IntN(800), &acked)
		m := &sequences{}
		s, err := store.Open(dir, m, quiet(nil))
		if err != nil {
			t.Fatalf("after kill %d: %v", i, err)
		}
		if s.Recovery().Snapshot != "" {
			snapshots++
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		for w, n := range m.seq {
			if n < acked[w] || n > acked[w]+1 {
				t.Fatalf("after kill %d: writer %d had %d updates acknowledged, %d are there: %v", i, w, acked[w], n, s.Recovery())
			}
		}
		acked = m.seq
	}
	t.Logf("%d kills, %d updates, %d recoveries from a snapshot", kills, acked[0]*killWriters, snapshots)
}

// readAndKill starts the program, kills it after some acknowledgements, and
// adds all that it gave.
func readAndKill(t *testing.T, exe, dir string, after int, acked *[killWriters]uint64) {
	t.Helper()
	cmd := exec.Command(exe)
	cmd.Env = append(os.Environ(), killEnv+"="+dir)
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewScanner(out)
	for n := 0; lines.Scan(); n++ {
		var w int
		var seq uint64
		if _, err := fmt.Sscan(lines.Text(), &w, &seq); err != nil {
			break // a line cut off by the kill
		}
		acked[w] = seq
		if n == after {
			if err := cmd.Process.Kill(); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := cmd.Wait(); err == nil {
		t.Fatal("the program ended by itself")
	}
}
