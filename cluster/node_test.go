package cluster

import (
	"errors"
	"fmt"
	"io"
	"os"
	"testing"

	"github.com/stateio/stateio/store"
)

func TestUpdateAndViewOnEveryNode(t *testing.T) {
	noLeaks(t)
	tr := startTrial(t, 3, nil)
	for i := range 30 {
		if got := update(t, tr.nodes[i%3], "add x"); got != i+1 {
			t.Fatalf("update %d on node %d: the result is %v", i, i%3, got)
		}
		if got := sum(t, tr, (i+1)%3, "x"); got != i+1 {
			t.Fatalf("after update %d, View on another node sees %d", i+1, got)
		}
	}
	for i, n := range tr.nodes {
		if err := n.Sync(t.Context()); err != nil {
			t.Fatal(err)
		}
		if got := n.Index(); got != 30 {
			t.Errorf("node %d has index %d", i, got)
		}
	}
	equalStates(t, tr)
}

func TestARefusedUpdateIsRefusedOnEveryNodeAndDoesNotCount(t *testing.T) {
	tr := startTrial(t, 3, nil)
	ctx := t.Context()
	for i, n := range tr.nodes {
		update(t, n, "add x")
		if _, err := n.Update(ctx, []byte("refuse")); err != errRefused {
			t.Errorf("node %d: the error is %v, not that of Apply", i, err)
		}
	}
	for i, n := range tr.nodes {
		if err := n.Sync(ctx); err != nil {
			t.Fatal(err)
		}
		if got := n.Index(); got != 3 {
			t.Errorf("node %d has index %d after 3 updates and 3 refusals", i, got)
		}
	}
}

func TestOneNodeIsAClusterOfItsOwn(t *testing.T) {
	noLeaks(t)
	m := newLedger()
	n, err := Open(t.TempDir(), m, &Options{ID: "a", Listen: "127.0.0.1:0", Logger: quiet(t)})
	if err != nil {
		t.Fatal(err)
	}
	for i := range 100 {
		if got := update(t, n, "add x"); got != i+1 {
			t.Fatalf("the result is %v", got)
		}
	}
	if err := n.View(t.Context(), func() error {
		if m.Sums["x"] != 100 {
			return fmt.Errorf("View sees %d", m.Sums["x"])
		}
		return nil
	}); err != nil {
		t.Error(err)
	}
	if err := n.Close(); err != nil {
		t.Error(err)
	}
	if _, err := n.Update(t.Context(), []byte("add x")); !errors.Is(err, store.ErrClosed) {
		t.Errorf("an update on a closed node: %v", err)
	}
	if err := n.View(t.Context(), func() error { return nil }); !errors.Is(err, store.ErrClosed) {
		t.Errorf("a read on a closed node: %v", err)
	}
}

func TestSubmittedUpdatesAreAppliedOnceEach(t *testing.T) {
	tr := startTrial(t, 3, nil)
	const n = 1000
	var tickets []*Ticket
	for i := range n {
		ticket, err := tr.nodes[i%3].Submit([]byte("add x"))
		if err != nil {
			t.Fatal(err)
		}
		tickets = append(tickets, ticket)
	}
	seen := map[any]bool{}
	for _, ticket := range tickets {
		if err := ticket.Wait(t.Context()); err != nil {
			t.Fatal(err)
		}
		if seen[ticket.Result()] {
			t.Fatalf("two updates have the result %v", ticket.Result())
		}
		seen[ticket.Result()] = true
		if ticket.Index() != uint64(ticket.Result().(int)) {
			t.Fatalf("update %d has the result %v", ticket.Index(), ticket.Result())
		}
	}
	equalStates(t, tr)
}

func TestAllNodesRestart(t *testing.T) {
	concurrently(t)
	tr := startTrial(t, 3, nil)
	for range 50 {
		update(t, tr.nodes[tr.follower()], "add x")
	}
	for round := range 3 {
		for i := range tr.nodes {
			tr.crash(i)
		}
		for i := range tr.nodes {
			tr.start(i)
		}
		if got := update(t, tr.nodes[0], "add x"); got != 51+round {
			t.Fatalf("after restart %d the sum is %v", round+1, got)
		}
	}
	equalStates(t, tr)
}

func TestUpdatesGoOnWhenTheLeaderDies(t *testing.T) {
	concurrently(t)
	tr := startTrial(t, 3, nil)
	sum := 0
	for range 4 {
		lead := tr.leader()
		tr.crash(lead)
		for range 20 {
			n := tr.nodes[(lead+1)%3]
			sum++
			if got := update(t, n, "add x"); got != sum {
				t.Fatalf("update %d has the result %v", sum, got)
			}
		}
		tr.start(lead)
	}
	equalStates(t, tr)
}

// TestTheWorkingDirectoryMayChange while a node is open whose directory has a relative name.
func TestTheWorkingDirectoryMayChange(t *testing.T) {
	tr := newTrial(t, 1, nil)
	t.Chdir(t.TempDir())
	m := newLedger()
	n, err := Open("node", m, tr.opts[0])
	if err != nil {
		t.Fatal(err)
	}
	update(t, n, "add x")
	t.Chdir(t.TempDir())
	if got := update(t, n, "add x"); got != 2 {
		t.Errorf("the sum is %v", got)
	}
	if _, err := n.Backup(t.Context(), io.Discard); err != nil {
		t.Error(err)
	}
	if err := errors.Join(n.Snapshot(t.Context()), n.Stats().Err, n.Close()); err != nil {
		t.Error(err)
	}
	if left, err := os.ReadDir("."); err != nil || len(left) > 0 {
		t.Errorf("the new working directory has %v, %v", left, err)
	}
	if _, err := Open("", newLedger(), tr.opts[0]); err == nil {
		t.Error("a directory without a name is opened")
	}
}
