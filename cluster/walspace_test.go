package cluster

import (
	"math"
	"path/filepath"
	"testing"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/raft"
	wal "github.com/hashicorp/raft-wal"
	walfs "github.com/hashicorp/raft-wal/fs"
	"github.com/hashicorp/raft-wal/metadb"
)

// replaceEnds replaces the last entry of a log as often, after ten others that stay.
func replaceEnds(t *testing.T, dir string, segmentBytes, times int) {
	t.Helper()
	s, err := newLogStore(func() (*wal.WAL, error) {
		return openWAL(dir, walParts{walfs.New(), syncDir, &metadb.BoltMetaDB{}}, segmentBytes, hclog.NewNullLogger())
	}, quiet(t), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	}()
	last, err := s.LastIndex()
	if err != nil {
		t.Fatal(err)
	}
	var l raft.Log
	if err := s.GetLog(last, &l); err != nil {
		t.Fatal(err)
	}
	for range times {
		for range 11 {
			last++
			if err := s.StoreLog(&raft.Log{Index: last, Term: l.Term, Type: raft.LogNoop}); err != nil {
				t.Fatal(err)
			}
		}
		if err := s.DeleteRange(last, last); err != nil {
			t.Fatal(err)
		}
		last--
	}
}

// A log whose end was replaced often has files with little in them. They go with a snapshot, which is
// made because of them, though what it holds is far less than SnapshotBytes, and the entries that are
// kept would be all by their size.
func TestAFileForEachEndThatWasReplacedDoesNotStay(t *testing.T) {
	concurrently(t)
	tr := startTrial(t, 1, func(_ int, o *Options) {
		o.SegmentBytes, o.SnapshotBytes, o.hooks.keepLogs = 1<<20, 1<<20, 1<<20
	})
	update(t, tr.nodes[0], "add x")
	tr.crash(0)
	dir := filepath.Join(tr.path(0), "wal")
	replaceEnds(t, dir, 1<<20, 30)
	glob(t, 31, dir, "*.wal")
	n := tr.start(0)
	few := n.filesFor(1 << 20)
	eventually(t, "a snapshot was made, and the log has few files", func() bool {
		return n.Stats().Snapshots > 0 && int64(n.countLogFiles(31)) <= few
	})
	if got := update(t, n, "add x"); got != 2 {
		t.Errorf("the sum is %v", got)
	}
}

// A SnapshotBytes that is there to mean never does not make a snapshot due by the number of files.
func TestFilesForAnySize(t *testing.T) {
	n := &Node{opts: &Options{SegmentBytes: 64 << 20}}
	for size, want := range map[int64]int64{0: 4, 32 << 20: 5, 64 << 20: 6, 100 << 20: 7, 1 << 62: 1<<37 + 4, math.MaxInt64: 1<<38 + 3} {
		if got := n.filesFor(size); got != want {
			t.Errorf("%d files for %d bytes, want %d", got, size, want)
		}
	}
}
