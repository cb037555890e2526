package cluster

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stateio/stateio/cluster/testca"
	"github.com/stateio/stateio/store"
)

// joining makes node 0 begin a cluster, and the others join it.
func joining(tr *trial) {
	for i, o := range tr.opts {
		o.Members = nil
		if i > 0 {
			o.Join = []string{tr.addrs[0], tr.addrs[1]}
		}
	}
}

// voters waits until n has the number of voters.
func voters(t *testing.T, n *Node, want int) {
	t.Helper()
	eventually(t, fmt.Sprintf("there are %d voters", want), func() bool {
		vs, err := n.voters()
		return err == nil && len(vs) == want
	})
}

func TestAClusterGrowsAndShrinks(t *testing.T) {
	noLeaks(t)
	tr := newTrial(t, 4, nil)
	joining(tr)
	tr.start(0)
	for range 100 {
		update(t, tr.nodes[0], "add x")
	}
	if err := tr.nodes[0].Snapshot(t.Context()); err != nil {
		t.Fatal(err)
	}
	for i := 1; i < 4; i++ {
		tr.start(i)
		voters(t, tr.nodes[0], i+1)
	}
	if got := sum(t, tr, 3, "x"); got != 100 {
		t.Fatalf("a node that has joined sees %d of 100 updates", got)
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	if err := tr.nodes[3].Add(ctx, "n2", tr.addrs[2]); err != nil {
		t.Errorf("adding a member that is one: %v", err)
	}
	if err := tr.nodes[3].Add(ctx, "n9", tr.addrs[2]); !errors.Is(err, ErrMember) {
		t.Errorf("adding a member at the address of another one: %v", err)
	}
	for _, id := range []string{"", "caf\xe9", "a\nb", strings.Repeat("x", maxID+1)} {
		if err := tr.nodes[3].Add(ctx, id, freeAddrs(t, 1)[0]); !errors.Is(err, ErrMember) || !strings.Contains(err.Error(), whatID) {
			t.Errorf("adding member %q: %v", id, err)
		}
	}
	if err := tr.nodes[3].Remove(ctx, "n9"); !errors.Is(err, ErrMember) {
		t.Errorf("removing one that is no member: %v", err)
	}
	for i := range 3 {
		if err := tr.nodes[3].Remove(ctx, fmt.Sprintf("n%d", i)); err != nil {
			t.Fatalf("removing member %d: %v", i, err)
		}
		voters(t, tr.nodes[3], 3-i)
		tr.stop(i)
		update(t, tr.nodes[3], "add x")
	}
	if err := tr.nodes[3].Remove(ctx, "n3"); !errors.Is(err, ErrMember) {
		t.Errorf("removing the last member: %v", err)
	}
	if got := sum(t, tr, 3, "x"); got != 103 {
		t.Errorf("the last node sees %d of 103 updates", got)
	}
}

func TestANodeWhoseDirectoryWasLostIsRefusedUntilItIsRemoved(t *testing.T) {
	tr := newTrial(t, 3, nil)
	joining(tr)
	for i := range tr.nodes {
		tr.start(i)
		voters(t, tr.nodes[0], i+1)
	}
	update(t, tr.nodes[2], "add x")
	tr.stop(2)
	if err := os.RemoveAll(tr.path(2)); err != nil {
		t.Fatal(err)
	}
	payload := []byte(fmt.Sprintf(`{"Op":"join","ID":"n2","Addr":%q,"Empty":true,"Relay":true}`, tr.addrs[2]))
	eventually(t, "a leader has answered", func() bool {
		lead := tr.leader()
		_, err := tr.nodes[1-lead].peers.call(t.Context(), tr.addrs[lead], frameAsk, payload)
		if errors.Is(err, errNotLeader) {
			return false
		}
		if !errors.Is(err, ErrMember) {
			t.Errorf("a member with an empty directory joins: %v", err)
		}
		return true
	})
	if err := tr.nodes[1].Remove(t.Context(), "n2"); err != nil {
		t.Fatal(err)
	}
	tr.start(2)
	voters(t, tr.nodes[0], 3)
	if got := sum(t, tr, 2, "x"); got != 1 {
		t.Errorf("the node that came back sees %d", got)
	}
}

func TestAMemberMovesToAnotherAddress(t *testing.T) {
	concurrently(t)
	tr := startTrial(t, 3, nil)
	update(t, tr.nodes[0], "add x")
	tr.stop(2)
	addr := freeAddrs(t, 1)[0]
	o := *tr.opts[2]
	o.Listen, o.Members, o.Join = addr, nil, []string{tr.addrs[0], tr.addrs[1]}
	tr.opts[2] = &o
	tr.start(2)
	eventually(t, "the others know the new address", func() bool {
		return strings.Contains(fmt.Sprint(tr.nodes[0].voters()), addr)
	})
	if got := update(t, tr.nodes[2], "add x"); got != 2 {
		t.Errorf("the sum is %v", got)
	}
}

// TestALeaderMovesToAnotherAddress restarts all nodes, one of them at another address, so
// that this one leads, and adds it, or lets it ask. It also refuses another process of its ID.
func TestALeaderMovesToAnotherAddress(t *testing.T) {
	concurrently(t)
	for _, count := range []int{1, 3} {
		for _, join := range []bool{false, true} {
			if count == 1 && join {
				continue // it has nobody to ask
			}
			t.Run(fmt.Sprintf("of %d, join %v", count, join), func(t *testing.T) {
				var apart atomic.Bool // nobody asks to join
				tr := startTrial(t, count, func(_ int, o *Options) { o.Members = o.Members[:count] })
				update(t, tr.nodes[0], "add x")
				lead := tr.leader()
				eventually(t, "the node that is to move has all of the log", func() bool {
					has, err := tr.nodes[0].logs.LastIndex()
					all, lerr := tr.nodes[lead].logs.LastIndex()
					return errors.Join(err, lerr) == nil && has == all
				})
				for i := count - 1; i > 0; i-- { // the leader after the other, so that no other leads
					if i != lead {
						tr.crash(i)
					}
				}
				if lead != 0 {
					tr.crash(lead)
				}
				tr.crash(0)
				o := *tr.opts[0]
				o.Listen, o.Members = freeAddrs(t, 1)[0], nil
				if join {
					apart.Store(true)
					o.Join = tr.addrs[1:]
					o.hooks.connect = func(kind byte, addr string) error {
						if kind == connPeer && addr != "" && apart.Load() {
							return errRefused
						}
						return nil
					}
				}
				tr.opts[0] = &o
				for i := range min(count, 2) { // a majority, of which only this node reaches the other
					tr.start(i)
				}
				eventually(t, "the node that has moved leads", func() bool { return tr.leader() == 0 })
				for i := 2; i < count; i++ {
					tr.start(i)
				}
				a := ask{Op: askJoin, ID: "n0", Addr: o.Listen, Run: "another"}
				if err := tr.nodes[0].addMember(within(t, time.Minute), a); !errors.Is(err, ErrIdentity) {
					t.Errorf("another process of the ID of the leader: %v", err)
				}
				apart.Store(false)
				if !join {
					if err := tr.nodes[count-1].Add(within(t, time.Minute), "n0", o.Listen); err != nil {
						t.Fatal(err)
					}
				}
				eventually(t, "the others know the new address", func() bool {
					return strings.Contains(fmt.Sprint(tr.nodes[count-1].voters()), o.Listen)
				})
				if got := update(t, tr.nodes[count-1], "add x"); got != 2 {
					t.Errorf("the sum is %v", got)
				}
			})
		}
	}
}

// TestAChangeThatMeetsADeadLeaderIsMadeByTheNext asks for a change before it can be known that
// the leader is gone.
func TestAChangeThatMeetsADeadLeaderIsMadeByTheNext(t *testing.T) {
	tr := startTrial(t, 3, nil)
	update(t, tr.nodes[0], "add x")
	lead := tr.leader()
	n := tr.nodes[(lead+1)%3]
	eventually(t, "the other one knows the leader", func() bool { return n.leader.Load() != nil })
	tr.crash(lead)
	if err := n.Remove(within(t, time.Minute), tr.opts[lead].ID); err != nil {
		t.Fatal(err)
	}
	voters(t, n, 2)
}

// talks reports whether a node has connections of raft.
func talks(n *Node) bool {
	n.mux.mu.Lock()
	defer n.mux.mu.Unlock()
	for _, p := range n.mux.conns {
		if p.kind == connRaft {
			return true
		}
	}
	return false
}

// TestALeaderThatIsToBeRemovedLeavesALeaderBehind cuts a leader off while it is being removed, and
// restarts it. Whoever is up is a majority, with it or without.
func TestALeaderThatIsToBeRemovedLeavesALeaderBehind(t *testing.T) {
	concurrently(t)
	for _, count := range []int{2, 4} {
		t.Run(fmt.Sprintf("of %d", count), func(t *testing.T) {
			tr := startTrial(t, count, func(_ int, o *Options) { o.Heartbeat = 500 * time.Millisecond })
			adds(t, tr.nodes[0], 3, "a")
			lead := tr.leader()
			n := tr.nodes[lead]
			if count == 4 { // three are a majority, and two would be one without the leader
				tr.crash((lead + 1) % count)
			}
			n.mux.cut(true)
			eventually(t, "it is cut off", func() bool { return !talks(n) })
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			removed := make(chan error, 1)
			go func() { removed <- n.Remove(ctx, n.opts.ID) }()
			eventually(t, "it leads no more", func() bool { _, leads := n.leads(); return !leads })
			cancel()
			if err := <-removed; !errors.Is(err, context.Canceled) {
				t.Errorf("Remove: %v", err)
			}
			tr.crash(lead) // what it was about to send is lost
			tr.start(lead)
			tr.leader()
			if err := tr.nodes[(lead+count-1)%count].Remove(within(t, time.Minute), n.opts.ID); err != nil && !errors.Is(err, errAbsent) {
				t.Error(err)
			}
			voters(t, tr.nodes[(lead+count-1)%count], count-1)
		})
	}
}

// TestALeaderThatIsClosedDoesNotLead closes a leader while it does what was asked of it: whoever has asked
// is to ask the next one.
func TestALeaderThatIsClosedDoesNotLead(t *testing.T) {
	tr := startTrial(t, 1, nil)
	n := tr.nodes[0]
	update(t, n, "add x")
	asked, release := make(chan struct{}), make(chan struct{})
	defer close(release)
	n.lead.rounds = newReads(func() (uint64, error) {
		close(asked)
		<-release
		return 0, errNotLeader
	})
	got := make(chan error, 1)
	go func() { got <- n.doAsLeader(within(t, time.Minute), ask{Op: askRemove, ID: "nobody"}) }()
	<-asked
	tr.stop(0)
	if err := <-got; !errors.Is(err, errNotLeader) {
		t.Errorf("the error is %v", err)
	}
}

// TestChangesEndWithTheirContext has a leader do, for callers that have gone, what takes it part of a
// heartbeat, since the other member does not answer.
func TestChangesEndWithTheirContext(t *testing.T) {
	var deaf atomic.Bool
	release := make(chan struct{})
	tr := startTrial(t, 2, func(_ int, o *Options) {
		o.hooks.connect = func(kind byte, addr string) error {
			if deaf.Load() && kind == connPeer && addr == "" {
				<-release
			}
			return nil
		}
	})
	defer close(release)
	update(t, tr.nodes[0], "add x")
	i := tr.leader()
	n := tr.nodes[i]
	deaf.Store(true)
	n.peers.drop(tr.addrs[1-i])
	gone, end := context.WithCancel(t.Context())
	end()
	if err := n.settle(gone); !errors.Is(err, context.Canceled) {
		t.Errorf("looking at the members: %v", err)
	}
	if err := n.transfer(gone); !errors.Is(err, context.Canceled) {
		t.Errorf("letting another member lead: %v", err)
	}
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		began := time.Now()
		p := &proposer{inFlight: 1}
		if p.hold(ctx, time.Hour); time.Since(began) != time.Second {
			t.Errorf("to hold back entries took %v", time.Since(began))
		}
	})
}

