package cluster

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/hashicorp/raft"
)

// TestARemovedNodeSaysSo removes a follower, and the leader: raft tells neither, and their
// calls say why they fail.
func TestARemovedNodeSaysSo(t *testing.T) {
	concurrently(t)
	tr := startTrial(t, 4, nil)
	update(t, tr.nodes[0], "add x")
	for _, i := range []int{tr.follower(), tr.leader()} {
		n := tr.nodes[i]
		if err := n.Remove(t.Context(), tr.opts[i].ID); err != nil {
			t.Fatal(err)
		}
		eventually(t, "an update on the removed node says so", func() bool {
			ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
			defer cancel()
			_, err := n.Update(ctx, []byte("add y")) // may be made before it is known
			return errors.Is(err, ErrRemoved)
		})
		ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
		defer cancel()
		if err := n.View(ctx, func() error { return nil }); !errors.Is(err, ErrRemoved) {
			t.Errorf("View: %v", err)
		}
		tr.stop(i)
	}
	if got := sum(t, tr, tr.leader(), "x"); got != 1 {
		t.Errorf("the sum is %d", got)
	}
}

// TestARemovedNodeDoesNotComeBackByItself opens nodes as always, with Join, that were removed:
// one that ran then, and one that was down.
func TestARemovedNodeDoesNotComeBackByItself(t *testing.T) {
	concurrently(t)
	tr := startTrial(t, 4, nil)
	update(t, tr.nodes[0], "add x")
	keep := tr.leader()
	ran, down := (keep+1)%4, (keep+2)%4
	for _, i := range []int{ran, down} {
		if err := tr.nodes[i].Sync(t.Context()); err != nil {
			t.Fatal(err)
		}
		o := *tr.opts[i]
		o.Members, o.Join = nil, []string{tr.addrs[keep], tr.addrs[(keep+3)%4]}
		tr.opts[i] = &o
	}
	tr.stop(down)
	for _, i := range []int{down, ran} {
		if err := tr.nodes[keep].Remove(within(t, time.Minute), tr.opts[i].ID); err != nil {
			t.Fatal(err)
		}
	}
	tr.start(down)
	for _, i := range []int{ran, down} {
		eventually(t, "the node knows", func() bool { return errors.Is(tr.nodes[i].Stats().Err, ErrRemoved) })
		tr.stop(i)
		n, err := Open(tr.path(i), newLedger(), tr.opts[i])
		if err == nil {
			err = n.Close()
		}
		if !errors.Is(err, ErrRemoved) || !strings.Contains(err.Error(), "Rejoin") || !strings.Contains(err.Error(), tr.path(i)) {
			t.Errorf("opening it again: %v", err)
		}
	}
	voters(t, tr.nodes[keep], 2)
	if _, err := Rejoin(within(t, time.Minute), tr.path(ran), tr.opts[ran]); err != nil {
		t.Fatal(err)
	}
	if err := os.RemoveAll(tr.path(down)); err != nil {
		t.Fatal(err)
	}
	tr.start(ran)
	tr.start(down)
	voters(t, tr.nodes[keep], 4)
	equalStates(t, tr)
}

// TestARemovedNodeHearsItOfThoseInJoin opens one, which was down, when all that it knew are gone, too.
func TestARemovedNodeHearsItOfThoseInJoin(t *testing.T) {
	concurrently(t)
	tr := newTrial(t, 4, func(_ int, o *Options) { o.Members = o.Members[:3] })
	late, down := 3, 2
	tr.opts[late].Members, tr.opts[late].Join = nil, tr.addrs[:1]
	for i := range 3 {
		tr.start(i)
	}
	update(t, tr.nodes[down], "add x")
	tr.stop(down)
	n := tr.start(late)
	voters(t, n, 4)
	for _, i := range []int{down, 0, 1} {
		if err := n.Remove(within(t, time.Minute), tr.opts[i].ID); err != nil {
			t.Fatal(err)
		}
		if i != down {
			tr.stop(i)
		}
	}
	tr.opts[down].Members, tr.opts[down].Join = nil, tr.addrs[late:]
	n = tr.start(down)
	eventually(t, "the node hears that it was removed", func() bool { return errors.Is(n.Stats().Err, ErrRemoved) })
}

