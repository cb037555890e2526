//go:build unix

package cluster

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/hashicorp/raft"
	wal "github.com/hashicorp/raft-wal"
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
	concurrently(t)
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
			<-n.Failed()
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

// TestANodeWritesNothingIntoTheDirectoryOfAnother has another directory take the place of a node's,
// and the node note at once whatever it may have to.
func TestANodeWritesNothingIntoTheDirectoryOfAnother(t *testing.T) {
	noLeaks(t)
	tr := startTrial(t, 1, nil)
	n, dir := tr.nodes[0], tr.path(0)
	update(t, n, "add x")
	if err := errors.Join(os.Rename(dir, dir+"-moved"), os.CopyFS(dir, os.DirFS(dir+"-moved")), os.Remove(filepath.Join(dir, begunFile)),
		os.WriteFile(filepath.Join(dir, joinFile), nil, 0o600)); err != nil {
		t.Fatal(err)
	}
	files := func() (list string) {
		for _, path := range glob(t, 1, dir, "*") {
			b, _ := os.ReadFile(path) // nothing, of a directory
			list += fmt.Sprintf("%s: %q\n", path, b)
		}
		return list
	}
	was := files()
	_, err := n.noteWhere("127.0.0.1:1")
	mustFail(t, "noting an address", err)
	mustFail(t, "noting that it was let in", n.self.letIn("127.0.0.1:1"))
	mustFail(t, "noting the cluster", n.self.become(newCluster(), true))
	mustFail(t, "noting that it has begun", n.begun())
	mustFail(t, "noting that it was removed", n.writeNote(true))
	mustFail(t, "noting the contrary", n.writeNote(false))
	mustFail(t, "noting that it has joined", n.removeFile(joinFile))
	s := &snapshotStore{held: n.verify}
	_, err = s.Create(1, 1, 1, raft.Configuration{}, 1, nil)
	mustFail(t, "a snapshot of the leader", err)
	_, err = n.Backup(t.Context(), io.Discard)
	mustFail(t, "a backup", err)
	n.removed.Store(true)
	n.wakeNotes()
	tr.nodes[0] = nil
	mustFail(t, "Close", n.Close())
	if now := files(); now != was {
		t.Errorf("the directory had\n%s\nand has\n%s", was, now)
	}
}

// TestALogMakesNoFileInTheDirectoryOfAnother has another directory take the place of a node's, when a
// file of its log becomes full: raft-wal makes the next one by its name, and this node opens a log by
// its name that raft-wal can't write any more.
func TestALogMakesNoFileInTheDirectoryOfAnother(t *testing.T) {
	noLeaks(t)
	tr := startTrial(t, 1, func(_ int, o *Options) { o.SegmentBytes = minSegment })
	n, dir := tr.nodes[0], tr.path(0)
	update(t, n, "add x")
	if err := errors.Join(os.Rename(dir, dir+"-moved"), os.CopyFS(dir, os.DirFS(dir+"-moved"))); err != nil {
		t.Fatal(err)
	}
	files := func() (list string) {
		for _, path := range glob(t, 2, dir, "wal", "*") {
			b, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			list += fmt.Sprintf("%s: %x\n", path, sha256.Sum256(b))
		}
		return list
	}
	was := files()
	last, err := n.logs.LastIndex()
	if err != nil {
		t.Fatal(err)
	}
	for i := range uint64(3) { // each waits for the file that the one before it wants
		_ = n.logs.walFile.StoreLogs([]*raft.Log{{Index: last + 1 + i, Term: 1, Data: make([]byte, minSegment)}})
	}
	if now := files(); now != was {
		t.Errorf("the directory had\n%s\nand has\n%s", was, now)
	}
	eventually(t, "the node has failed", func() bool { return errors.Is(n.Stats().Err, store.ErrFailed) })
	tr.nodes[0] = nil
	mustFail(t, "Close", n.Close())
}

// TestANodeThatIsLostDoesNotWaitForItsDisk removes the directory of a node whose disk is full, or the files
// of its log, while the node tries again and again to write a term, or to open its log.
func TestANodeThatIsLostDoesNotWaitForItsDisk(t *testing.T) {
	var reopened atomic.Pointer[Node] // whose log raft opens again when it writes
	log := func(t *testing.T, n *Node, full *atomic.Bool) {
		n.logs.open = func() (*wal.WAL, error) { return nil, syscall.ENOSPC }
		reopened.Store(n)
		full.Store(true)
		_, _ = n.Submit([]byte("add x")) // raft waits for its log from here on
		eventually(t, "the log can't be opened", func() bool { return n.logs.refusal.now[inOpening].Load() != nil })
	}
	for name, wait := range map[string]func(t *testing.T, n *Node, full *atomic.Bool){
		"a term": func(t *testing.T, n *Node, full *atomic.Bool) {
			full.Store(true)
			_, _ = n.Submit([]byte("add x")) // it can't be stored, so another leader is wanted
			eventually(t, "a term can't be written", func() bool { return n.logs.refusal.now[inVotes].Load() != nil })
		},
		"the log":              log,
		"the files of the log": log,
	} {
		t.Run(name, func(t *testing.T) {
			noLeaks(t)
			var full atomic.Bool
			tr := startTrial(t, 1, func(_ int, o *Options) {
				o.hooks.patience = time.Hour
				o.hooks.store = func() error {
					if !full.Load() {
						return nil
					}
					if n := reopened.Load(); n != nil {
						n.logs.again(syscall.ENOSPC)
					}
					return syscall.ENOSPC
				}
			})
			reopened.Store(nil)
			n := tr.nodes[0]
			update(t, n, "add x")
			wait(t, n, &full)
			lose := tr.path(0)
			if name == "the files of the log" {
				lose = glob(t, 1, lose, "wal", "*.wal")[0]
			}
			if err := os.RemoveAll(lose); err != nil {
				t.Fatal(err)
			}
			<-n.Failed()
			tr.nodes[0] = nil
			mustFail(t, "Close", ended(t, "Close", n.Close))
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