// TestALeaderThatHangsUpIsAskedAgain has the leader end while it is being called, before it has greeted.
func TestALeaderThatHangsUpIsAskedAgain(t *testing.T) {
	concurrently(t)
	tr := newTrial(t, 2, func(_ int, o *Options) { o.Heartbeat = time.Minute }) // it looks seldom who leads
	n := tr.start(0)
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	ctx, cancel := context.WithCancel(t.Context())
	go func() {
		for calls := 1; ; calls++ {
			conn, err := ln.Accept()
			if err != nil {
				return
			}
			_, _ = io.ReadFull(conn, make([]byte, helloHead)) // with more unread, it would be reset
			_ = conn.(*net.TCPConn).CloseWrite()
			if calls == 3 {
				cancel()
			}
			defer conn.Close()
		}
	}()
	n.leader.Store(&leader{id: "n1", addr: ln.Addr().String()})
	if err := n.Transfer(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("the error is %v", err)
	}
}

// A handOvers counts how often raft is asked to hand over.
type handOvers struct {
	slog.Handler
	asked atomic.Int64
}

func (h *handOvers) Enabled(context.Context, slog.Level) bool { return true }
func (h *handOvers) WithAttrs([]slog.Attr) slog.Handler       { return h }

func (h *handOvers) Handle(_ context.Context, r slog.Record) error {
	if strings.Contains(r.Message, "starting leadership transfer") {
		h.asked.Add(1)
	}
	return nil
}

