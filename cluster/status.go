package cluster

import (
	"context"
	"encoding/json"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hashicorp/raft"
)

// A Status is what a node knows about its cluster.
type Status struct {
	ID      string // of this node
	Cluster string // which one it is, drawn when it began; empty: it has not begun
	Leader  string // ID; empty: none is known
	Term    uint64 // raft's
	Stalled bool   // the disk of this node does not answer, or its log can't be written
	Members []MemberStatus

	// FailoverGap is how long this node knew of no leader, the last time.
	FailoverGap time.Duration
}

// A MemberStatus is what a node knows about a member.
type MemberStatus struct {
	Member
	Voter   bool
	Leader  bool
	Up      bool  // it answers
	Err     error // why it does not
	Stalled bool  // its disk does not answer, or its log can't be written

	Applied uint64 // raft index of the last entry it has applied
	Lag     uint64 // raft entries that it has not applied, and this node knows of
}

// Status asks all members how they are, and waits for answers as long as a
// heartbeat.
func (n *Node) Status() Status {
	s := Status{ID: n.opts.ID, Term: n.raft.CurrentTerm(), Stalled: n.diskFails(), FailoverGap: n.gap.last()}
	if is := n.self.identity(); is.known() {
		s.Cluster = is.String()
	}
	if l := n.leader.Load(); l != nil {
		s.Leader = l.id
	}
	conf, err := n.members()
	if err != nil {
		return s
	}
	ctx, cancel := context.WithTimeout(n.ctx, n.opts.Heartbeat)
	defer cancel()
	s.Members = make([]MemberStatus, len(conf.Servers))
	var wg sync.WaitGroup
	for i, server := range conf.Servers {
		wg.Go(func() { s.Members[i] = n.memberStatus(ctx, server, s.Leader) })
	}
	wg.Wait()
	known := n.raft.CommitIndex()
	for _, m := range s.Members {
		known = max(known, m.Applied)
	}
	for i := range s.Members {
		s.Members[i].Lag = known - s.Members[i].Applied
	}
	return s
}

// diskFails reports whether this node can acknowledge nothing: it does not count for a majority.
func (n *Node) diskFails() bool { return n.stalled.Load() || n.logs.refusal.err() != nil }

func (n *Node) memberStatus(ctx context.Context, server raft.Server, leader string) MemberStatus {
	m := MemberStatus{
		Member: Member{string(server.ID), string(server.Address)},
		Voter:  server.Suffrage == raft.Voter, Leader: string(server.ID) == leader,
	}
	p := n.pulse()
	if m.ID != n.opts.ID {
		b, err := n.peers.call(ctx, m.Addr, frameTerm, nil)
		if err == nil {
			p, err = parsePulse(b)
		}
		if err != nil {
			m.Err = fmt.Errorf("cluster: asking member %s at %s: %w", m.ID, m.Addr, err)
			return m
		}
	}
	m.Up, m.Applied, m.Stalled = true, p.Applied, p.Stalled
	return m
}

// describe is what another node is told that asks for the status of this one.
func (n *Node) describe() json.RawMessage {
	b, err := json.Marshal(n.pulse())
	if err != nil {
		return nil
	}
	return b
}

var start = time.Now()

// gaps measures how long no leader is known.
type gaps struct {
	since atomic.Int64 // when the last one was lost, in ns since start; 0: one is known
	took  atomic.Int64
}

func (g *gaps) changed(was, now *leader) {
	switch {
	case now == nil:
		g.since.Store(max(1, int64(time.Since(start))))
	case was == nil:
		if t := g.since.Swap(0); t != 0 {
			g.took.Store(int64(time.Since(start)) - t)
		}
	}
}

func (g *gaps) last() time.Duration { return time.Duration(g.took.Load()) }

// Stats are figures about a node since it was opened. Sizes are in bytes.
type Stats struct {
	Index   uint64 // of the last update applied by this node
	Applied uint64 // raft index of the last entry applied
	Commit  uint64 // raft index of the last entry that this node knows to be on a majority
	Lag     uint64 // Commit less Applied

	Updates      uint64 // applied
	UpdateErrors uint64 // refused by Apply
	Duplicates   uint64 // that came a second time, and were not applied again
	Entries      uint64 // raft entries that these came in
	Retries      uint64 // sendings of this node's updates after the first
	Forwarded    uint64 // groups of updates that this node, leading, has taken from others
	Pending      int    // bytes of this node's updates that are waited for
	Waiting      int    // the number of them
	Keys         int    // keys of UpdateOnce that are remembered
	Sessions     int    // nodes, as often as they were opened, that are remembered

	Snapshots       uint64        // made
	SnapshotsFailed uint64        // that could not be made
	SnapshotError   error         // why the last one could not be made; nil if it could
	SnapshotBytes   int64         // size of the newest, made here or sent by the leader
	SnapshotTook    time.Duration // to make the last one
	SinceSnapshot   int64         // bytes of log applied after it
	Restores        uint64        // snapshots restored: at Open, and from the leader

	Err error // why this node takes no updates: store.ErrClosed, store.ErrFailed, ErrStalled or ErrRemoved; or the error of its disk, while its log can't be written, or read (store.ErrCorrupt, if it is damaged)
}

// nodeCounters are what a node counts besides its machine.
type nodeCounters struct{ forwarded atomic.Uint64 }

// Stats returns the figures as they are now. It waits for nothing.
func (n *Node) Stats() Stats {
	f := n.fsm
	s := Stats{
		Index: f.index.Load(), Applied: f.applied.Load(), Commit: n.raft.CommitIndex(),
		Updates: f.counts.updates.Load(), UpdateErrors: f.counts.refused.Load(),
		Duplicates: f.counts.duplicates.Load(), Entries: f.counts.entries.Load(),
		Forwarded: n.counts.forwarded.Load(), SinceSnapshot: f.since().bytes, Restores: f.restores.Load(),
		Err: n.down(notMadeText),
	}
	if err := n.logs.writeErr(); err != nil && s.Err == nil {
		s.Err = fmt.Errorf("cluster: the log of this node can't be written: %w", err)
	}
	if s.Err == nil {
		s.Err = n.logs.badErr()
	}
	s.Lag = s.Commit - min(s.Commit, s.Applied)
	s.Pending, s.Waiting, s.Retries = n.out.pending()
	s.Keys, s.Sessions = int(f.keys.Load()), int(f.sessions.Load())
	n.snapshot.fill(&s)
	return s
}

// snapshotStats are figures about snapshots.
type snapshotStats struct {
	mu           sync.Mutex
	made, failed uint64
	err          error
	bytes        int64
	took         time.Duration
}

func (c *snapshotStats) fill(s *Stats) {
	c.mu.Lock()
	defer c.mu.Unlock()
	s.Snapshots, s.SnapshotsFailed, s.SnapshotError = c.made, c.failed, c.err
	s.SnapshotBytes, s.SnapshotTook = c.bytes, c.took
}

// sized says how large the newest snapshot is.
func (c *snapshotStats) sized(bytes int64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.bytes = bytes
}

func (n *Node) snapshotDone(size int64, err error, took time.Duration) {
	c := &n.snapshot
	c.mu.Lock()
	defer c.mu.Unlock()
	c.err = err
	if err != nil {
		c.failed++
		return
	}
	c.made++
	c.bytes, c.took = size, took
}

func (n *Node) lastSnapshotSize() int64 {
	n.snapshot.mu.Lock()
	defer n.snapshot.mu.Unlock()
	return n.snapshot.bytes
}
