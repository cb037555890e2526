//go:build unix

package store_test

import (
	"bufio"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/stateio/stateio/store"
)

// A process writes to a store, with snapshots all the time; its LOCK is removed again
// and again; no other process gets in. When the first is killed, the next one is let in
// at once, and everything is there.
func TestTwoProcessesNeverHaveOneStore(t *testing.T) {
	exe, err := os.Executable()
	if err != nil {
		t.Skip(err)
	}
	tries := 300
	if testing.Short() {
		tries = 30
	}
	dir := t.TempDir()
	for range 3 {
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
		lines.Scan() // the store is open, an update acknowledged
		read := make(chan struct{})
		go func() {
			defer close(read)
			for lines.Scan() {
				continue
			}
		}()
		for i := range tries {
			if i%2 == 0 {
				_ = os.Remove(filepath.Join(dir, lockFile)) // if it is there
			}
			if s, err := store.Open(dir, &sequences{}, quiet(nil)); !errors.Is(err, store.ErrLocked) {
				t.Errorf("a second process was let in: %v", err)
				if s != nil {
					s.Close()
				}
				break
			}
		}
		if err := cmd.Process.Kill(); err != nil {
			t.Fatal(err)
		}
		<-read
		_ = cmd.Wait() // it was killed
		s, err := store.Open(dir, &sequences{}, quiet(nil))
		if err != nil {
			t.Fatalf("after the kill: %v", err)
		}
		s.Close()
	}
}