// TestAHandOverThatComesToNothingLeavesTheLeaderAsItWas has a leader hand over, again and again, to a
// member that can't take the last entry, while the third one is down. Asked a second time raft would
// refuse all entries.
func TestAHandOverThatComesToNothingLeavesTheLeaderAsItWas(t *testing.T) {
	concurrently(t)
	var hangs atomic.Int64 // which node, from 1 on
	wake := make(chan struct{})
	count := &handOvers{Handler: slog.DiscardHandler}
	tr := startTrial(t, 3, func(i int, o *Options) {
		steady(i, o)
		o.StallTimeout, o.Logger = time.Hour, slog.New(count)
		o.hooks.store = func() error {
			if hangs.Load() == int64(i)+1 {
				<-wake
			}
			return nil
		}
	})
	i := tr.leader()
	n, busy := tr.nodes[i], (i+1)%3
	tr.crash((i + 2) % 3)
	update(t, n, "add x")
	hangs.Store(int64(busy) + 1)
	on := sync.OnceFunc(func() {
		hangs.Store(0)
		close(wake)
	})
	defer on()
	ticket, err := n.Submit([]byte("add x"))
	if err != nil {
		t.Fatal(err)
	}
	eventually(t, "an entry is on its way", func() bool { return n.raft.LastIndex() > n.raft.CommitIndex() })
	for range 3 {
		_ = n.transfer(t.Context())
	}
	if asked := count.asked.Load(); asked > 1 {
		t.Errorf("raft was asked %d times", asked)
	}
	on()
	if err := ticket.Wait(within(t, time.Minute)); err != nil || ticket.Result() != 2 {
		t.Errorf("the sum is %v, %v", ticket.Result(), err)
	}
}

