//go:build unix

package cluster

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/raft-wal/metadb"

	"github.com/stateio/stateio/store"
)

// mustFail fails the test unless err is store.ErrFailed, and says of which file.
func mustFail(t *testing.T, what string, err error) {
	t.Helper()
	if !errors.Is(err, store.ErrFailed) || !strings.Contains(err.Error(), "wal") || !strings.Contains(err.Error(), "Rejoin") {
		t.Errorf("%s: %v", what, err)
	}
}

// TestNothingIsAcknowledgedOnceTheDirectoryIsGone takes the files of a node away while it
// runs. No later update is acknowledged, and everything says what has happened.
func TestNothingIsAcknowledgedOnceTheDirectoryIsGone(t *testing.T) {
	for name, harm := range map[string]func(dir string) error{
		"removed": os.RemoveAll,
		"moved":   func(dir string) error { return os.Rename(dir, dir+"-moved") },
		"replaced": func(dir string) error {
			return errors.Join(os.Rename(dir, dir+"-moved"), os.CopyFS(dir, os.DirFS(dir+"-moved")))
		},
		"log":      func(dir string) error { return os.Remove(glob(t, 1, dir, "wal", "*.wal")[0]) },
		"database": func(dir string) error { return os.Remove(filepath.Join(dir, "wal", metadb.FileName)) },
	} {
		t.Run(name, func(t *testing.T) {
			noLeaks(t)
			tr := startTrial(t, 1, nil)
			n := tr.nodes[0]
			update(t, n, "add x")
			follower, err := n.Follow(t.Context(), newLedger())
			if err != nil {
				t.Fatal(err)
			}
			if err := harm(tr.path(0)); err != nil {
				t.Fatal(err)
			}
			ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
			defer cancel()
			for range 2 {
				_, err := n.Update(ctx, []byte("add x"))
				mustFail(t, "an update", err)
			}
			mustFail(t, "View", n.View(ctx, func() error { return nil }))
			mustFail(t, "Snapshot", n.Snapshot(ctx))
			mustFail(t, "Stats", n.Stats().Err)
			// What waits for more than the node will ever have does not wait for its context.
			mustFail(t, "WaitIndex", n.WaitIndex(context.Background(), 100))
			for _, err := range n.Updates(context.Background(), 2) {
				mustFail(t, "Updates", err)
			}
			mustFail(t, "Remove", n.Remove(context.Background(), "n9"))
			<-follower.Done()
			mustFail(t, "Follow", follower.Err())
			tr.nodes[0] = nil
			mustFail(t, "Close", n.Close())
			if _, err := os.Stat(tr.path(0)); name == "removed" && !errors.Is(err, os.ErrNotExist) {
				t.Errorf("the directory was made again: %v", err)
			}
		})
	}
}

// TestANodeWhoseDirectoryIsGoneIsRebuilt removes the directory of one of three nodes. It
// notices by itself, the others go on, and rebuild it.
func TestANodeWhoseDirectoryIsGoneIsRebuilt(t *testing.T) {
	noLeaks(t)
	tr := startTrial(t, 3, nil)
	hurt := tr.leader()
	update(t, tr.nodes[hurt], "add x")
	if err := os.RemoveAll(tr.path(hurt)); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the node has failed", func() bool { return errors.Is(tr.nodes[hurt].Stats().Err, store.ErrFailed) })
	if got := update(t, tr.nodes[(hurt+1)%3], "add x"); got != 2 {
		t.Errorf("the sum is %v", got)
	}
	n := tr.nodes[hurt]
	tr.nodes[hurt] = nil
	mustFail(t, "Close", n.Close())
	rejoin(t, tr, hurt)
}
