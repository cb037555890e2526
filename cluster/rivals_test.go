package cluster

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/hashicorp/raft"
)

// TestAVoteIsForAMemberNotForAnAddress has a member get a vote, and another one ask for it in the same
// term, at the address of the first: it has moved there.
func TestAVoteIsForAMemberNotForAnAddress(t *testing.T) {
	concurrently(t)
	tr := startTrial(t, 3, nil)
	update(t, tr.nodes[0], "add x")
	voter, from := 0, tr.nodes[1]
	var term uint64
	ask := func(candidate string) bool {
		req := &raft.RequestVoteRequest{
			RPCHeader: raft.RPCHeader{ProtocolVersion: raft.ProtocolVersionMax, ID: []byte(candidate), Addr: from.trans.EncodePeer(raft.ServerID(candidate), "127.0.0.1:1")},
			Term:      term, LastLogIndex: 1 << 40, LastLogTerm: term, LeadershipTransfer: true,
		}
		var resp raft.RequestVoteResponse
		if err := from.trans.RequestVote(raft.ServerID(tr.opts[voter].ID), raft.ServerAddress(tr.addrs[voter]), req, &resp); err != nil {
			t.Fatal(err)
		}
		return resp.Granted
	}
	eventually(t, "no later term has begun meanwhile", func() bool {
		term = tr.nodes[voter].raft.CurrentTerm() + 1000 // of no election here
		first, again, other := ask("n1"), ask("n1"), ask("n2")
		if other {
			t.Fatal("two members have got the vote of one in the same term")
		}
		late := tr.nodes[voter].raft.CurrentTerm() > term // the others go on from there, by themselves
		if !late && (!first || !again) {
			t.Fatal("a member does not get a vote, or not twice")
		}
		return !late
	})
}

// TestANodeThatWasReplacedStandsForNoElection has the log of a node that was removed hear of the one that
// has its ID by now: it must not be elected as that one, nor vote as it.
func TestANodeThatWasReplacedStandsForNoElection(t *testing.T) {
	concurrently(t)
	tr := startTrial(t, 3, nil)
	update(t, tr.nodes[0], "add x")
	old := tr.nodes[tr.follower()]
	if old.standsAside(old.raft) {
		t.Fatal("a member stands aside")
	}
	err := old.self.changeWhere(func([]string) []string { return []string{"127.0.0.1:1"} })
	if err != nil {
		t.Fatal(err)
	}
	conf, err := old.members()
	if err != nil {
		t.Fatal(err)
	}
	conf = conf.Clone()
	for i := range conf.Servers {
		if string(conf.Servers[i].ID) == old.opts.ID {
			conf.Servers[i].Address = "127.0.0.1:2"
		}
	}
	if !old.isReplaced(conf) {
		t.Error("another node has its ID, at an address that it never had, and it does not stand aside")
	}
	from, _, addr := pair(t)
	from.aside = func(*raft.Raft) bool { return true }
	if err := from.RequestVote("b", addr, &raft.RequestVoteRequest{}, &raft.RequestVoteResponse{}); !errors.Is(err, errAside) {
		t.Errorf("it asks for votes: %v", err)
	}
	if err := from.RequestPreVote("b", addr, &raft.RequestPreVoteRequest{}, &raft.RequestPreVoteResponse{}); !errors.Is(err, errAside) {
		t.Errorf("it asks for votes: %v", err)
	}
}

// TestALeaderAtTheAddressOfAnotherMemberIsTheLeader has a member lead where another one was, which nobody
// has removed yet.
func TestALeaderAtTheAddressOfAnotherMemberIsTheLeader(t *testing.T) {
	concurrently(t)
	n := startTrial(t, 1, nil).nodes[0]
	if got := n.memberAt(n.opts.Advertise); got != n.opts.ID {
		t.Fatalf("at its address is %q", got)
	}
	other := &Node{}
	other.leader.Store(&leader{id: "b", addr: n.opts.Advertise})
	if got := other.memberAt(n.opts.Advertise); got != "b" {
		t.Errorf("where the leader is, another node takes it for %q", got)
	}
}

