//go:build unix

package cluster

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/stateio/stateio/store"
)

// importEnv has a process of this test's binary import, and die of SIGKILL on the way.
const importEnv = "STATEIO_CLUSTER_IMPORT"

// An importConfig says what to import, and after how many steps to die.
type importConfig struct {
	Dir, Backup, Listen string
	Steps               int
}

// importUntil imports, and dies after some steps: each that Import tells of, and each read
// of the backup. What a step has written is what the next life finds.
func importUntil(config string) error {
	var c importConfig
	if err := json.Unmarshal([]byte(config), &c); err != nil {
		return err
	}
	f, err := os.Open(c.Backup)
	if err != nil {
		return err
	}
	info, err := f.Stat()
	if err != nil {
		return err
	}
	steps := 0
	step := func() {
		if steps == c.Steps {
			_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
			select {}
		}
		steps++
	}
	o := &Options{ID: "n0", Listen: c.Listen, Logger: quiet(nil)}
	o.hooks.importing = func(string) { step() }
	return Import(context.Background(), c.Dir, steppedReader{f, step}, info.Size(), o)
}

// A steppedReader tells of each read.
type steppedReader struct {
	io.ReaderAt
	step func()
}

func (r steppedReader) ReadAt(p []byte, off int64) (int, error) {
	r.step()
	return r.ReaderAt.ReadAt(p, off)
}

// TestAnImportThatIsKilledIsNoNode kills an import after each of its steps. What is left is
// never taken for a node, and the import can be repeated.
func TestAnImportThatIsKilledIsNoNode(t *testing.T) {
	concurrently(t)
	backup := backupOf(t, 7)
	file := filepath.Join(t.TempDir(), "backup")
	if err := os.WriteFile(file, backup, 0o600); err != nil {
		t.Fatal(err)
	}
	tr := newTrial(t, 1, apart)
	dir, unfinished := tr.path(0), 0
	for steps := 0; ; steps++ {
		if err := os.RemoveAll(dir); err != nil {
			t.Fatal(err)
		}
		killed := importInChild(t, importConfig{Dir: dir, Backup: file, Listen: tr.addrs[0], Steps: steps})
		left, err := os.ReadDir(dir)
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			t.Fatal(err)
		}
		n, err := Open(dir, newLedger(), tr.opts[0])
		switch {
		case killed && errors.Is(err, ErrUnfinished) && strings.Contains(err.Error(), "call Import again"):
			unfinished++
			for range 2 { // the second time over an import that is not finished, too
				if err = importBackup(t, tr, backup); err != nil {
					t.Fatalf("after %d steps, with %v left, it can't be repeated: %v", steps, left, err)
				}
				if err := writeDurably(filepath.Join(dir, importFile), nil); err != nil {
					t.Fatal(err)
				}
			}
			if err := os.Remove(filepath.Join(dir, importFile)); err != nil {
				t.Fatal(err)
			}
		case err != nil:
			t.Fatalf("after %d steps, with %v left: %v", steps, left, err)
		case len(left) == 0: // nothing was begun
			if err := n.Close(); err != nil {
				t.Fatal(err)
			}
			continue
		default:
			if err := n.Close(); err != nil {
				t.Fatal(err)
			}
		}
		tr.start(0)
		if got := update(t, tr.nodes[0], "add x"); got != 8 {
			t.Fatalf("after %d steps, with %v left, the sum is %v", steps, left, got)
		}
		tr.stop(0)
		if err := importBackup(t, tr, backup); !errors.Is(err, fs.ErrExist) {
			t.Errorf("importing over a node: %v", err)
		}
		if !killed {
			t.Logf("%d of %d steps leave an import that is not finished", unfinished, steps)
			if unfinished < 6 {
				t.Error("these are too few")
			}
			return
		}
	}
}

func importBackup(t *testing.T, tr *trial, backup []byte) error {
	t.Helper()
	return Import(t.Context(), tr.path(0), bytes.NewReader(backup), int64(len(backup)), tr.opts[0])
}

// importInChild imports in a process, and reports whether it was killed.
func importInChild(t *testing.T, c importConfig) (killed bool) {
	t.Helper()
	config, err := json.Marshal(c)
	if err != nil {
		t.Fatal(err)
	}
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(self)
	cmd.Env = append(os.Environ(), importEnv+"="+string(config))
	out, err := cmd.CombinedOutput()
	var exit *exec.ExitError
	if errors.As(err, &exit) && exit.Sys().(syscall.WaitStatus).Signal() == syscall.SIGKILL {
		return true
	}
	if err != nil {
		t.Fatalf("the import: %v\n%s", err, out)
	}
	return false
}

// backupOf returns a backup of a store that has made some updates.
func backupOf(t *testing.T, updates int) []byte {
	t.Helper()
	s, err := store.Open(filepath.Join(t.TempDir(), "store"), newLedger(), &store.Options{Logger: quiet(t)})
	if err != nil {
		t.Fatal(err)
	}
	for range updates {
		if _, err := s.Update(t.Context(), []byte("add x")); err != nil {
			t.Fatal(err)
		}
	}
	var buf bytes.Buffer
	_, err = s.Backup(t.Context(), &buf)
	if err = errors.Join(err, s.Close()); err != nil {
		t.Fatal(err)
	}
	return slices.Clip(buf.Bytes())
}
