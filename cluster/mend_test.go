package cluster

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/hashicorp/raft"

	"github.com/stateio/stateio/store"
)

// An unrestorable is a machine that can't restore a snapshot at times.
type unrestorable struct {
	*ledger
	fails atomic.Bool
	tried atomic.Int64
}

func (m *unrestorable) Restore(r io.Reader) error {
	if m.fails.Load() {
		m.tried.Add(1)
		return errRefused
	}
	return m.ledger.Restore(r)
}

// startUnrestorable opens a node again that was away, and needs a snapshot, which it can't restore.
func startUnrestorable(t *testing.T, log io.Writer) (tr *trial, n *Node, m *unrestorable) {
	t.Helper()
	tr = startTrial(t, 3, smallAndSteady)
	lead, away := tr.leader(), tr.follower()
	update(t, tr.nodes[away], "add x")
	tr.crash(away)
	for i := range 200 {
		update(t, tr.nodes[lead], fmt.Sprintf("set k%d %s", i, strings.Repeat("x", 1000)))
	}
	if err := tr.nodes[lead].Snapshot(t.Context()); err != nil { // and none of the third node
		t.Fatal(err)
	}
	m = &unrestorable{ledger: newLedger()}
	m.fails.Store(true)
	tr.opts[away].Logger = slog.New(slog.NewTextHandler(log, &slog.HandlerOptions{Level: slog.LevelWarn}))
	n, err := Open(tr.path(away), m, tr.opts[away])
	if err != nil {
		t.Fatal(err)
	}
	tr.nodes[away] = n
	return tr, n, m
}

// TestASnapshotThatCanNotBeRestoredIsSaid: until one can be, nothing that waits for what the node
// applies has a point.
func TestASnapshotThatCanNotBeRestoredIsSaid(t *testing.T) {
	concurrently(t)
	var log lines
	_, n, m := startUnrestorable(t, &log)
	says := func(what string, err error) {
		t.Helper()
		if !errors.Is(err, store.ErrFailed) || !errors.Is(err, errRefused) {
			t.Errorf("%s: %v", what, err)
		}
	}
	says("View, which may have begun before", n.View(context.Background(), func() error { return nil }))
	eventually(t, "it is known", func() bool { return n.Stats().Err != nil })
	says("Stats", n.Stats().Err)
	_, err := n.Update(context.Background(), []byte("add x"))
	says("Update", err)
	says("Snapshot", n.Snapshot(t.Context()))
	if !strings.Contains(log.String(), "until a snapshot can be restored") {
		t.Errorf("the log does not say it:\n%s", log.String())
	}
	select {
	case <-n.Failed():
		t.Error("the node has failed for good")
	default:
	}
	m.fails.Store(false)
	eventually(t, "a snapshot is restored", func() bool { return n.Stats().Err == nil })
	if got := update(t, n, "add x"); got != 2 {
		t.Errorf("the sum is %v", got)
	}
}

// TestEntriesAfterASnapshotThatCouldNotBeRestored are sent by another leader, whose log has them: the
// snapshot is restored first, and entries that it has are not applied again.
func TestEntriesAfterASnapshotThatCouldNotBeRestored(t *testing.T) {
	concurrently(t)
	tr, n, m := startUnrestorable(t, io.Discard)
	lead := tr.leader()
	eventually(t, "it can't be restored", func() bool { return m.tried.Load() > 0 })
	for tr.leader() == lead {
		if err := tr.nodes[lead].Transfer(within(t, time.Minute)); err != nil {
			t.Fatal(err)
		}
	}
	eventually(t, "entries come, for which it is tried again", func() bool { return n.raft.AppliedIndex() > 150 })
	m.fails.Store(false)
	eventually(t, "it is restored", func() bool { return n.Stats().Err == nil })
	for want := 2; want < 4; want++ {
		if got := update(t, n, "add x"); got != want {
			t.Errorf("the sum is %v, want %d", got, want)
		}
	}
	lead = tr.leader()
	if got, want := string(state(t, n, m.ledger)), string(state(t, tr.nodes[lead], tr.machines[lead])); got != want {
		t.Errorf("the state has %d bytes, and that of the leader %d", len(got), len(want))
	}
}