// TestAFollowerThatIsBeingRemovedDoesNotGetThat has the leader die before the removal of a follower is
// committed. The two that are up are a majority, and have a leader.
func TestAFollowerThatIsBeingRemovedDoesNotGetThat(t *testing.T) {
	concurrently(t)
	var full string
	var mu sync.Mutex
	tr := startTrial(t, 3, func(_ int, o *Options) {
		id := o.ID
		o.hooks.store = func() error {
			mu.Lock()
			defer mu.Unlock()
			if id == full && strings.Contains(string(ownStack()), ".StoreLogs(") {
				return errNoRoom
			}
			return nil
		}
	})
	adds(t, tr.nodes[0], 3, "a")
	l := tr.leader()
	f, g := (l+1)%3, (l+2)%3
	lead, id := tr.nodes[l], tr.opts[f].ID
	eventually(t, "all have all", func() bool {
		last := lead.raft.LastIndex()
		return tr.nodes[f].raft.LastIndex() == last && tr.nodes[g].raft.LastIndex() == last
	})
	mu.Lock()
	full = tr.opts[g].ID
	mu.Unlock()
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = lead.Remove(ctx, id)
	}()
	eventually(t, "the leader has the removal in its log", func() bool { return !lead.knows(id) })
	tr.crash(l)
	cancel()
	<-done
	eventually(t, "nothing is on its way from the leader any more", func() bool {
		to := tr.nodes[g].leader.Load() // perhaps the other one already
		return to == nil || to.id != tr.opts[l].ID
	})
	mu.Lock()
	full = ""
	mu.Unlock()
	if !tr.nodes[f].knows(id) {
		t.Error("the member that was to be removed has heard of it")
	}
	eventually(t, "two of three have a leader", func() bool {
		_, x := tr.nodes[f].leads()
		_, y := tr.nodes[g].leads()
		return x || y
	})
}

// TestMembersThatWereNotWrittenAreInNoSnapshot has a change of members fail that raft goes on with, and a
// snapshot made after it.
func TestMembersThatWereNotWrittenAreInNoSnapshot(t *testing.T) {
	concurrently(t)
	full := false
	var mu sync.Mutex
	tr := newTrial(t, 1, func(_ int, o *Options) {
		o.hooks.store = func() error {
			mu.Lock()
			defer mu.Unlock()
			if full {
				return errNoRoom
			}
			return nil
		}
	})
	n := tr.start(0)
	update(t, n, "add a")
	set := func(to bool) {
		mu.Lock()
		defer mu.Unlock()
		full = to
	}
	set(true)
	if err := n.raft.AddNonvoter("gone", "127.0.0.1:1", 0, 0).Error(); !errors.Is(err, errNoRoom) {
		t.Fatal(err)
	}
	set(false)
	update(t, n, "add a")
	if !n.knows("gone") {
		t.Fatal("raft does not go on with it: this tests nothing")
	}
	if err := n.Snapshot(t.Context()); err != nil {
		t.Fatal(err)
	}
	if conf, _ := n.fsm.members.get(); len(conf.Servers) != 1 {
		t.Errorf("the members of the snapshot are %v", conf.Servers)
	}
	tr.crash(0)
	n = tr.start(0)
	if n.knows("gone") {
		t.Error("when it is opened again, it has a member that nobody has added")
	}
	update(t, n, "add a")
}

// TestASnapshotOfWhatTheLogHasIsPassedOver sends a snapshot to a node that has two changes of members
// after it in its log, with an answer that the leader never got.
func TestASnapshotOfWhatTheLogHasIsPassedOver(t *testing.T) {
	concurrently(t)
	tr := startTrial(t, 3, func(i int, o *Options) {
		steady(i, o)
		o.SnapshotBytes = -1
	})
	adds(t, tr.nodes[0], 5, "a")
	l, c := tr.leader(), tr.follower()
	lead := tr.nodes[l]
	if err := lead.Snapshot(t.Context()); err != nil {
		t.Fatal(err)
	}
	snaps, err := openFileSnapshots(tr.path(l), lead.opts)
	if err != nil {
		t.Fatal(err)
	}
	list, err := snaps.List()
	if err != nil || len(list) == 0 {
		t.Fatal(list, err)
	}
	meta, r, err := snaps.Open(list[0].ID)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = r.Close() }()
	for i, id := range []raft.ServerID{"d", "e"} {
		if err := lead.raft.AddNonvoter(id, raft.ServerAddress(fmt.Sprintf("127.0.0.1:%d", i+1)), 0, 0).Error(); err != nil {
			t.Fatal(err)
		}
	}
	eventually(t, "the node has all", func() bool { return tr.nodes[c].raft.LastIndex() == lead.raft.LastIndex() && tr.nodes[c].knows("e") })
	req := &raft.InstallSnapshotRequest{
		RPCHeader:       raft.RPCHeader{ProtocolVersion: raft.ProtocolVersionMax, ID: []byte(lead.opts.ID), Addr: lead.trans.EncodePeer(raft.ServerID(lead.opts.ID), raft.ServerAddress(lead.opts.Advertise))},
		SnapshotVersion: meta.Version, Term: lead.raft.CurrentTerm(), LastLogIndex: meta.Index, LastLogTerm: meta.Term, Size: meta.Size,
		Configuration: raft.EncodeConfiguration(meta.Configuration), ConfigurationIndex: meta.ConfigurationIndex,
	}
	req.Leader = req.Addr
	var resp raft.InstallSnapshotResponse
	err = lead.trans.InstallSnapshot(raft.ServerID(tr.opts[c].ID), raft.ServerAddress(tr.addrs[c]), req, &resp, r)
	if err != nil || !resp.Success {
		t.Fatalf("%+v, %v", resp, err)
	}
	if !tr.nodes[c].knows("d") || !tr.nodes[c].knows("e") {
		t.Error("the node has forgotten members that its log has")
	}
	update(t, tr.nodes[c], "add a")
}

