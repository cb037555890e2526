package cluster

import (
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/hashicorp/raft"
	walfs "github.com/hashicorp/raft-wal/fs"
)

// knownAt waits until a node knows a member by an address.
func knownAt(t *testing.T, n *Node, id, addr string) {
	t.Helper()
	eventually(t, "member "+id+" is at "+addr, func() bool {
		conf, _ := n.fsm.members.get()
		s, known := memberOf(conf, id)
		return known && string(s.Address) == addr
	})
}

// TestANodeThatWasReplacedDoesNotComeBackByItself has a node removed while it is down, and another
// one take its ID. That one is down when the first one is opened again, with and without Join, and
// when it is to be rebuilt.
func TestANodeThatWasReplacedDoesNotComeBackByItself(t *testing.T) {
	concurrently(t)
	replaced(t, func(*trial, int) {})
}

// TestAReplacementInTheLogIsNotTakenForThisNode has the first one get what was agreed on since it was
// removed, up to its replacement, as a leader sends it at times that tries again to reach the node.
func TestAReplacementInTheLogIsNotTakenForThisNode(t *testing.T) {
	replaced(t, func(tr *trial, old int) {
		s, err := openTestLog(t, filepath.Join(tr.path(old), "wal"), walfs.New())
		if err != nil {
			t.Fatal(err)
		}
		from, err := s.LastIndex()
		if err != nil {
			t.Fatal(err)
		}
		lead, changes := tr.nodes[tr.leader()], 0
		for i := from + 1; i <= lead.raft.LastIndex(); i++ {
			var l raft.Log
			if err := errors.Join(lead.logs.GetLog(i, &l), s.StoreLog(&l)); err != nil {
				t.Fatal(err)
			}
			if l.Type == raft.LogConfiguration {
				changes++
			}
		}
		if err := s.Close(); err != nil || changes < 3 {
			t.Fatalf("%d changes of members since it was down, %v", changes, err)
		}
	})
}

// replaced has a node replaced, and opened again, when late has had its turn.
func replaced(t *testing.T, late func(tr *trial, old int)) {
	old, its := 2, 3
	tr := newTrial(t, 4, func(_ int, o *Options) { o.Members = o.Members[:3] })
	tr.opts[its].ID, tr.opts[its].Members, tr.opts[its].Join = tr.opts[old].ID, nil, tr.addrs[:2]
	for i := range 3 {
		tr.start(i)
	}
	update(t, tr.nodes[old], "add x")
	tr.stop(old)
	if err := tr.nodes[0].Remove(within(t, time.Minute), tr.opts[old].ID); err != nil {
		t.Fatal(err)
	}
	tr.start(its)
	voters(t, tr.nodes[0], 3)
	tr.stop(its)
	late(tr, old)
	rejoin := func(what string) {
		t.Helper()
		o := *tr.opts[old]
		o.Members, o.Join = nil, tr.addrs[:2]
		if aside, err := Rejoin(within(t, time.Minute), tr.path(old), &o); !errors.Is(err, ErrIdentity) || aside != "" {
			t.Errorf("Rejoin %s: %q, %v", what, aside, err)
		}
	}
	rejoin("before it was told that it was removed")
	for _, join := range [][]string{tr.addrs[:2], nil} {
		if join == nil && testing.Short() {
			break
		}
		tr.opts[old].Members, tr.opts[old].Join = nil, join
		n := tr.start(old)
		var told error
		eventually(t, "the node says that it was removed", func() bool {
			told = n.Stats().Err
			return errors.Is(told, ErrRemoved)
		})
		says := func(what string, err error) {
			if text := fmt.Sprint(err); !errors.Is(err, ErrRemoved) || !strings.Contains(text, tr.addrs[its]) || strings.Contains(text, "Rejoin") {
				t.Errorf("%s: %v", what, err)
			}
		}
		says("its figures", told)
		says("a read", n.Sync(within(t, time.Minute)))
		tr.stop(old)
		again, err := Open(tr.path(old), newLedger(), tr.opts[old])
		if err == nil {
			// The last call of the leader for the member that it removed came late, and the node
			// counted as a member until it had asked again.
			eventually(t, "the node says so again", func() bool { return errors.Is(again.Stats().Err, ErrRemoved) })
			if err := again.Close(); err != nil {
				t.Fatal(err)
			}
			_, err = Open(tr.path(old), newLedger(), tr.opts[old])
		}
		says("opening it again", err)
		rejoin("after that")
		if err := os.Remove(filepath.Join(tr.path(old), removedFile)); err != nil {
			t.Fatal(err)
		}
	}
	knownAt(t, tr.nodes[0], tr.opts[its].ID, tr.addrs[its])
	tr.start(its)
	update(t, tr.nodes[its], "add x")
}

