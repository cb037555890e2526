package cluster

import (
	"bytes"
	"context"
	"errors"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"testing"

	wal "github.com/hashicorp/raft-wal"

	"github.com/stateio/stateio/store"
)

// recovered recovers what node i has, and returns the backup.
func recovered(t *testing.T, tr *trial, i int) (Recovery, []byte) {
	t.Helper()
	var b bytes.Buffer
	r, err := Recover(t.Context(), tr.path(i), newLedger(), &b, tr.opts[i])
	if err != nil {
		t.Fatal(err)
	}
	return r, b.Bytes()
}

// tree returns the files of a directory.
func tree(t *testing.T, dir string) map[string]string {
	t.Helper()
	files := map[string]string{}
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		b, err := os.ReadFile(path)
		files[path] = string(b)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return files
}

// TestRecoverHasAllThatTheLastNodeHas loses two of three nodes. The third one can't know
// what was acknowledged since its newest snapshot, and applies nothing of that.
func TestRecoverHasAllThatTheLastNodeHas(t *testing.T) {
	concurrently(t)
	for name, snapshot := range map[string]bool{"without a snapshot": false, "after a snapshot": true} {
		t.Run(name, func(t *testing.T) {
			tr := startTrial(t, 3, nil)
			want := 0
			add := func() {
				for range 20 {
					want++
					if got := update(t, tr.nodes[want%3], "add x"); got != want {
						t.Fatalf("the sum is %v", got)
					}
				}
			}
			add()
			if snapshot {
				if err := tr.nodes[0].Snapshot(t.Context()); err != nil {
					t.Fatal(err)
				}
				add()
			}
			if err := tr.nodes[0].Sync(t.Context()); err != nil {
				t.Fatal(err)
			}
			identity := tr.nodes[0].Status().Cluster
			for i := range 3 {
				tr.stop(i)
			}
			alone := tr.start(0)
			if got := alone.Index(); got == uint64(want) {
				t.Error("a node that is alone has applied what it can't know to be acknowledged")
			}
			tr.stop(0)

			before := tree(t, tr.path(0))
			r, backup := recovered(t, tr, 0)
			if r.Index != uint64(want) || r.Cluster != identity || r.Term == 0 || r.Entry == 0 || r.Time.IsZero() {
				t.Errorf("%d updates were acknowledged; found: %+v", want, r)
			}
			after := tree(t, tr.path(0))
			for path := range before {
				// The database of the log is written when it is opened.
				if before[path] != after[path] && filepath.Base(path) != "wal-meta.db" {
					t.Errorf("%s has changed", path)
				}
				delete(after, path)
			}
			if len(after) > 0 {
				t.Errorf("there are new files: %q", slices.Collect(maps.Keys(after)))
			}

			if again, _ := recovered(t, tr, 0); again != r {
				t.Errorf("the first time: %+v; the second time: %+v", r, again)
			}

			next := newTrial(t, 3, nil)
			joining(next)
			if err := Import(t.Context(), next.path(0), bytes.NewReader(backup), int64(len(backup)), next.opts[0]); err != nil {
				t.Fatal(err)
			}
			for i := range 3 {
				next.start(i)
				voters(t, next.nodes[0], i+1)
			}
			if got := update(t, next.nodes[2], "add x"); got != want+1 {
				t.Errorf("the sum is %v", got)
			}
		})
	}
}

// TestRecoverOfANodeThatHasNotBegun: it is of no cluster yet, and no entry has a time.
func TestRecoverOfANodeThatHasNotBegun(t *testing.T) {
	tr := newTrial(t, 3, nil)
	tr.start(0)
	tr.stop(0)
	if r, _ := recovered(t, tr, 0); r.Index != 0 || r.Cluster != "" || !r.Time.IsZero() {
		t.Errorf("recovered: %+v", r)
	}
}

// TestRecoverSaysWhichNodeHasMost compares a node that was down with one that was not.
func TestRecoverSaysWhichNodeHasMost(t *testing.T) {
	tr := startTrial(t, 3, nil)
	update(t, tr.nodes[0], "add x")
	late := tr.follower()
	tr.stop(late)
	up := tr.leader()
	for range 5 {
		update(t, tr.nodes[up], "add x")
	}
	for i := range tr.nodes {
		if i != late {
			tr.stop(i)
		}
	}
	most, _ := recovered(t, tr, up)
	least, _ := recovered(t, tr, late)
	if most.Index != 6 || least.Index >= 6 || most.Term < least.Term || most.Term == least.Term && most.Entry <= least.Entry {
		t.Errorf("one that has all says %+v, and one that was down %+v", most, least)
	}
}

