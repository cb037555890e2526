package cluster

import (
	"context"
	"encoding/json"
	"net"
	"time"
)

// A copy of a member's directory can be opened elsewhere, as by a clone of its computer, while the
// member runs. It is not let in (see mayMove), and leaders send entries to the address that they
// know. But it may ask for votes, as the member that it says it is, and lead: what it acknowledges
// then, the member does not have. So a connection for raft says which process has made it, and
// the node that takes it asks the process at the address that it knows whether that is the one.

// A claim is what is known of a connection that says it is made by a member.
type claim int

const (
	unproven claim = iota // nobody is at the member's address who says so, or not yet
	proven                // that process is at the member's address
	refuted               // the member is there, and it is another process
)

// claimOf asks whether the process that has drawn run is the member with an ID.
func (n *Node) claimOf(ctx context.Context, id, run string) claim {
	addr := n.addressOf(id)
	is, err := n.run, error(nil)
	switch {
	case addr == "" || run == "":
		return unproven
	case id != n.opts.ID:
		var b, payload []byte
		if payload, err = json.Marshal(ask{Op: askRun}); err == nil {
			b, err = n.peers.call(ctx, addr, frameAsk, payload)
		}
		is = string(b)
	}
	switch {
	case err != nil:
		return unproven
	case is == run:
		return proven
	}
	return refuted
}

// addressOf returns where a member is, as far as this node knows; empty: it knows of none.
func (n *Node) addressOf(id string) string {
	if r := n.trans.raft.Load(); r != nil {
		s, _ := memberOf(r.GetConfiguration().Configuration(), id)
		return string(s.Address)
	}
	return ""
}

// claimNow is claimOf, for a caller that waits a moment: a member that this node can't call, or
// that has moved, must not wait to be heard.
func (m *mux) claimNow(c greeting) claim {
	if c.kind != connRaft {
		return proven
	}
	ctx, cancel := context.WithTimeout(m.ctx, m.patience)
	defer cancel()
	return m.claimOf(ctx, c.from, c.run)
}

// watchClaim goes on asking, while a connection is open, and hangs up when the claim is refuted.
func (m *mux) watchClaim(conn net.Conn, c greeting) {
	for wait := m.patience; ; wait = min(2*wait, lastClaim) {
		timer := time.NewTimer(wait)
		select {
		case <-timer.C:
		case <-m.done:
		}
		timer.Stop()
		if !m.has(conn) {
			return
		}
		ctx, cancel := context.WithTimeout(m.ctx, helloTimeout)
		is := m.claimOf(ctx, c.from, c.run)
		cancel()
		switch is {
		case proven:
			return
		case refuted:
			_ = m.refuse(c, helloClone)
			hangUp(conn)
			return
		}
	}
}

// lastClaim is how often a node asks at least.
const lastClaim = time.Second

// has reports whether a connection is open.
func (m *mux) has(conn net.Conn) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	_, ok := m.conns[conn]
	return ok && !m.closed
}