// TestALeaderThatCanNotRestoreItsStateGivesWay has a node lead that has all entries in its log, and
// applies none, since it can't restore the snapshot before them.
func TestALeaderThatCanNotRestoreItsStateGivesWay(t *testing.T) {
	concurrently(t)
	tr, n, m := startUnrestorable(t, io.Discard)
	lead := tr.leader()
	eventually(t, "it can't be restored", func() bool { return m.tried.Load() > 0 })
	for tr.leader() == lead {
		if err := tr.nodes[lead].Transfer(within(t, time.Minute)); err != nil {
			t.Fatal(err)
		}
	}
	eventually(t, "entries come", func() bool { return n.raft.AppliedIndex() > 150 })
	led := make(chan raft.Observation, 1)
	n.raft.RegisterObserver(raft.NewObserver(led, false, func(o *raft.Observation) bool { return o.Data == raft.Leader }))
	eventually(t, "it leads", func() bool {
		to, at := raft.ServerID(n.opts.ID), raft.ServerAddress(n.opts.Advertise)
		_ = tr.nodes[tr.leader()].raft.LeadershipTransferToServer(to, at).Error() // or it is tried again
		return len(led) > 0
	})
	for want := 2; want < 5; want++ {
		if got := update(t, tr.nodes[lead], "add x"); got != want {
			t.Errorf("the sum is %v, want %d", got, want)
		}
	}
	m.fails.Store(false) // raft answers what it was asked for while it led
	eventually(t, "it is restored", func() bool { return n.Stats().Err == nil })
	if got := update(t, n, "add x"); got != 5 {
		t.Errorf("the sum is %v, want 5", got)
	}
}

// TestAStateIsNotMendedWithAnOlderSnapshot: raft has only that, for a while. What was applied after it
// would be missing.
func TestAStateIsNotMendedWithAnOlderSnapshot(t *testing.T) {
	of := func(entries uint64) (f *fsm, snapshot func() (io.ReadCloser, error)) {
		f = newFSM(&brokenMachine{ledger: newLedger()}, newOutbox(1, func() *leader { return nil }, nil))
		for i := range entries {
			if err := f.applyBatch([]*raft.Log{{Index: i + 1, Term: 1, Data: appendEntryHeader(nil, 1)}}); err != nil {
				t.Fatal(err)
			}
		}
		c, err := f.Snapshot()
		if err != nil {
			t.Fatal(err)
		}
		var buf bytes.Buffer
		if err := c.(*capturedState).writeTo(&buf); err != nil {
			t.Fatal(err)
		}
		return f, func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(buf.Bytes())), nil }
	}
	_, older := of(5)
	f, _ := of(10)
	_, newer := of(20)
	f.m.(*brokenMachine).fail = true
	r, err := newer()
	if err == nil {
		err = f.Restore(r)
	}
	if !errors.Is(err, errRefused) {
		t.Fatalf("restoring the newer one: %v", err)
	}
	tries := 0
	f.newest = func() (io.ReadCloser, error) {
		if tries++; tries == 1 {
			return older()
		}
		if err := f.stuckErr(); !errors.Is(err, errLate) {
			t.Errorf("it says %v", err)
		}
		return newer()
	}
	if err := f.applyBatch([]*raft.Log{{Index: 21, Term: 1, Data: appendEntryHeader(nil, 1)}}); err != nil {
		t.Fatal(err)
	}
	if err := f.stuckErr(); tries != 2 || err != nil || f.passed != 20 {
		t.Errorf("after %d tries it has the snapshot up to %d, and says %v", tries, f.passed, err)
	}
}