// TestALeaderHandsOverWhileUpdatesGoOn though that came to nothing once in its term: no member has the last
// entry at the moment when the leader looks, since each hears a moment later that it is committed.
func TestALeaderHandsOverWhileUpdatesGoOn(t *testing.T) {
	concurrently(t)
	tr := startTrial(t, 3, steady)
	n := tr.nodes[tr.leader()]
	ctx, stop := context.WithCancel(t.Context())
	var clients sync.WaitGroup
	defer clients.Wait()
	defer stop()
	for range 16 {
		clients.Go(func() {
			for ctx.Err() == nil {
				_, _ = n.Update(ctx, []byte("add x")) // until stop
			}
		})
	}
	eventually(t, "updates go on", func() bool { return n.Stats().Entries > 50 })
	term, _ := n.leads()
	n.lagging.Store(term)
	if err := n.Transfer(within(t, time.Minute)); err != nil {
		t.Error(err)
	}
}

// TestAHandOverThatEndsLeavesAnotherAlone has two at a time, of which one is given up: no entry is made while
// the other goes on, to a member that would lack it.
func TestAHandOverThatEndsLeavesAnotherAlone(t *testing.T) {
	concurrently(t)
	var silent atomic.Bool
	release := make(chan struct{})
	tr := startTrial(t, 2, func(i int, o *Options) {
		steady(i, o)
		o.hooks.connect = func(kind byte, addr string) error {
			if kind == connPeer && addr != "" && silent.Load() {
				<-release
			}
			return nil
		}
	})
	defer close(release)
	n := tr.nodes[tr.leader()]
	update(t, n, "add x")
	silent.Store(true)
	n.peers.drop(tr.addrs[1-tr.leader()])
	held := func() bool {
		n.prop.mu.Lock()
		defer n.prop.mu.Unlock()
		return n.prop.held
	}
	first, end := context.WithCancel(t.Context())
	done := make(chan error)
	go func() { done <- n.transfer(first) }()
	eventually(t, "the first goes on", held)
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	if err := n.transfer(ended); !errors.Is(err, context.Canceled) {
		t.Errorf("the second: %v", err)
	}
	if !held() {
		t.Error("entries are made while the first goes on")
	}
	end()
	if err := <-done; !errors.Is(err, context.Canceled) {
		t.Errorf("the first: %v", err)
	}
	if held() {
		t.Error("no entries are made any more")
	}
}

