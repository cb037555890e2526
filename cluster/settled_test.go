package cluster

import (
	"context"
	"errors"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// TestARemovalCountsWhenItIsCommitted removes a member while another one that is up can't store
// the change, so that it may be lost with the leader.
func TestARemovalCountsWhenItIsCommitted(t *testing.T) {
	concurrently(t)
	var full, leads atomic.Int64
	full.Store(-1)
	leads.Store(-1)
	tr := startTrial(t, 3, func(i int, o *Options) {
		o.Heartbeat = time.Second
		o.hooks.store = func() error {
			if leads.Load() == int64(i) { // it has looked whether the others can write
				full.Store((int64(i) + 2) % 3)
			}
			if full.Load() == int64(i) {
				return errRefused
			}
			return nil
		}
	})
	adds(t, tr.nodes[0], 10, "a")
	a := tr.leader()
	b, c := (a+1)%3, (a+2)%3
	adds(t, tr.nodes[a], 5, "b")
	tr.stop(b)
	leads.Store(int64(a))
	lead, id := tr.nodes[a], tr.opts[b].ID
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	first := make(chan error, 1)
	go func() { first <- lead.Remove(ctx, id) }()
	voters(t, lead, 2) // in the log of the leader
	for _, what := range []string{"while another call waits", "while the change waits"} {
		if err := lead.Remove(within(t, time.Second), id); !errors.Is(err, context.DeadlineExceeded) || errors.Is(err, ErrMember) {
			t.Errorf("Remove, %s: %v", what, err)
		}
		cancel()
	}
	if err := <-first; !errors.Is(err, context.Canceled) {
		t.Errorf("the first Remove: %v", err)
	}
	o := *tr.opts[b]
	o.Members, o.Join = nil, []string{tr.addrs[a]}
	if aside, err := Rejoin(within(t, time.Second), tr.path(b), &o); !errors.Is(err, ErrNoQuorum) {
		t.Errorf("Rejoin: %q, %v", aside, err)
	}
	tr.start(b)
	if isAbsent(tr.nodes[b].askAboutSelf(tr.nodes[b].self.addresses())) {
		t.Error("a member is told that it was removed, by a change that is not committed")
	}
	if lead.raft.CommitIndex() >= lead.raft.LastIndex() {
		t.Fatal("the change was committed: nothing was tested")
	}
	leads.Store(-1)
	full.Store(-1)
	eventually(t, "the member hears that it was removed", func() bool { return errors.Is(tr.nodes[b].Stats().Err, ErrRemoved) })
	if err := lead.Remove(within(t, time.Minute), id); !errors.Is(err, errAbsent) {
		t.Errorf("Remove of one that was removed: %v", err)
	}
	has(t, tr, c, map[string]int{"a": 10, "b": 5})
}

// A slowInvitation has the first connection to an address wait, but for those of raft.
type slowInvitation struct {
	to         atomic.Value
	held, goOn chan struct{}
}

func newSlowInvitation() *slowInvitation {
	s := &slowInvitation{held: make(chan struct{}, 1), goOn: make(chan struct{})}
	s.to.Store("")
	return s
}

func (s *slowInvitation) connect(kind byte, addr string) error {
	if kind != connRaft && addr != "" && s.to.CompareAndSwap(addr, "") {
		s.held <- struct{}{}
		<-s.goOn
	}
	return nil
}

// TestAddDoesNotTakeThePlaceOfAMemberThatHasJoinedMeanwhile adds a second process with the ID of
// a node that becomes a member while the invitation is on its way.
func TestAddDoesNotTakeThePlaceOfAMemberThatHasJoinedMeanwhile(t *testing.T) {
	slow := newSlowInvitation()
	tr := startTrial(t, 2, func(i int, o *Options) {
		steady(i, o)
		o.hooks.connect = slow.connect
	})
	adds(t, tr.nodes[0], 1, "a")
	lead, addrs := tr.nodes[tr.leader()], freeAddrs(t, 2)
	open := func(addr string, join ...string) *Node {
		n, err := Open(filepath.Join(t.TempDir(), "d"), newLedger(), &Options{ID: "d", Listen: addr, Join: join, Heartbeat: time.Second, Logger: quiet(t)})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = n.Close() })
		return n
	}
	slow.to.Store(addrs[1])
	open(addrs[1], freeAddrs(t, 1)...) // it can't ask by itself
	added := make(chan error, 1)
	go func() { added <- lead.Add(within(t, time.Minute), "d", addrs[1]) }()
	<-slow.held
	d := open(addrs[0], tr.addrs...)
	voters(t, lead, 3)
	close(slow.goOn)
	if err := <-added; !errors.Is(err, ErrIdentity) {
		t.Errorf("Add of another process: %v", err)
	}
	conf, _, err := lead.settledMembers()
	if s, _ := memberOf(conf, "d"); err != nil || string(s.Address) != addrs[0] {
		t.Errorf("the member is %v, %v", s, err)
	}
	update(t, d, "add a")
}