// TestARelayTellsNothingOfItself has a node that was removed end while it asks the leader for another one.
func TestARelayTellsNothingOfItself(t *testing.T) {
	concurrently(t)
	tr := newTrial(t, 3, nil)
	n := tr.start(0) // alone, without a leader
	n.removed.Store(true)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := n.relay(ctx, ask{Op: askJoin, ID: "x", Addr: "127.0.0.1:1"}); !errors.Is(err, errNotLeader) || errors.Is(err, ErrRemoved) {
		t.Errorf("the other node is told: %v", err)
	}
}

// TestARelayTellsNothingOfItsOwnConnection has the leader's address lead a node elsewhere when it is asked for
// another one: to a node that refuses it, for its own reasons.
func TestARelayTellsNothingOfItsOwnConnection(t *testing.T) {
	concurrently(t)
	elsewhere := startTrial(t, 1, apart).addrs[0]
	tr := newTrial(t, 3, func(_ int, o *Options) { o.Heartbeat = time.Minute }) // it looks seldom who leads
	n := tr.start(0)
	n.leader.Store(&leader{id: "n1", addr: elsewhere})
	end := make(chan time.Time)
	close(end)
	for what, err := range map[string]error{
		"joining":                n.askLeaderUntil(within(t, time.Minute), end, ask{Op: askJoin, ID: "x", Addr: "127.0.0.1:1"}),
		"whether it is a member": n.answerMember(within(t, time.Minute), ask{Op: askMember, ID: "x", Relay: true}),
	} {
		if !errors.Is(err, ErrNoQuorum) || errors.Is(err, ErrOtherCluster) || errors.Is(err, ErrIdentity) || !strings.Contains(err.Error(), elsewhere) {
			t.Errorf("%s: the other node is told: %v", what, err)
		}
	}
}

// TestAddressesThatAreNotedTogetherAreAllNoted has Add and a node that joins note one each.
func TestAddressesThatAreNotedTogetherAreAllNoted(t *testing.T) {
	concurrently(t)
	n := startTrial(t, 1, nil).nodes[0]
	want := []string{n.opts.Advertise}
	var wg sync.WaitGroup
	for i := range 20 {
		addr := fmt.Sprintf("127.0.0.1:%d", i+1)
		want = append(want, addr)
		wg.Go(func() {
			if at, err := n.noteWhere(addr); err != nil || len(at) < 2 {
				t.Errorf("%q, %v", at, err)
			}
		})
	}
	wg.Wait()
	b, err := os.ReadFile(n.self.path)
	if err != nil {
		t.Fatal(err)
	}
	for _, addr := range want {
		if !strings.Contains(string(b), "\nat "+addr+"\n") {
			t.Errorf("%s is lost", addr)
		}
	}
	before := want[:10]
	if err := n.forgetWhere(before); err != nil {
		t.Fatal(err)
	}
	if at := n.self.addresses(); len(at) != len(want)-len(before)+1 {
		t.Errorf("what was noted since is forgotten: %q", at)
	}
}

// TestAnAddIsGivenUpWhenTheNodeIsRemoved removes a node that has not caught up.
func TestAnAddIsGivenUpWhenTheNodeIsRemoved(t *testing.T) {
	concurrently(t)
	tr := startTrial(t, 1, nil)
	n := tr.nodes[0]
	update(t, n, "add a")
	a := ask{Op: askAdd, ID: "x", Addr: "127.0.0.1:1"}
	if err := n.catchUp(within(t, time.Minute), a); !errors.Is(err, ErrMember) {
		t.Errorf("waiting for a node that is no member: %v", err)
	}
}

