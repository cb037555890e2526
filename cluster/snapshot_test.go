package cluster

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/raft"

	"github.com/stateio/stateio/store"
)

// small makes logs and snapshots so small that a node which was away needs a
// snapshot. The log keeps what is in its last file, so that must be small, too.
func small(_ int, o *Options) {
	o.SegmentBytes, o.SnapshotBytes, o.hooks.keepLogs = 64<<10, -1, 1
}

func smallAndSteady(i int, o *Options) {
	small(i, o)
	steady(i, o)
}

// outrun makes so many updates that the log which a node lacks that is away is
// dropped.
func outrun(t *testing.T, tr *trial, n *Node) {
	t.Helper()
	pad := strings.Repeat("x", 1000)
	for range 3 {
		for i := range 150 {
			update(t, n, fmt.Sprintf("set k%d %s", i, pad))
		}
		for _, n := range tr.nodes {
			if n == nil {
				continue
			}
			if err := n.Snapshot(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
	}
}

func TestANodeThatWasAwayGetsASnapshot(t *testing.T) {
	concurrently(t)
	tr := startTrial(t, 3, small)
	lead, away := tr.leader(), tr.follower()
	update(t, tr.nodes[away], "add x")
	tr.crash(away)
	outrun(t, tr, tr.nodes[lead])
	n := tr.start(away)
	if got := update(t, n, "add x"); got != 2 {
		t.Errorf("the sum is %v", got)
	}
	if got := n.fsm.restores.Load(); got == 0 {
		t.Error("no snapshot was restored: this tests nothing")
	}
	if n.Stats().SnapshotBytes == 0 {
		t.Error("the newest snapshot has no bytes")
	}
	equalStates(t, tr)
}

// TestAnUpdateThatArrivesInASnapshotIsUnknown cuts a follower off while its update is
// on its way, so that it gets the update in a snapshot, without its result.
func TestAnUpdateThatArrivesInASnapshotIsUnknown(t *testing.T) {
	concurrently(t)
	tr := startTrial(t, 3, smallAndSteady)
	lead, away := tr.leader(), tr.follower()
	n := tr.nodes[away]
	update(t, n, "add x")
	n.mux.cut(true) // raft alone: the forwarded update still gets out, while the node knows of the leader
	got := make(chan error, 1)
	go func() {
		_, err := n.Update(t.Context(), []byte("add x"))
		got <- err
	}()
	eventually(t, "the leader has applied the update of the node that is cut off", func() bool {
		return sum(t, tr, lead, "x") == 2
	})
	outrun(t, tr, tr.nodes[lead])
	n.mux.cut(false)
	if err := <-got; !errors.Is(err, store.ErrUnknown) {
		t.Errorf("the error is %v", err)
	}
	if n.fsm.restores.Load() == 0 {
		t.Error("no snapshot was restored: this tests nothing")
	}
	if got := update(t, n, "add x"); got != 3 {
		t.Errorf("the sum is %v", got)
	}
	equalStates(t, tr)
}

// clockAhead has the clock of a leader be ahead from here on.
func clockAhead(n *Node, by time.Duration) {
	n.prop.hold(context.Background(), time.Minute)
	defer n.prop.release()
	n.prop.now = func() int64 { return max(time.Now().Add(by).UnixNano(), n.fsm.clock.Load()) }
}

// TestAnUpdateIsAppliedOnceThoughItsSessionIsForgotten is as above, and the cluster has forgotten
// what the node has sent, by the clock of its leader, when it gets the snapshot.
func TestAnUpdateIsAppliedOnceThoughItsSessionIsForgotten(t *testing.T) {
	tr := startTrial(t, 3, smallAndSteady)
	lead, away := tr.leader(), tr.follower()
	n := tr.nodes[away]
	update(t, n, "add x")
	n.mux.cut(true)
	got := make(chan error, 1)
	go func() {
		_, err := n.Update(t.Context(), []byte("add x"))
		got <- err
	}()
	eventually(t, "the leader has applied the update of the node that is cut off", func() bool {
		return sum(t, tr, lead, "x") == 2
	})
	clockAhead(tr.nodes[lead], sessionLife+time.Hour)
	update(t, tr.nodes[3-lead-away], "add y") // its first one, which begins a session
	outrun(t, tr, tr.nodes[lead])
	n.mux.cut(false)
	if err := <-got; !errors.Is(err, store.ErrUnknown) {
		t.Errorf("the error is %v", err)
	}
	if n.fsm.restores.Load() == 0 {
		t.Error("no snapshot was restored: this tests nothing")
	}
	if got := update(t, n, "add x"); got != 3 {
		t.Errorf("the sum is %v", got)
	}
	equalStates(t, tr)
}

func TestSnapshotsAreMadeByThemselvesAndTheLogIsDropped(t *testing.T) {
	concurrently(t)
	tr := startTrial(t, 1, func(i int, o *Options) {
		small(i, o)
		o.SnapshotBytes = 64 << 10
	})
	n := tr.nodes[0]
	pad := strings.Repeat("x", 1000)
	eventually(t, "three snapshots were made, and the log was dropped", func() bool {
		update(t, n, "set k "+pad)
		first, err := n.logs.FirstIndex()
		if err != nil {
			t.Fatal(err)
		}
		return n.Stats().Snapshots >= 3 && first > 10
	})
	tr.crash(0)
	n = tr.start(0)
	if got := update(t, n, "set k y"); got != pad {
		t.Errorf("the value is %.20q", got)
	}
}

// TestASnapshotThatHasAllIsNotMadeAgain asks for one again and again. What raft keeps would all be
// the same.
func TestASnapshotThatHasAllIsNotMadeAgain(t *testing.T) {
	tr := startTrial(t, 1, nil)
	update(t, tr.nodes[0], "add x")
	names := func() []string {
		t.Helper()
		if err := tr.nodes[0].Snapshot(t.Context()); err != nil {
			t.Fatal(err)
		}
		names, err := snapshotNames(tr.path(0))
		if err != nil {
			t.Fatal(err)
		}
		return names
	}
	first := names()
	if again := names(); !slices.Equal(again, first) || len(first) != 1 || tr.nodes[0].Stats().Snapshots != 1 {
		t.Errorf("the snapshots are %q, and then %q", first, again)
	}
	update(t, tr.nodes[0], "add x")
	if again := names(); len(again) != 2 {
		t.Errorf("the snapshots are %q, and after an update %q", first, again)
	}
	n := tr.nodes[0]
	tr.stop(0)
	if err := n.Snapshot(t.Context()); !errors.Is(err, store.ErrClosed) || !strings.Contains(err.Error(), "snapshot not made") {
		t.Errorf("when the node is closed: %v", err)
	}
}

// TestASnapshotThatIsOvertakenDoesNotCount restores a later snapshot of another node while one is
// written. Raft would go back to the earlier one, and what was counted since is counted already.
func TestASnapshotThatIsOvertakenDoesNotCount(t *testing.T) {
	out := newOutbox(1, func() *leader { return nil }, nil)
	a, b := newFSM(newLedger(), out), newFSM(newLedger(), out)
	apply := func(f *fsm, first, last uint64) {
		t.Helper()
		for i := first; i <= last; i++ {
			if err := f.applyBatch([]*raft.Log{{Index: i, Term: 1, Data: appendEntryHeader(nil, int64(i))}}); err != nil {
				t.Fatal(err)
			}
		}
	}
	apply(a, 1, 10)
	slow, err := a.Snapshot()
	if err != nil {
		t.Fatal(err)
	}
	if got := a.since(); got.entries != 10 || got.bytes <= 0 {
		t.Errorf("after 10 entries %+v are counted", got)
	}
	apply(a, 11, 12)
	apply(b, 1, 20)
	later, err := b.Snapshot()
	if err != nil {
		t.Fatal(err)
	}
	var buf bytes.Buffer
	if err := later.(*capturedState).writeTo(&buf); err != nil {
		t.Fatal(err)
	}
	if err := a.Restore(io.NopCloser(&buf)); err != nil {
		t.Fatal(err)
	}
	_, trans := raft.NewInmemTransport("")
	sink, err := raft.NewInmemSnapshotStore().Create(raft.SnapshotVersionMax, 10, 1, raft.Configuration{}, 1, trans)
	if err != nil {
		t.Fatal(err)
	}
	if err := slow.Persist(sink); err == nil {
		t.Error("the earlier snapshot is made after the later one")
	}
	a.cutAt(slow.(*capturedState).has) // as if it had been made just before
	if got := a.since(); got != (volume{}) {
		t.Errorf("after the later snapshot %+v are counted", got)
	}
	apply(a, 21, 23)
	if got := a.since(); got.entries != 3 || got.bytes <= 0 {
		t.Errorf("after 3 entries %+v are counted", got)
	}
}

// TestALogThatEndsBeforeTheSnapshotGoesOnAfterIt restarts a node that was closed, or killed, while it
// restored a snapshot of another node, so that the log before that was not dropped.
func TestALogThatEndsBeforeTheSnapshotGoesOnAfterIt(t *testing.T) {
	tr := startTrial(t, 1, nil)
	n := tr.nodes[0]
	update(t, n, "add x")
	state, err := n.fsm.Snapshot()
	if err != nil {
		t.Fatal(err)
	}
	conf, index, err := n.settledMembers()
	if err != nil {
		t.Fatal(err)
	}
	c := state.(*capturedState)
	c.header.applied = 1000
	tr.stop(0)
	snaps, err := openFileSnapshots(tr.path(0), tr.opts[0])
	if err != nil {
		t.Fatal(err)
	}
	_, trans := raft.NewInmemTransport("")
	sink, err := snaps.Create(raft.SnapshotVersionMax, c.header.applied, c.header.term, conf, index, trans)
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(c.writeTo(sink), sink.Close()); err != nil {
		t.Fatal(err)
	}
	for want := 2; want < 4; want++ {
		n = tr.start(0)
		if got := update(t, n, "add x"); got != want {
			t.Errorf("the sum is %v, want %d", got, want)
		}
		if first, err := n.logs.FirstIndex(); err != nil || first != 1001 {
			t.Errorf("the log begins with entry %d, %v, want 1001", first, err)
		}
		tr.stop(0)
	}
}

// TestOpenSaysWhyASnapshotIsNotRestored: a machine, or a release, that can't is no damage. There are
// two snapshots, and the log between them is gone.
func TestOpenSaysWhyASnapshotIsNotRestored(t *testing.T) {
	tr := startTrial(t, 1, small)
	for range 2 {
		outrun(t, tr, tr.nodes[0])
	}
	tr.stop(0)
	broken := &brokenMachine{ledger: newLedger(), always: true}
	for name, open := range map[string]func() error{
		"Open":    func() error { _, err := Open(tr.path(0), broken, tr.opts[0]); return err },
		"Recover": func() error { _, err := Recover(t.Context(), tr.path(0), broken, io.Discard, tr.opts[0]); return err },
	} {
		err := open()
		if !errors.Is(err, errRefused) || errors.Is(err, store.ErrCorrupt) || strings.Contains(err.Error(), "Rejoin") {
			t.Errorf("%s, when Restore fails: %v", name, err)
		}
	}
	tr.start(0)
}

func TestWhatACrashLeavesOfSnapshotsAndBackupsIsRemoved(t *testing.T) {
	tr := startTrial(t, 1, nil)
	tr.stop(0)
	left := []string{filepath.Join(tr.path(0), "backup-1.tmp"), filepath.Join(tr.path(0), "snapshots", "2-5-1.tmp")}
	for _, dir := range left {
		mkdir(t, dir)
		if err := os.WriteFile(filepath.Join(dir, "state.bin"), []byte("part"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	n := tr.start(0)
	for _, dir := range left {
		if _, err := os.Stat(dir); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("%s is there: %v", dir, err)
		}
	}
	update(t, n, "add x")
	if err := n.Snapshot(t.Context()); err != nil {
		t.Fatal(err)
	}
	tr.crash(0)
	if got := update(t, tr.start(0), "add x"); got != 2 {
		t.Errorf("the sum is %v", got)
	}
}

func TestABackupBecomesAStore(t *testing.T) {
	tr := startTrial(t, 3, nil)
	for range 10 {
		update(t, tr.nodes[0], "add x")
	}
	var buf bytes.Buffer
	index, err := tr.nodes[0].Backup(t.Context(), &buf)
	if err != nil || index != 10 {
		t.Fatal(index, err)
	}
	update(t, tr.nodes[0], "add x") // not in it
	r := bytes.NewReader(buf.Bytes())
	if _, err := store.VerifyBackup(t.Context(), r, r.Size()); err != nil {
		t.Fatal(err)
	}
	dir := filepath.Join(t.TempDir(), "store")
	if err := store.Import(dir, r, r.Size()); err != nil {
		t.Fatal(err)
	}
	m := newLedger()
	s, err := store.Open(dir, m, &store.Options{Logger: quiet(t)})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if m.Sums["x"] != 10 {
		t.Errorf("the store has the sum %d", m.Sums["x"])
	}
	// The program does not care which of them it has.
	for _, k := range []Keeper{s, tr.nodes[1]} {
		if _, err := k.Update(t.Context(), []byte("add y")); err != nil {
			t.Error(err)
		}
		if err := View(t.Context(), k, func() error { return nil }); err != nil {
			t.Error(err)
		}
	}
}

// brokenMachine fails to restore a snapshot the first time, or always.
type brokenMachine struct {
	*ledger
	fail, always bool
}

func (m *brokenMachine) Restore(r io.Reader) error {
	if m.fail || m.always {
		m.fail = false
		return errRefused
	}
	return m.ledger.Restore(r)
}

func TestAStateThatIsNotWholeIsNotRead(t *testing.T) {
	a := newFSM(newLedger(), newOutbox(1, func() *leader { return nil }, nil))
	c, err := a.Snapshot()
	if err != nil {
		t.Fatal(err)
	}
	var buf bytes.Buffer
	if err := c.(*capturedState).writeTo(&buf); err != nil {
		t.Fatal(err)
	}
	f := newFSM(&brokenMachine{ledger: newLedger(), fail: true}, newOutbox(1, func() *leader { return nil }, nil))
	if err := f.Restore(io.NopCloser(bytes.NewReader(buf.Bytes()))); !errors.Is(err, errRefused) {
		t.Errorf("restoring fails: %v", err)
	}
	if err := f.read(func() error { return nil }); !errors.Is(err, store.ErrFailed) || !errors.Is(err, errRefused) {
		t.Errorf("a state that is not whole is read: %v", err)
	}
	if err := f.Restore(io.NopCloser(bytes.NewReader(buf.Bytes()[:buf.Len()-1]))); err == nil {
		t.Error("a snapshot that was cut is restored")
	}
	if err := f.Restore(io.NopCloser(bytes.NewReader(buf.Bytes()))); err != nil {
		t.Errorf("restoring again: %v", err)
	}
	if err := f.read(func() error { return nil }); err != nil {
		t.Errorf("reading then: %v", err)
	}
}