// TestAMemberThatIsRemovedWhileItMovesIsNotOneAgain removes a member that has another address,
// before the others know that.
func TestAMemberThatIsRemovedWhileItMovesIsNotOneAgain(t *testing.T) {
	slow := newSlowInvitation()
	tr := startTrial(t, 4, func(i int, o *Options) {
		steady(i, o)
		o.hooks.connect = slow.connect
	})
	adds(t, tr.nodes[0], 1, "a")
	c := tr.follower()
	lead := tr.nodes[tr.leader()]
	if err := tr.nodes[c].Sync(t.Context()); err != nil {
		t.Fatal(err)
	}
	tr.stop(c)
	o := *tr.opts[c]
	o.Members, o.Listen, o.Join = nil, freeAddrs(t, 1)[0], []string{lead.opts.Listen}
	slow.to.Store(o.Listen)
	n, err := Open(tr.path(c), newLedger(), &o)
	if err != nil {
		t.Fatal(err)
	}
	defer n.Close()
	<-slow.held
	if err := lead.Remove(within(t, time.Minute), o.ID); err != nil {
		t.Fatal(err)
	}
	close(slow.goOn)
	eventually(t, "the member hears that it was removed, or is one again", func() bool {
		vs, err := lead.voters()
		return errors.Is(n.Stats().Err, ErrRemoved) || err == nil && len(vs) != 3
	})
	if conf, _, err := lead.settledMembers(); err != nil || len(conf.Servers) != 3 {
		t.Errorf("the members are %v, %v", conf.Servers, err)
	}
}

// TestAChangeThatCouldNotBeWrittenIsNotBuiltOn has the disk of a leader fail when it changes the
// members: raft goes on with members that are in no log.
func TestAChangeThatCouldNotBeWrittenIsNotBuiltOn(t *testing.T) {
	concurrently(t)
	var full atomic.Bool
	tr := newTrial(t, 2, func(_ int, o *Options) {
		o.hooks.store = func() error {
			if full.Load() {
				return errRefused
			}
			return nil
		}
	})
	joining(tr)
	n := tr.start(0)
	update(t, n, "add a")
	full.Store(true)
	if err := n.raft.AddNonvoter("gone", "127.0.0.1:1", 0, 0).Error(); !errors.Is(err, errRefused) {
		t.Fatal(err)
	}
	full.Store(false)
	update(t, n, "add a")
	if conf, err := n.members(); err != nil || len(conf.Servers) != 2 {
		t.Skipf("raft has the members of its log: %v, %v", conf, err)
	}
	tr.opts[1].Join = []string{"127.0.0.1:1"} // it can't ask by itself
	tr.start(1)
	if err := n.Add(within(t, time.Minute), tr.opts[1].ID, tr.addrs[1]); !errors.Is(err, ErrMember) || !strings.Contains(err.Error(), "open that one again") {
		t.Errorf("Add: %v", err)
	}
	tr.stop(0)
	n = tr.start(0)
	if err := n.Add(within(t, time.Minute), tr.opts[1].ID, tr.addrs[1]); err != nil {
		t.Errorf("Add, once the leader was opened again: %v", err)
	}
	if conf, _, err := n.settledMembers(); err != nil || len(conf.Servers) != 2 {
		t.Errorf("the members are %v, %v", conf.Servers, err)
	}
}
