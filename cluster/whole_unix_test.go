//go:build unix

package cluster

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/stateio/stateio/store"
)

// unchanged fails unless the files of a directory are as they were.
func unchanged(t *testing.T, dir string, was map[string]string) {
	t.Helper()
	is := tree(t, dir)
	for path := range was {
		if now, there := is[path]; !there || now != was[path] && filepath.Base(path) != "wal-meta.db" {
			t.Errorf("%s has changed, or is not there any more", path)
		}
		delete(is, path)
	}
	delete(is, filepath.Join(dir, "LOCK"))
	if len(is) > 0 {
		t.Errorf("there are new files: %q", slices.Collect(maps.Keys(is)))
	}
}

// aLife returns the options of a node that is alone, and its directory after some updates,
// with a snapshot, and files of the log before and after it.
func aLife(t *testing.T) (tr *trial, dir string, updates int) {
	t.Helper()
	tr = startTrial(t, 1, small)
	pad := strings.Repeat("x", 10000)
	for updates = 1; updates <= 40; updates++ {
		update(t, tr.nodes[0], "set k "+pad)
		if updates == 20 {
			if err := tr.nodes[0].Snapshot(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
	}
	tr.stop(0)
	glob(t, 3, tr.path(0), "wal", "*.wal")
	return tr, tr.path(0), updates - 1
}

// TestADirectoryThatHasLostAnyPartsIsRefusedAsItIs takes away all sets of the parts that a
// node's directory has. Without the database of the log, raft-wal would remove its files.
func TestADirectoryThatHasLostAnyPartsIsRefusedAsItIs(t *testing.T) {
	concurrently(t)
	tr, whole, updates := aLife(t)
	parts := []string{"wal/wal-meta.db", "wal/*.wal", begunFile, nodeFile, "snapshots"}
	for set := range 1 << len(parts) {
		var lost []string
		dir := filepath.Join(t.TempDir(), "node")
		if err := os.CopyFS(dir, os.DirFS(whole)); err != nil {
			t.Fatal(err)
		}
		for i, part := range parts {
			if set&(1<<i) == 0 {
				continue
			}
			lost = append(lost, part)
			for _, path := range glob(t, 1, dir, part) {
				if err := os.RemoveAll(path); err != nil {
					t.Fatal(err)
				}
			}
		}
		t.Run(fmt.Sprint(lost), func(t *testing.T) {
			was := tree(t, dir)
			n, err := Open(dir, newLedger(), tr.opts[0])
			switch {
			case set == 1<<len(parts)-1, set&^(1<<2) == 0: // all, or what is written again
				if err != nil {
					t.Fatal(err)
				}
				want := updates
				if set > 1<<2 {
					want = 0
				}
				if err := errors.Join(n.Sync(t.Context()), n.Close()); err != nil || n.Index() != uint64(want) {
					t.Errorf("%d updates are there: %v", n.Index(), err)
				}
				return
			case err == nil:
				t.Error("the node takes part with ", n.Index(), n.Close())
			case !errors.Is(err, store.ErrCorrupt) || !strings.Contains(err.Error(), dir):
				t.Errorf("the error is %v", err)
			}
			unchanged(t, dir, was)
		})
	}
}

// TestFilesOfALaterLogAreNotRemoved opens a node whose files were not copied at one time, and
// one in whose log another one's file is.
func TestFilesOfALaterLogAreNotRemoved(t *testing.T) {
	tr, dir, _ := aLife(t)
	meta, err := os.ReadFile(filepath.Join(dir, "wal", "wal-meta.db"))
	if err != nil {
		t.Fatal(err)
	}
	tr.start(0)
	for range 20 {
		update(t, tr.nodes[0], "set k "+strings.Repeat("x", 10000))
	}
	tr.stop(0)
	if err := os.WriteFile(filepath.Join(dir, "wal", "wal-meta.db"), meta, 0o600); err != nil {
		t.Fatal(err)
	}
	empty := filepath.Join(t.TempDir(), "empty")
	file := filepath.Base(glob(t, 1, dir, "wal", "*.wal")[0])
	if err := os.WriteFile(filepath.Join(mkdir(t, filepath.Join(empty, "wal")), file), []byte("another one's"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, dir := range []string{dir, empty} {
		was := tree(t, dir)
		n, err := Open(dir, newLedger(), tr.opts[0])
		if err == nil {
			err = n.Close()
		}
		if !errors.Is(err, store.ErrCorrupt) || !strings.Contains(err.Error(), ".wal") {
			t.Errorf("the error is %v", err)
		}
		unchanged(t, dir, was)
	}
}

// TestImportRemovesNothingThatNoImportHasMade imports into a directory of a node that has
// lost its small files, into those of other programs, and beside each of the small files.
func TestImportRemovesNothingThatNoImportHasMade(t *testing.T) {
	tr, life, _ := aLife(t)
	for _, name := range []string{nodeFile, begunFile} {
		if err := os.Remove(filepath.Join(life, name)); err != nil {
			t.Fatal(err)
		}
	}
	dirs := []string{life}
	for _, path := range []string{"wal/precious", "snapshots/2024-01-01/db", nodeFile, begunFile, removedFile, joinFile} {
		dir := t.TempDir()
		file := filepath.Join(dir, filepath.FromSlash(path))
		mkdir(t, filepath.Dir(file))
		if err := os.WriteFile(file, []byte("x"), 0o600); err != nil {
			t.Fatal(err)
		}
		dirs = append(dirs, dir)
	}
	_, backup := recovered(t, aTrialOfOne(t), 0)
	for _, dir := range dirs {
		was := tree(t, dir)
		err := Import(t.Context(), dir, bytes.NewReader(backup), int64(len(backup)), tr.opts[0])
		if !errors.Is(err, fs.ErrExist) || !strings.Contains(err.Error(), dir) || !strings.Contains(err.Error(), "another directory") {
			t.Errorf("the error is %v", err)
		}
		unchanged(t, dir, was)
		if there, err := exists(filepath.Join(dir, "LOCK")); there && dir != life {
			t.Errorf("%s was locked first: %v", dir, err)
		}
	}
}

// aTrialOfOne returns one whose node has made an update, and is closed.
func aTrialOfOne(t *testing.T) *trial {
	t.Helper()
	tr := startTrial(t, 1, nil)
	update(t, tr.nodes[0], "add x")
	tr.stop(0)
	return tr
}

// TestTheDirectoryOfAnotherNodeIsLeftAsItIs has what a node sweeps away, in the directory of
// another one, and in one that is nobody's.
func TestTheDirectoryOfAnotherNodeIsLeftAsItIs(t *testing.T) {
	tr := newTrial(t, 1, apart)
	for name, node := range map[string]string{"another node": "other\n", "nobody": ""} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			for _, path := range []string{"backup-2024.tmp/x", "snapshots/old.tmp/x"} {
				file := filepath.Join(dir, filepath.FromSlash(path))
				mkdir(t, filepath.Dir(file))
				if err := os.WriteFile(file, []byte("x"), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			if node != "" {
				if err := os.WriteFile(filepath.Join(dir, nodeFile), []byte(node), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			was := tree(t, dir)
			ended, end := context.WithCancel(t.Context())
			end()
			joins := *tr.opts[0]
			joins.Join = []string{"127.0.0.1:1"}
			_, rejoin := Rejoin(ended, dir, &joins)
			_, recover := Recover(t.Context(), dir, newLedger(), &bytes.Buffer{}, tr.opts[0])
			n, open := Open(dir, newLedger(), tr.opts[0])
			if node == "" {
				if open != nil {
					t.Fatal(open)
				}
				if err := n.Close(); err != nil {
					t.Fatal(err)
				}
			} else {
				for _, err := range []error{open, rejoin, recover} {
					if !errors.Is(err, ErrIdentity) {
						t.Errorf("the error is %v", err)
					}
				}
				if list, err := os.ReadDir(dir); err != nil || len(list) != 3 {
					t.Errorf("the directory has %v, %v", list, err)
				}
			}
			for path := range was {
				if _, err := os.Stat(path); err != nil {
					t.Error(err)
				}
			}
		})
	}
}
