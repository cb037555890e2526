package cluster

import (
	"context"
	"errors"
	"log/slog"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/hashicorp/raft"
)

// failCounts count what raft logs of calls that have failed.
type failCounts struct {
	slog.Handler
	entries, heartbeats atomic.Int64
}

func (c *failCounts) Enabled(context.Context, slog.Level) bool { return true }
func (c *failCounts) WithAttrs([]slog.Attr) slog.Handler       { return c }

func (c *failCounts) Handle(_ context.Context, r slog.Record) error {
	switch {
	case strings.Contains(r.Message, "failed to appendEntries"):
		c.entries.Add(1)
	case strings.Contains(r.Message, "failed to heartbeat"):
		c.heartbeats.Add(1)
	}
	return nil
}

// counted makes a cluster whose nodes count.
func counted(t *testing.T) (*trial, []*failCounts) {
	t.Helper()
	counts := make([]*failCounts, 3)
	return startTrial(t, 3, func(i int, o *Options) {
		steady(i, o)
		counts[i] = &failCounts{Handler: slog.DiscardHandler}
		o.Logger = slog.New(counts[i])
	}), counts
}

// fails waits until n more heartbeats have failed.
func (c *failCounts) fails(t *testing.T, n int64) {
	t.Helper()
	want := c.heartbeats.Load() + n
	eventually(t, "heartbeats fail", func() bool { return c.heartbeats.Load() >= want })
}

// TestANodeThatComesBackIsSentEntriesAtOnce cuts a follower off, and lets it back when
// it is needed. Raft would wait longer after each call that has failed.
func TestANodeThatComesBackIsSentEntriesAtOnce(t *testing.T) {
	concurrently(t)
	tr, counts := counted(t)
	lead := tr.leader()
	away, other := (lead+1)%3, (lead+2)%3
	update(t, tr.nodes[lead], "add x")
	tr.nodes[away].mux.cut(true)
	counts[lead].fails(t, 10)
	update(t, tr.nodes[lead], "add x")
	counts[lead].fails(t, 10)
	if got := counts[lead].entries.Load(); got > 3 {
		t.Errorf("raft was told %d times that entries could not be sent, and waits longer each time", got)
	}
	tr.nodes[away].mux.cut(false)
	tr.crash(other)
	began := time.Now()
	if got := update(t, tr.nodes[lead], "add x"); got != 3 {
		t.Errorf("the sum is %v", got)
	}
	t.Logf("an update that needed the node took %v", time.Since(began))
}

// TestALeaderMakesNoEntryInTheTermOfAnother has a leader that waits for something to do hear of
// another one, in a later term, by a heartbeat, and be asked for an update then. An entry that it made
// in that term would be taken for the one that the other leader has there.
func TestALeaderMakesNoEntryInTheTermOfAnother(t *testing.T) {
	concurrently(t)
	alone := raft.EncodeConfiguration(raft.Configuration{Servers: []raft.Server{{ID: "a", Address: "a"}}})
	entries := []*raft.Log{{Index: 1, Term: 1, Type: raft.LogConfiguration, Data: alone}}
	f := newPuppet(t)
	f.own.raft.Store(f.raft)
	if resp := f.send(entries, 1, 1, 1); !resp.Success {
		t.Fatal("the follower does not take its members")
	}
	var resp raft.TimeoutNowResponse
	if err := f.trans.TimeoutNow("a", f.addr, &raft.TimeoutNowRequest{RPCHeader: header}, &resp); err != nil {
		t.Fatal(err)
	}
	eventually(t, "it leads, and has nothing to do", func() bool { return f.raft.State() == raft.Leader && f.raft.CommitIndex() == 2 })
	f.begin(3)
	if err := f.raft.Apply([]byte("of the one that led"), 0).Error(); err == nil {
		t.Error("it has made an update")
	}
	f.lead(append(entries,
		&raft.Log{Index: 2, Term: 2, Type: raft.LogNoop},
		&raft.Log{Index: 3, Term: 3, Data: []byte("of the one that leads")},
	), 1)
}

// heldBy waits until a node holds n calls.
func heldBy(t *testing.T, n *Node, want int) {
	t.Helper()
	eventually(t, "calls are held, or are not", func() bool {
		n.trans.mu.Lock()
		defer n.trans.mu.Unlock()
		return len(n.trans.held) == want
	})
}

// TestACallIsNotHeldInVain ends each reason to hold a call.
func TestACallIsNotHeldInVain(t *testing.T) {
	concurrently(t)
	for _, c := range []struct {
		name string
		end  func(t *testing.T, tr *trial, lead, away int)
	}{
		{"the member is removed", func(t *testing.T, tr *trial, lead, away int) {
			if err := tr.nodes[lead].Remove(t.Context(), tr.opts[away].ID); err != nil {
				t.Fatal(err)
			}
		}},
		{"the member moves", func(t *testing.T, tr *trial, lead, away int) {
			id, addr := raft.ServerID(tr.opts[away].ID), raft.ServerAddress(freeAddrs(t, 1)[0])
			old := raft.ServerAddress(tr.addrs[away])
			if err := tr.nodes[lead].raft.AddVoter(id, addr, 0, 0).Error(); err != nil {
				t.Fatal(err)
			}
			eventually(t, "calls to the new address are held, and none to the old one", func() bool {
				return holds(tr.nodes[lead], addr) && !holds(tr.nodes[lead], old)
			})
			tr.stop(lead)
		}},
		{"the node does not lead any more", func(_ *testing.T, tr *trial, lead, away int) {
			tr.crash(3 - lead - away)
		}},
		{"the node is closed", func(_ *testing.T, tr *trial, lead, _ int) { tr.stop(lead) }},
	} {
		t.Run(c.name, func(t *testing.T) {
			tr := startTrial(t, 3, steady)
			lead := tr.leader()
			away := (lead + 1) % 3
			n := tr.nodes[lead]
			update(t, n, "add x")
			tr.crash(away)
			heldBy(t, n, 1)
			c.end(t, tr, lead, away)
			heldBy(t, n, 0)
		})
	}
}