func TestRecoverRefuses(t *testing.T) {
	tr := startTrial(t, 1, nil)
	update(t, tr.nodes[0], "add x")
	try := func(ctx context.Context, dir string, w io.Writer, o *Options) error {
		_, err := Recover(ctx, dir, newLedger(), w, o)
		return err
	}
	if err := try(t.Context(), tr.path(0), io.Discard, tr.opts[0]); !errors.Is(err, store.ErrLocked) {
		t.Errorf("a node that runs: %v", err)
	}
	if err := tr.nodes[0].Snapshot(t.Context()); err != nil {
		t.Fatal(err)
	}
	update(t, tr.nodes[0], "add x")
	tr.stop(0)
	absent := filepath.Join(t.TempDir(), "absent")
	if err := try(t.Context(), absent, io.Discard, tr.opts[0]); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a directory that is not there: %v", err)
	}
	if there, err := exists(absent); there || err != nil {
		t.Errorf("it was made: %v", err)
	}
	other := *tr.opts[0]
	other.ID, other.Members = "other", nil
	if err := try(t.Context(), tr.path(0), io.Discard, &other); !errors.Is(err, ErrIdentity) {
		t.Errorf("another ID: %v", err)
	}
	ended, end := context.WithCancel(t.Context())
	end()
	if err := try(ended, tr.path(0), io.Discard, tr.opts[0]); !errors.Is(err, context.Canceled) {
		t.Errorf("a context that has ended: %v", err)
	}
	r, w := io.Pipe()
	_ = r.CloseWithError(errOnce)
	if err := try(t.Context(), tr.path(0), w, tr.opts[0]); !errors.Is(err, errOnce) {
		t.Errorf("a writer that fails: %v", err)
	}
	snapshots, err := filepath.Glob(filepath.Join(tr.path(0), "snapshots", "*", "state.bin"))
	if err != nil || len(snapshots) != 1 {
		t.Fatalf("there are the snapshots %q, %v", snapshots, err)
	}
	if err := os.Truncate(snapshots[0], 10); err != nil {
		t.Fatal(err)
	}
	if err := try(t.Context(), tr.path(0), io.Discard, tr.opts[0]); !errors.Is(err, store.ErrCorrupt) {
		t.Errorf("a snapshot that was cut: %v", err)
	}
}

// TestNoOlderSnapshotIsUsedWithoutTheLogAfterIt: a node that has installed a snapshot of
// another one has an empty log, and its own older snapshot lacks what was in between.
func TestNoOlderSnapshotIsUsedWithoutTheLogAfterIt(t *testing.T) {
	tr := startTrial(t, 1, nil)
	n := tr.nodes[0]
	for range 2 {
		update(t, n, "add x")
		if err := n.Snapshot(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	first, err := n.logs.FirstIndex()
	if err != nil {
		t.Fatal(err)
	}
	last, err := n.logs.LastIndex()
	if err != nil {
		t.Fatal(err)
	}
	tr.stop(0)
	log, err := newLogStore(func() (*wal.WAL, error) { return wal.Open(filepath.Join(tr.path(0), "wal")) }, quiet(t), nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(log.walFile.DeleteRange(first, last), log.Close()); err != nil {
		t.Fatal(err)
	}
	if r, _ := recovered(t, tr, 0); r.Index != 2 {
		t.Fatalf("recovered: %+v", r)
	}
	snapshots, err := snapshotNames(tr.path(0))
	if err != nil || len(snapshots) != 2 {
		t.Fatalf("there are the snapshots %q, %v", snapshots, err)
	}
	slices.Sort(snapshots)
	for _, file := range []string{"state.bin", "meta.json"} { // of the newer one
		if err := os.Truncate(filepath.Join(tr.path(0), "snapshots", snapshots[1], file), 10); err != nil {
			t.Fatal(err)
		}
		if r, err := Recover(t.Context(), tr.path(0), newLedger(), io.Discard, tr.opts[0]); !errors.Is(err, store.ErrCorrupt) {
			t.Errorf("%s was cut: recovered %+v, %v", file, r, err)
		}
		if n, err := Open(tr.path(0), newLedger(), tr.opts[0]); !errors.Is(err, store.ErrCorrupt) {
			t.Errorf("%s was cut: opened: %v", file, err)
			if err == nil {
				_ = n.Close()
			}
		}
	}
}

// TestWhatCanNotBeReadIsNotSaidToBeGone: Rejoin would set aside a log that is good.
func TestWhatCanNotBeReadIsNotSaidToBeGone(t *testing.T) {
	tr := startTrial(t, 1, nil)
	update(t, tr.nodes[0], "add x")
	tr.stop(0)
	dir := filepath.Join(tr.path(0), "wal")
	if err := os.Rename(dir, dir+"-aside"); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(dir, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if n, err := Open(tr.path(0), newLedger(), tr.opts[0]); err == nil || errors.Is(err, store.ErrCorrupt) {
		t.Errorf("the log can't be listed: %v", err)
		if err == nil {
			_ = n.Close()
		}
	}
}