// TestASuccessorIsFoundWhileOthersAreSilent has one member answer that it has all entries but the last,
// and two that do not answer.
func TestASuccessorIsFoundWhileOthersAreSilent(t *testing.T) {
	var silent sync.Map // addresses
	release := make(chan struct{})
	tr := startTrial(t, 4, func(i int, o *Options) {
		steady(i, o)
		o.hooks.connect = func(kind byte, addr string) error {
			if _, is := silent.Load(addr); is && kind == connPeer {
				<-release
			}
			return nil
		}
	})
	defer close(release)
	update(t, tr.nodes[0], "add x")
	lead := tr.leader()
	n, fit := tr.nodes[lead], tr.opts[(lead+1)%4].ID
	for i := 2; i < 4; i++ {
		addr := tr.addrs[(lead+i)%4]
		silent.Store(addr, true)
		n.peers.drop(addr)
	}
	n.fsm.applied.Add(1)
	term, _ := n.leads()
	if to, _, err := n.successor(within(t, time.Minute), term); err != nil || string(to.ID) != fit {
		t.Errorf("%q is to lead, %v, want %s", to.ID, err, fit)
	}
}

// TestAMemberOfAnotherTermIsNoSilentOne has a leader hand over in a term of which the others are not, as at
// the beginning and at the end of one: who has asked is to ask again.
func TestAMemberOfAnotherTermIsNoSilentOne(t *testing.T) {
	tr := startTrial(t, 2, nil)
	update(t, tr.nodes[0], "add x")
	n := tr.nodes[tr.leader()]
	if to, _, err := n.successor(within(t, time.Minute), n.raft.CurrentTerm()+1000); !errors.Is(err, errNotLeader) {
		t.Errorf("%q is to lead, %v", to.ID, err)
	}
}