// TestAMemberIsKnownWhereItIsOnceThatIsCommitted has the leader move a member that is back where it
// was, while nobody else can store that.
func TestAMemberIsKnownWhereItIsOnceThatIsCommitted(t *testing.T) {
	concurrently(t)
	var full atomic.Int64
	full.Store(-1)
	tr := startTrial(t, 3, func(i int, o *Options) {
		o.Heartbeat = time.Second
		o.hooks.store = func() error {
			if full.Load() == int64(i) {
				return errRefused
			}
			return nil
		}
	})
	update(t, tr.nodes[0], "add x")
	keep := tr.leader()
	lead, moves, to := tr.nodes[keep], (keep+1)%3, freeAddrs(t, 1)[0]
	id := tr.opts[moves].ID
	tr.stop(moves)
	full.Store(int64(keep+2) % 3)
	moved := lead.raft.AddVoter(raft.ServerID(id), raft.ServerAddress(to), 0, 0)
	eventually(t, "the leader has the move in its log", func() bool {
		conf, err := lead.members()
		s, _ := memberOf(conf, id)
		return err == nil && string(s.Address) == to
	})
	known := func(at ...string) error {
		return lead.answerMember(within(t, time.Minute), ask{Op: askMember, ID: id, Addr: tr.addrs[moves], At: append([]string{}, at...)})
	}
	if err := known(); !errors.Is(err, errNotLeader) {
		t.Errorf("whether it is known where it is, while it is being moved: %v", err)
	}
	if err := known(to); err != nil {
		t.Errorf("whether it is a member: %v", err)
	}
	if lead.raft.CommitIndex() >= lead.raft.LastIndex() {
		t.Fatal("the move was committed: this tests nothing")
	}
	full.Store(-1)
	if err := moved.Error(); err != nil {
		t.Fatal(err)
	}
	if err := known(); !errors.Is(err, ErrRemoved) {
		t.Errorf("whether it is known where it is, once it was moved: %v", err)
	}
}

// TestTheOnlyMemberKnowsWhereItIs moves a node that has no other one to ask.
func TestTheOnlyMemberKnowsWhereItIs(t *testing.T) {
	var log lines
	tr := startTrial(t, 1, func(_ int, o *Options) { o.Logger = slog.New(slog.NewTextHandler(&log, nil)) })
	update(t, tr.nodes[0], "add x")
	tr.stop(0)
	was := tr.addrs[0]
	tr.opts[0].Members, tr.opts[0].Listen = nil, freeAddrs(t, 1)[0]
	n := tr.start(0)
	eventually(t, "the node leads", func() bool { return n.leader.Load() != nil })
	if n.isKnownHere() {
		t.Errorf("it is known at %s, and not at %s", was, n.opts.Advertise)
	}
	if got := log.String(); !strings.Contains(got, "only member") || strings.Contains(got, "the others") {
		t.Errorf("the log has\n%s", got)
	}
	if err := n.Add(within(t, time.Minute), n.opts.ID, n.opts.Advertise); err != nil {
		t.Fatal(err)
	}
	tr.stop(0)
	n = tr.start(0)
	if !n.mustAsk() {
		t.Errorf("it has noted %v: this tests nothing", n.self.addresses())
	}
	eventually(t, "the node knows where it is", n.isKnownHere)
	n.join() // ends
}