func holds(n *Node, addr raft.ServerAddress) bool {
	n.trans.mu.Lock()
	defer n.trans.mu.Unlock()
	for h := range n.trans.held {
		if h.addr == addr {
			return true
		}
	}
	return false
}

// TestAnErrorOfAMemberThatAnswersIsNotHeldBack: raft is to wait longer then.
func TestAnErrorOfAMemberThatAnswersIsNotHeldBack(t *testing.T) {
	tr := startTrial(t, 3, nil)
	lead, other := tr.leader(), tr.follower()
	n := tr.nodes[lead]
	update(t, n, "add x")
	req := &raft.AppendEntriesRequest{Term: n.raft.CurrentTerm(), LeaderCommitIndex: 1} // has no header
	var resp raft.AppendEntriesResponse
	err := n.trans.AppendEntries(raft.ServerID(tr.opts[other].ID), raft.ServerAddress(tr.addrs[other]), req, &resp)
	if err == nil || errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("the error is %v", err)
	}
	heldBy(t, n, 0)
}

// TestANodeWhoseDiskWasFullIsSentEntriesSoon lets the disk of a follower take nothing for a
// while, and needs the follower as soon as it does. Raft would wait longer after each
// answer, unless that says not to.
func TestANodeWhoseDiskWasFullIsSentEntriesSoon(t *testing.T) {
	concurrently(t)
	var full [3]atomic.Bool
	var tries [3]atomic.Int64
	tr := startTrial(t, 3, func(i int, o *Options) {
		steady(i, o)
		o.hooks.store = func() error {
			if !full[i].Load() {
				return nil
			}
			tries[i].Add(1)
			return syscall.ENOSPC
		}
	})
	lead := tr.leader()
	other, away := (lead+1)%3, (lead+2)%3
	n := tr.nodes[lead]
	update(t, n, "add x")
	tr.crash(away)
	full[other].Store(true)
	done := make(chan error, 1)
	go func() {
		_, err := n.Update(t.Context(), []byte("add x"))
		done <- err
	}()
	eventually(t, "entries were sent in vain", func() bool { return tries[other].Load() >= 5 })

	last, err := n.logs.LastIndex()
	if err != nil {
		t.Fatal(err)
	}
	var l raft.Log
	if err := n.logs.GetLog(last, &l); err != nil {
		t.Fatal(err)
	}
	var before raft.Log
	if err := n.logs.GetLog(last-1, &before); err != nil {
		t.Fatal(err)
	}
	req := &raft.AppendEntriesRequest{
		RPCHeader: raft.RPCHeader{ProtocolVersion: raft.ProtocolVersionMax, ID: []byte(tr.opts[lead].ID), Addr: []byte(tr.addrs[lead])},
		Term:      n.raft.CurrentTerm(), PrevLogEntry: before.Index, PrevLogTerm: before.Term, Entries: []*raft.Log{&l},
	}
	var resp raft.AppendEntriesResponse
	err = n.trans.AppendEntries(raft.ServerID(tr.opts[other].ID), raft.ServerAddress(tr.addrs[other]), req, &resp)
	if err != nil || resp.Success || !resp.NoRetryBackoff {
		t.Errorf("a full disk answers %+v, %v: raft waits longer each time", resp, err)
	}

	full[other].Store(false)
	began := time.Now()
	if err := <-done; err != nil {
		t.Error(err)
	}
	t.Logf("an update that needed the node took %v after there was room", time.Since(began))
}

// TestACallFindsANodeThatStarts calls a node that is down. The same call must find it
// when it is there.
func TestACallFindsANodeThatStarts(t *testing.T) {
	noLeaks(t)
	var called atomic.Int64
	tr := newTrial(t, 3, func(i int, o *Options) {
		o.hooks.connect = func(kind byte, addr string) error {
			if i == 0 && kind == connRaft && addr == o.Members[1].Addr {
				called.Add(1)
			}
			return nil
		}
	})
	s := &raftStream{tr.start(0).mux, tr.addrs[0], time.Minute}
	found := make(chan error, 1)
	go func() {
		conn, err := s.Dial(raft.ServerAddress(tr.addrs[1]), time.Minute)
		if err == nil {
			err = conn.Close()
		}
		found <- err
	}()
	eventually(t, "the node was called in vain", func() bool { return called.Load() >= 5 })
	tr.start(1)
	if err := <-found; err != nil {
		t.Error(err)
	}
}