func TestTheLeaderHandsOver(t *testing.T) {
	tr := startTrial(t, 3, nil)
	update(t, tr.nodes[0], "add x")
	for range 5 {
		lead := tr.leader()
		for tr.leader() == lead { // the same may be elected again, where votes take long to write
			if err := tr.nodes[(lead+1)%3].Transfer(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		update(t, tr.nodes[lead], "add x")
	}
	lead := tr.leader()
	began := time.Now()
	tr.stop(lead)
	update(t, tr.nodes[(lead+1)%3], "add x")
	t.Logf("a planned stop and the next update took %v", time.Since(began))
}

func TestStatusTellsOfAllMembers(t *testing.T) {
	tr := startTrial(t, 3, steady) // a member has that long to answer
	update(t, tr.nodes[0], "add x")
	lead, gone := tr.leader(), tr.follower()
	tr.crash(gone)
	s := tr.nodes[lead].Status()
	if s.Leader != s.ID || len(s.Members) != 3 || s.Stalled || s.Term == 0 {
		t.Fatalf("the status is %+v", s)
	}
	for i, m := range s.Members {
		if m.Up == (i == gone) || (m.Err == nil) != m.Up || !m.Voter || m.Leader != (i == lead) || m.Addr != tr.addrs[i] {
			t.Errorf("node %d is %+v", i, m)
		}
	}
}

func TestNodesWithAnotherTokenAreRefused(t *testing.T) {
	tr := newTrial(t, 2, nil)
	joining(tr)
	tr.opts[1].Token = "another"
	tr.start(0)
	n := tr.start(1)
	if _, err := n.peers.call(t.Context(), tr.addrs[0], frameTerm, nil); !errors.Is(err, ErrIdentity) {
		t.Errorf("the error is %v", err)
	}
}

func TestADirectoryBelongsToOneNode(t *testing.T) {
	tr := startTrial(t, 1, nil)
	o := *tr.opts[0]
	o.Listen = "127.0.0.1:0"
	if _, err := Open(tr.path(0), newLedger(), &o); !errors.Is(err, store.ErrLocked) {
		t.Errorf("a directory that is open is opened: %v", err)
	}
	tr.stop(0)
	o.ID, o.Members = "other", nil
	if _, err := Open(tr.path(0), newLedger(), &o); !errors.Is(err, ErrIdentity) {
		t.Errorf("the directory of another node is opened: %v", err)
	}
}

func TestOptionsThatCanNotBeAreRefused(t *testing.T) {
	for _, o := range []*Options{
		nil,
		{Listen: "127.0.0.1:0"},
		{ID: "a"},
		{ID: "caf\xe9", Listen: "127.0.0.1:0"},
		{ID: "a\nb", Listen: "127.0.0.1:0"},
		{ID: "a", Listen: "127.0.0.1:0", Members: []Member{{"a", "127.0.0.1:1"}, {"\xff", "127.0.0.1:2"}}},
		{ID: "a", Listen: "10.0.0.1:7000"},
		{ID: "a", Listen: "127.0.0.1:0", Advertise: "example.org:7000"},
		{ID: "a", Listen: "127.0.0.1:0", Join: []string{"10.0.0.1:7000"}},
		{ID: "a", Listen: "127.0.0.1:7000", Join: []string{"127.0.0.1:7000"}},
		{ID: "a", Listen: "127.0.0.1:0", TLS: &tls.Config{}},
		{ID: "a", Listen: "127.0.0.1:0", Members: []Member{{"b", "127.0.0.1:1"}}},
		{ID: "a", Listen: "127.0.0.1:0", Members: []Member{{"a", "127.0.0.1:1"}, {"b", "127.0.0.1:1"}}},
		{ID: "a", Listen: "127.0.0.1:0", Members: []Member{{"a", "127.0.0.1:1"}}, Join: []string{"127.0.0.1:2"}},
		{ID: "a", Listen: "127.0.0.1:0", Heartbeat: time.Millisecond},
		{ID: "a", Listen: "127.0.0.1:0", StallTimeout: time.Millisecond},
		{ID: "a", Listen: "127.0.0.1:0", MaxUpdate: 1 << 30},
		{ID: "a", Listen: "127.0.0.1:0", MaxPending: -1},
		{ID: "a", Listen: "127.0.0.1:0", SegmentBytes: 1},
		{ID: "a", Listen: "127.0.0.1:0", SegmentBytes: 1<<30 + 1},
	} {
		if n, err := Open(t.TempDir(), newLedger(), o); err == nil {
			t.Errorf("%+v is taken: %v", o, n.Close())
		}
	}
}

// authority makes certificates for the nodes of a trial.
func authority(t *testing.T) (*testca.Authority, string) {
	t.Helper()
	dir := t.TempDir()
	ca, err := testca.New(dir)
	if err != nil {
		t.Fatal(err)
	}
	return ca, dir
}

// withTLS issues a certificate, and loads it.
func withTLS(t *testing.T, ca *testca.Authority, node string) *tls.Config {
	t.Helper()
	f, err := ca.Issue(node, "127.0.0.1")
	if err != nil {
		t.Fatal(err)
	}
	c, err := LoadTLS(f.Cert, f.Key, f.CA)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestNodesTalkByTLSAndTakeNewCertificates(t *testing.T) {
	ca, dir := authority(t)
	tr := startTrial(t, 3, func(i int, o *Options) { o.TLS = withTLS(t, ca, fmt.Sprint(i)) })
	update(t, tr.nodes[0], "add x")
	n := tr.nodes[1]
	before, err := os.ReadFile(filepath.Join(dir, "0.pem"))
	if err != nil {
		t.Fatal(err)
	}
	shown := func() []byte {
		conn, err := tls.Dial("tcp", tr.addrs[0], &tls.Config{RootCAs: n.opts.TLS.RootCAs, GetClientCertificate: n.opts.TLS.GetClientCertificate})
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		if v := conn.ConnectionState().Version; v != tls.VersionTLS13 {
			t.Errorf("the version is %x", v)
		}
		return conn.ConnectionState().PeerCertificates[0].Raw
	}
	was := shown()
	if _, err := ca.Issue("0", "127.0.0.1"); err != nil {
		t.Fatal(err)
	}
	if after, err := os.ReadFile(filepath.Join(dir, "0.pem")); err != nil || bytes.Equal(before, after) {
		t.Fatal("there is no new certificate", err)
	}
	if bytes.Equal(was, shown()) {
		t.Error("the former certificate is used")
	}
	if got := update(t, tr.nodes[2], "add x"); got != 2 {
		t.Errorf("the sum is %v", got)
	}
}

func TestStrangersAreRefused(t *testing.T) {
	ca, _ := authority(t)
	other, _ := authority(t)
	n, err := Open(t.TempDir(), newLedger(), &Options{ID: "a", Listen: "127.0.0.1:0", TLS: withTLS(t, ca, "a"), Logger: quiet(t)})
	if err != nil {
		t.Fatal(err)
	}
	defer n.Close()
	stranger := withTLS(t, other, "b")
	for name, c := range map[string]*tls.Config{
		"no certificate":                 {RootCAs: n.opts.TLS.RootCAs},
		"one of another authority":       {RootCAs: n.opts.TLS.RootCAs, GetClientCertificate: stranger.GetClientCertificate},
		"one that trusts another server": stranger,
	} {
		c.ServerName = "127.0.0.1"
		conn, err := tls.Dial("tcp", n.opts.Advertise, c)
		if err != nil {
			continue
		}
		// In TLS 1.3 the client is refused after it has finished.
		_ = conn.SetDeadline(time.Now().Add(time.Minute))
		if _, err := conn.Read(make([]byte, 1)); err == nil || errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("%s: not refused: %v", name, err)
		}
		_ = conn.Close()
	}
}