// TestARemovedNodeCanBeAddedAgain adds one that runs, and knows that it was removed.
func TestARemovedNodeCanBeAddedAgain(t *testing.T) {
	concurrently(t)
	tr := startTrial(t, 3, nil)
	update(t, tr.nodes[0], "add x")
	i := tr.follower()
	keep := tr.leader()
	if err := tr.nodes[keep].Remove(within(t, time.Minute), tr.opts[i].ID); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the node knows", func() bool { return errors.Is(tr.nodes[i].Stats().Err, ErrRemoved) })
	if err := tr.nodes[keep].Add(within(t, time.Minute), tr.opts[i].ID, tr.addrs[i]); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the node knows again", func() bool { return tr.nodes[i].Stats().Err == nil })
	tr.stop(i)
	tr.start(i)
	update(t, tr.nodes[i], "add x")
}

// TestANodeThatIsBeingAddedIsNotCalledRemoved opens a node whose log says that it had a vote,
// and which is a member without one: adding it again was interrupted.
func TestANodeThatIsBeingAddedIsNotCalledRemoved(t *testing.T) {
	concurrently(t)
	tr := startTrial(t, 3, steady)
	update(t, tr.nodes[0], "add x")
	i, keep := tr.follower(), tr.leader()
	if err := tr.nodes[i].Sync(t.Context()); err != nil {
		t.Fatal(err)
	}
	tr.stop(i)
	lead := tr.nodes[keep]
	if err := lead.Remove(within(t, time.Minute), tr.opts[i].ID); err != nil {
		t.Fatal(err)
	}
	if err := lead.raft.AddNonvoter(raft.ServerID(tr.opts[i].ID), raft.ServerAddress(tr.addrs[i]), 0, 0).Error(); err != nil {
		t.Fatal(err)
	}
	o := *tr.opts[i]
	o.Listen, o.Members, o.Join = freeAddrs(t, 1)[0], nil, []string{tr.addrs[keep]} // where the leader does not look
	tr.opts[i] = &o
	n := tr.start(i)
	eventually(t, "the node has a vote, or is refused", func() bool { return n.joined() || n.removed.Load() })
	if there, err := exists(filepath.Join(tr.path(i), removedFile)); n.removed.Load() || there || err != nil {
		t.Errorf("a node that is being added is told that it was removed (%v, %v)", there, err)
	}
	voters(t, lead, 3)
	update(t, n, "add x")
}

// TestOnlyALeaderWithAMajoritySaysWhoWasRemoved asks a node that led, alone, about a member.
func TestOnlyALeaderWithAMajoritySaysWhoWasRemoved(t *testing.T) {
	tr := startTrial(t, 3, steady)
	update(t, tr.nodes[0], "add x")
	keep := tr.leader()
	lead := tr.nodes[keep]
	a := ask{Op: askJoin, ID: "gone", Addr: freeAddrs(t, 1)[0], Had: true}
	if err := lead.addMember(within(t, time.Minute), a); !errors.Is(err, ErrRemoved) {
		t.Errorf("with a majority: %v", err)
	}
	for i := range tr.nodes {
		if i != keep {
			tr.crash(i)
		}
	}
	if err := lead.addMember(within(t, time.Minute), a); !errors.Is(err, errNotLeader) {
		t.Errorf("without one: %v", err)
	}
}

// TestANoteThatFailsIsMadeAgain adds a node again whose disk hangs while it notes that it was
// removed, and then fails to note the contrary, a few times: it is led meanwhile, and opens as
// the member that it is.
func TestANoteThatFailsIsMadeAgain(t *testing.T) {
	concurrently(t)
	var failures atomic.Int32
	hung, release := make(chan struct{}), make(chan struct{})
	letGo := sync.OnceFunc(func() { close(release) })
	tr := newTrial(t, 3, func(_ int, o *Options) {
		o.hooks.noting = func(removed bool) error {
			if removed {
				close(hung)
				<-release
				return nil
			}
			if failures.Add(1) <= 2 {
				return errFiles
			}
			return nil
		}
	})
	t.Cleanup(letGo) // before the nodes are closed
	for i := range tr.nodes {
		tr.start(i)
	}
	update(t, tr.nodes[0], "add x")
	i, keep := tr.follower(), tr.leader()
	if err := tr.nodes[keep].Remove(within(t, time.Minute), tr.opts[i].ID); err != nil {
		t.Fatal(err)
	}
	<-hung
	if err := tr.nodes[keep].Add(within(t, time.Minute), tr.opts[i].ID, tr.addrs[i]); err != nil {
		t.Fatal(err)
	}
	update(t, tr.nodes[i], "add x")
	letGo()
	eventually(t, "the note is gone", func() bool {
		there, err := exists(filepath.Join(tr.path(i), removedFile))
		return err == nil && !there && failures.Load() > 2
	})
	tr.crash(i)
	tr.start(i)
	update(t, tr.nodes[i], "add x")
}
