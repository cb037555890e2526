package cluster

import (
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/hashicorp/raft"
	wal "github.com/hashicorp/raft-wal"
)

// TestASnapshotThatComesLateIsRefused sends a node a snapshot that is older than what
// it has, as a leader does that has given up waiting, or has removed the node and added
// it again.
func TestASnapshotThatComesLateIsRefused(t *testing.T) {
	noLeaks(t)
	tr := startTrial(t, 3, smallAndSteady)
	lead, other := tr.leader(), tr.follower()
	n := tr.nodes[lead]
	update(t, tr.nodes[other], "add x")
	if err := n.Snapshot(t.Context()); err != nil {
		t.Fatal(err)
	}
	snaps, err := raft.NewFileSnapshotStore(tr.path(lead), keepSnapshots, nil)
	if err != nil {
		t.Fatal(err)
	}
	list, err := snaps.List()
	if err != nil || len(list) == 0 {
		t.Fatal(list, err)
	}
	update(t, tr.nodes[other], "add x")
	meta, r, err := snaps.Open(list[0].ID)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	req := &raft.InstallSnapshotRequest{
		RPCHeader: raft.RPCHeader{ProtocolVersion: raft.ProtocolVersionMax, ID: []byte(n.opts.ID), Addr: []byte(n.opts.Advertise)},
		Leader:    []byte(n.opts.Advertise), SnapshotVersion: meta.Version, Term: n.raft.CurrentTerm(),
		LastLogIndex: meta.Index, LastLogTerm: meta.Term + 1, Size: meta.Size, // which the log does not have: else it is passed over
		Configuration: raft.EncodeConfiguration(meta.Configuration), ConfigurationIndex: meta.ConfigurationIndex,
	}
	var resp raft.InstallSnapshotResponse
	err = n.trans.InstallSnapshot(raft.ServerID(tr.opts[other].ID), raft.ServerAddress(tr.addrs[other]), req, &resp, r)
	if err == nil || !strings.Contains(err.Error(), "comes late") {
		t.Errorf("the error is %v", err)
	}
	if got := update(t, tr.nodes[other], "add x"); got != 3 {
		t.Errorf("the sum is %v", got)
	}
	equalStates(t, tr)
}

// stored makes a log with the entries first to last, of term 2.
func stored(t *testing.T, first, last uint64) *logStore {
	t.Helper()
	dir := mkdir(t, filepath.Join(t.TempDir(), "wal"))
	s, err := newLogStore(func() (*wal.WAL, error) { return wal.Open(dir) }, quiet(t), nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	for i := first; i <= last; i++ {
		if err := s.StoreLog(&raft.Log{Index: i, Term: 2, Data: []byte("x")}); err != nil {
			t.Fatal(err)
		}
	}
	return s
}

// TestWhatFollowsASnapshotIsKept deletes the whole log, as raft does when it has
// installed a snapshot. What the node may have acknowledged must remain.
func TestWhatFollowsASnapshotIsKept(t *testing.T) {
	for _, c := range []struct {
		name        string
		index, term uint64 // of the snapshot; 0: there is none
		want        []uint64
	}{
		{"a snapshot in the middle", 6, 2, []uint64{7, 8}},
		{"a snapshot up to the beginning", 4, 2, []uint64{5, 6, 7, 8}},
		{"a snapshot up to the end", 8, 2, nil},
		{"a snapshot with more", 20, 3, nil},
		{"a snapshot of another history", 6, 3, nil},
		{"no snapshot", 0, 0, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := stored(t, 5, 8)
			if c.index > 0 {
				s.restored(c.index, c.term)
			}
			if err := s.DeleteRange(5, 8); err != nil {
				t.Fatal(err)
			}
			if got := entries(t, s); !slices.Equal(got, c.want) {
				t.Errorf("the entries %v are there, and should be %v", got, c.want)
			}
			// A conflict at the beginning of the log is not a snapshot.
			if len(c.want) > 0 {
				if err := s.DeleteRange(c.want[0], 8); err != nil {
					t.Fatal(err)
				}
				if got := entries(t, s); got != nil {
					t.Errorf("the entries %v are there after a conflict", got)
				}
			}
		})
	}
}

// entries returns which entries a log has.
func entries(t *testing.T, s *logStore) (list []uint64) {
	t.Helper()
	first, err := s.FirstIndex()
	if err != nil {
		t.Fatal(err)
	}
	last, err := s.LastIndex()
	if err != nil {
		t.Fatal(err)
	}
	for i := first; i <= last && i > 0; i++ {
		list = append(list, i)
	}
	return list
}