// TestAMemberThatAsksWhereItIsKnownIsNotSaidToBeAdded has one ask that has its vote.
func TestAMemberThatAsksWhereItIsKnownIsNotSaidToBeAdded(t *testing.T) {
	var log lines
	tr := startTrial(t, 2, func(_ int, o *Options) { o.Logger = slog.New(slog.NewTextHandler(&log, nil)) })
	n := tr.nodes[tr.follower()]
	update(t, n, "add x")
	eventually(t, "the node has its vote for certain", n.joined)
	n.askAll(map[string]*reminder{})
	n.sayAsked(&reminder{}, "nowhere", errNotLeader)
	if got := log.String(); !strings.Contains(got, "the others hear where") || !strings.Contains(got, "whether the others know where") || strings.Contains(got, "yet") {
		t.Errorf("the log has\n%s", got)
	}
}

// startDeaf starts three nodes. The one whose number is in deaf takes no connection of raft's; -1, at
// first, is none.
func startDeaf(t *testing.T, heartbeat time.Duration) (tr *trial, deaf *atomic.Int64) {
	t.Helper()
	deaf = new(atomic.Int64)
	deaf.Store(-1)
	tr = startTrial(t, 3, func(i int, o *Options) {
		o.Heartbeat = heartbeat
		o.hooks.connect = func(kind byte, _ string) error {
			if kind == connRaft && deaf.Load() == int64(i) {
				return errRefused
			}
			return nil
		}
	})
	return tr, deaf
}

// TestAMemberThatMovesOnIsNotTakenForAnother has a member move, by itself or by Add, that does not
// hear of it, and move on to another address, or back. It is known at one that its log does not say.
func TestAMemberThatMovesOnIsNotTakenForAnother(t *testing.T) {
	for _, c := range []struct {
		name       string
		join, back bool
	}{{"by itself", true, false}, {"by Add", false, false}, {"and back", true, true}} {
		t.Run(c.name, func(t *testing.T) {
			if !c.join && testing.Short() {
				t.Skip("like the first one")
			}
			tr, deaf := startDeaf(t, 250*time.Millisecond)
			update(t, tr.nodes[0], "add x")
			moves, lead := tr.follower(), tr.nodes[tr.leader()]
			id, addrs := tr.opts[moves].ID, freeAddrs(t, 2)
			tr.stop(moves)
			deaf.Store(int64(moves))
			at := func(addr string, join ...string) *Node {
				o := *tr.opts[moves]
				o.Listen, o.Members, o.Join = addr, nil, join
				tr.opts[moves] = &o
				return tr.start(moves)
			}
			var n *Node
			if c.join {
				n = at(addrs[0], lead.opts.Advertise)
			} else {
				n = at(addrs[0])
				if err := lead.Add(within(t, time.Minute), id, addrs[0]); err != nil {
					t.Fatal(err)
				}
			}
			knownAt(t, lead, id, addrs[0])
			conf, err := n.members()
			if s, _ := memberOf(conf, id); err != nil || string(s.Address) != tr.addrs[moves] {
				t.Fatalf("it knows itself at %s: this tests nothing (%v)", s.Address, err)
			}
			tr.crash(moves)
			deaf.Store(-1)
			to := addrs[1]
			if c.back {
				to = tr.addrs[moves]
				n = at(to)
			} else {
				n = at(to, lead.opts.Advertise)
			}
			knownAt(t, lead, id, to)
			update(t, n, "add x")
			eventually(t, "the file NODE has no other address any more", func() bool {
				b, err := os.ReadFile(n.self.path)
				return err == nil && strings.Count(string(b), "\nat ") == 1 && strings.Contains(string(b), "\nat "+to+"\n")
			})
			if n.removed.Load() {
				t.Error("the member was told that it was removed")
			}
		})
	}
}
