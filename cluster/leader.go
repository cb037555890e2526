package cluster

import (
	"time"

	"github.com/hashicorp/raft"
)

// A leader is the one that a node knows of. It is not changed.
type leader struct {
	self bool
	id   string
	addr string
	term uint64 // in which it leads, if that is this node
}

func (l *leader) same(o *leader) bool { return l == o || l != nil && o != nil && *l == *o }

// watchLeader looks after each sign of a change at which node leads, until the node
// is closed.
func (n *Node) watchLeader(signs <-chan raft.Observation) {
	tick := time.NewTicker(n.opts.Heartbeat / 4)
	defer tick.Stop()
	var said reminder
	for {
		select {
		case <-n.ctx.Done():
			return
		case <-signs:
		case <-tick.C:
			n.dropLate()
			n.tellUnreached(&said)
		}
		n.look()
	}
}

// look looks at which node leads.
func (n *Node) look() {
	now := n.leaderNow()
	was := n.leader.Swap(now)
	if now != nil {
		n.noteLed()
	}
	if now != nil && now.self && n.fsm.term.Load() < now.term {
		n.openTerm(now.term)
	}
	if was.same(now) {
		return
	}
	n.gap.changed(was, now)
	if now != nil {
		n.peers.note(now.addr, nil) // what was before says nothing of it
	}
	switch {
	case now == nil:
		n.log.Warn("cluster: no leader", "node", n.opts.ID)
	case now.self:
		n.log.Info("cluster: this node leads", "node", n.opts.ID, "term", now.term)
	default:
		n.log.Info("cluster: another node leads", "node", n.opts.ID, "leader", now.id)
	}
	n.out.moved(now)
	n.reads.moved()
}

// tellUnreached says that this node can't call the leader, of which it hears, unless that may be because
// the leader has ended just now.
func (n *Node) tellUnreached(said *reminder) {
	to := n.leader.Load()
	if to == nil {
		return
	}
	f, failed := n.peers.failure(to.addr)
	if failed && time.Since(f.since) > 2*n.opts.Heartbeat && said.due(time.Now(), f.err.Error()) {
		n.log.Warn("cluster: this node hears of the leader, and can't reach it: no update or linearizable read is made here meanwhile", "node", n.opts.ID, "leader", to.id, "at", to.addr, "error", f.err)
	}
}

// leaderNow asks raft which node leads.
func (n *Node) leaderNow() *leader {
	if term, ok := n.leads(); ok {
		return &leader{self: true, id: n.opts.ID, addr: n.opts.Advertise, term: term}
	}
	addr, id := n.raft.LeaderWithID()
	if addr == "" || string(id) == n.opts.ID || n.lostLeader() {
		return nil
	}
	return &leader{id: string(id), addr: string(addr)}
}

// leads reports whether this node was the leader at some time during the call, and
// of which term. Raft gives up being leader before it takes a later term.
func (n *Node) leads() (term uint64, ok bool) {
	term = n.raft.CurrentTerm()
	if n.raft.State() != raft.Leader || n.raft.CurrentTerm() != term {
		return 0, false
	}
	return term, true
}

// openTerm makes an entry in a term, unless that was done. Only when one is applied
// does the leader know how far the entries of its predecessors were committed.
func (n *Node) openTerm(term uint64) {
	if n.opened.Swap(term) == term {
		return
	}
	n.prop.add(nil, func(err error) {
		if err != nil {
			n.opened.CompareAndSwap(term, 0)
		}
	})
}

// clockSlack is how far the last entry may be ahead of the clock without a word: clocks differ
// a little.
const clockSlack = time.Minute

// entryTime returns the time of the next entry, which this node makes as the leader. Times do
// not go back. If a leader had a clock that was ahead, it warns, once until this one's has
// caught up.
func (n *Node) entryTime() int64 {
	now, last := time.Now(), n.fsm.clock.Load()
	switch by := time.Duration(last - now.UnixNano()); {
	case by <= 0:
		n.ahead.Store(false)
	case by > clockSlack && !n.ahead.Swap(true):
		n.log.Warn("cluster: the last entry was made by a leader with a clock that was ahead of this node's: until that has caught up, entries keep that time, which ApplyAt gets, and nothing expires",
			"node", n.opts.ID, "entry", time.Unix(0, last).UTC(), "clock", now.UTC(), "ahead", by)
	}
	return max(now.UnixNano(), last)
}

// dropLate gives up connections on which a leader has not answered for long, and those on which
// nothing comes at all.
func (n *Node) dropLate() {
	patience := max(lateAfter, 10*n.opts.Heartbeat)
	for _, to := range n.out.late(time.Now().Add(-patience)) {
		n.peers.drop(to.addr)
	}
	n.peers.dropSilent(time.Now(), patience)
}

const lateAfter = 5 * time.Second