// TestAMemberThatCanNotWriteDoesNotCount has one of three refuse all entries, and the other follower removed.
func TestAMemberThatCanNotWriteDoesNotCount(t *testing.T) {
	concurrently(t)
	d := &smallDisk{}
	tr := startTrial(t, 3, func(i int, o *Options) {
		if i == 0 {
			o.hooks.store = d.store
		}
	})
	adds(t, tr.nodes[0], 3, "a")
	for tr.leader() == 0 {
		if err := tr.nodes[0].Transfer(within(t, time.Minute)); err != nil {
			t.Fatal(err)
		}
	}
	d.full.Store(true)
	l := tr.leader()
	adds(t, tr.nodes[l], 3, "a")
	eventually(t, "the member says that it can't write", func() bool { return tr.nodes[0].pulse().Stalled })
	if err := tr.nodes[l].Remove(within(t, time.Minute), tr.opts[3-l].ID); !errors.Is(err, ErrMember) {
		t.Errorf("removing the one that has room: %v", err)
	}
	adds(t, tr.nodes[l], 1, "a")
	d.full.Store(false)
}

// TestAnAddressIsOneLine gives an address as it was read from a file.
func TestAnAddressIsOneLine(t *testing.T) {
	for name, o := range map[string]Options{
		"Listen":    {ID: "a", Listen: "127.0.0.1:0\n"},
		"Advertise": {ID: "a", Listen: "127.0.0.1:0", Advertise: "127.0.0.1:1\n"},
		"Members":   {ID: "a", Listen: "127.0.0.1:1", Members: []Member{{"a", "127.0.0.1:1"}, {"b", "127.0.0.1:2\n"}}},
		"Join":      {ID: "a", Listen: "127.0.0.1:1", Join: []string{"127.0.0.1:2 "}},
	} {
		o.Logger = quiet(t)
		if n, err := Open(filepath.Join(t.TempDir(), "a"), newLedger(), &o); err == nil || !strings.Contains(err.Error(), "control character") {
			t.Errorf("%s: %v, %v", name, n, err)
		}
	}
}

// TestAnOpenThatFailsLateLeavesNothing has the file NODE not be written after raft was started.
func TestAnOpenThatFailsLateLeavesNothing(t *testing.T) {
	noLeaks(t)
	tr := startTrial(t, 1, nil)
	update(t, tr.nodes[0], "add a")
	tr.stop(0)
	path := filepath.Join(tr.path(0), nodeFile)
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	before, _, _ := strings.Cut(string(b), "at ")
	if err := os.WriteFile(path, []byte(before), 0o600); err != nil {
		t.Fatal(err)
	}
	mkdir(t, path+".tmp")
	if n, err := Open(tr.path(0), newLedger(), tr.opts[0]); err == nil {
		t.Fatal(n)
	}
	if err := os.Remove(path + ".tmp"); err != nil {
		t.Fatal(err)
	}
	update(t, tr.start(0), "add a")
}

// TestOfTwoNewNodesOfOneIDOneIsAdded has a process ask to join while another one with its ID is being added.
// That one stays as long as it asks: by turns, neither would ever get in.
func TestOfTwoNewNodesOfOneIDOneIsAdded(t *testing.T) {
	concurrently(t)
	n := startTrial(t, 1, nil).nodes[0]
	first := &joiner{addr: "127.0.0.1:1", run: "1", cancel: func() {}, done: make(chan struct{}), asking: time.NewTimer(time.Hour), asked: time.Now()}
	n.joining.all = map[string]*joiner{"x": first}
	second := ask{Op: askJoin, ID: "x", Addr: "127.0.0.1:2", Run: "2"}
	if _, err := n.joiner(second); !errors.Is(err, ErrIdentity) {
		t.Errorf("the second: %v", err)
	}
	if d, err := n.joiner(ask{Op: askJoin, ID: "x", Addr: "127.0.0.1:1", Run: "1"}); err != nil || d != first {
		t.Errorf("the first, once more: %v", err)
	}
	first.asked = first.asked.Add(-time.Hour)
	if d, err := n.joiner(second); err != nil || d == first {
		t.Errorf("the second, when the first does not ask any more: %v", err)
	}
}
