package main

import (
	"fmt"
	"io"
	"iter"
	"maps"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/raft"

	"github.com/stateio/stateio/examples/migrating/internal/move/movetest"
	"github.com/stateio/stateio/raftfsm"
	"github.com/stateio/stateio/statetest"
	"github.com/stateio/stateio/store"
)

// cluster starts a cluster of one, with its snapshots in dir, that ends with the test.
func cluster(t *testing.T, dir string, fsm raft.FSM) *raft.Raft {
	t.Helper()
	conf := raft.DefaultConfig()
	conf.LocalID = "one"
	conf.LogOutput = io.Discard
	conf.HeartbeatTimeout, conf.ElectionTimeout = 50*time.Millisecond, 50*time.Millisecond
	conf.LeaderLeaseTimeout, conf.CommitTimeout = 50*time.Millisecond, 5*time.Millisecond
	snapshots, err := raft.NewFileSnapshotStore(dir, 3, io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	addr, transport := raft.NewInmemTransport("")
	logs := raft.NewInmemStore()
	leads := make(chan bool, 10)
	conf.NotifyCh = leads
	err = raft.BootstrapCluster(conf, logs, logs, snapshots, transport,
		raft.Configuration{Servers: []raft.Server{{ID: conf.LocalID, Address: addr}}})
	if err != nil {
		t.Fatal(err)
	}
	r, err := raft.NewRaft(conf, fsm, logs, logs, snapshots, transport)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := r.Shutdown().Error(); err != nil {
			t.Error(err)
		}
	})
	for range leads {
		if r.State() == raft.Leader {
			break
		}
	}
	return r
}

func TestTheStateOfAClusterMovesThereAndBack(t *testing.T) {
	from := t.TempDir()
	r := cluster(t, from, &words{count: map[string]int{}})
	for i := range 30 {
		if err := r.Apply(fmt.Appendf(nil, "word %d", i%3), time.Minute).Error(); err != nil {
			t.Fatal(err)
		}
	}
	if err := r.Snapshot().Error(); err != nil {
		t.Fatal(err)
	}
	dir, returned := movetest.Run(t, from, "3", there, back)

	fsm := &words{}
	s, err := store.Open(dir, raftfsm.Machine(fsm), nil)
	if err != nil {
		t.Fatal(err)
	}
	if n, err := s.Update(t.Context(), []byte("word 1")); err != nil || n != 11 {
		t.Errorf("the eleventh word is number %v, %v", n, err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	wantRestored(t, returned, map[string]int{"word 0": 10, "word 1": 10, "word 2": 10})
}

// wantRestored gives the snapshot in dir to a new cluster.
func wantRestored(t *testing.T, dir string, want map[string]int) {
	t.Helper()
	id, err := newest(dir)
	if err != nil {
		t.Fatal(err)
	}
	snapshots, err := raft.NewFileSnapshotStore(dir, 3, io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	meta, state, err := snapshots.Open(id)
	if err != nil {
		t.Fatal(err)
	}
	defer state.Close()
	fsm := &words{count: map[string]int{}}
	r := cluster(t, t.TempDir(), fsm)
	if err := r.Barrier(time.Minute).Error(); err != nil { // a new leader restores nothing before that
		t.Fatal(err)
	}
	if err := r.Restore(meta, state, time.Minute); err != nil {
		t.Fatal(err)
	}
	if err := r.Barrier(time.Minute).Error(); err != nil {
		t.Fatal(err)
	}
	if !maps.Equal(fsm.count, want) {
		t.Errorf("the cluster has %v", fsm.count)
	}
}

func TestADirectoryWithoutSnapshotsIsRefused(t *testing.T) {
	if err := movetest.Refused(t, t.TempDir(), there); !strings.Contains(err.Error(), "raft.Snapshot") {
		t.Error(err)
	}
}

func TestTheFSMKeepsTheContract(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	var updates iter.Seq[[]byte] = func(yield func([]byte) bool) {
		for yield(fmt.Append(nil, rng.IntN(9))) {
		}
	}
	statetest.Run(t, func() store.Machine { return raftfsm.Machine(&words{count: map[string]int{}}) }, updates, nil)
}
