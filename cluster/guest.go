package cluster

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"time"

	"github.com/hashicorp/raft"
)

// A guest is a node that began with an empty directory, to join or to be rebuilt, until it
// is let in. It may have been a member before, and have forgotten what it had acknowledged
// and promised. And the log that it is sent begins with what was once: a node that began its
// cluster alone finds there that it is the only member, and would elect itself. So raft's
// rules do not hold for it:
//
//   - It takes nothing from raft until a leader has invited it, which is sure that this node
//     is no member: to one that has it for the member that it was, its answers would count.
//   - It does not stand for election, and does not vote.
//   - What it says of its term counts for no read.
//
// The leader adds it, without a vote, and lets it in when it has caught up: then its log has
// the entry by which it was added, and whatever of its members is later. From there on it is
// a node like others, which raft may need the vote of, before this one knows that it has one:
// a cluster of one node that becomes one of two has no majority without it. It is in the file
// NODE, so that it is so after a crash, too.
type guest int

const (
	noGuest guest = iota // a founder, or it was let in
	strange              // no leader has invited it
	invited
)

// guestLines are what the file NODE says.
var guestLines = [...]string{strange: "guest strange\n", invited: "guest invited\n"}

func parseGuest(line string) (guest, error) {
	for g, text := range guestLines {
		if text == line+"\n" {
			return guest(g), nil
		}
	}
	return noGuest, errMalformed
}

// noElection is raft's timeout for a guest, which has no other way to keep it from elections.
const noElection = 1000 * 24 * time.Hour

var errAside = errors.New("cluster: this node was not let in yet, or another one has its ID by now, and takes no part in elections")

// standsAside reports whether this node takes no part in elections. r is nil while it is being opened.
func (n *Node) standsAside(r *raft.Raft) bool {
	return n.self.isGuest() || r != nil && n.isReplaced(r.GetConfiguration().Configuration())
}

func (s *self) isGuest() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.guest != noGuest
}

// hasJoined reports whether this node has become one of its cluster by others: it did not begin it.
func (s *self) hasJoined() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.joined
}

// awaits reports whether this node has to be invited before it takes a connection.
func (s *self) awaits(kind byte) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.guest == strange && kind == connRaft
}

// letIn notes, durably, that this node is no guest any more, and where the others know it.
func (s *self) letIn(at string) error {
	s.write.Lock()
	defer s.write.Unlock()
	return s.writeLocked(s.identity(), s.joined, noGuest, []string{at})
}

// isElection reports whether raft is asked to vote, or to stand for election.
func isElection(command any) bool {
	switch command.(type) {
	case *raft.RequestVoteRequest, *raft.RequestPreVoteRequest, *raft.TimeoutNowRequest:
		return true
	}
	return false
}

// isEmpty reports whether this node may have lost what it had acknowledged, if it was a member.
func (n *Node) isEmpty() bool { return n.raft.LastIndex() == 0 || n.self.isGuest() }

// promised is the latest term that this node has promised. A guest may have promised any.
func (n *Node) promised() uint64 {
	if n.self.isGuest() {
		return math.MaxUint64
	}
	return n.raft.CurrentTerm()
}

// lostLeader reports whether this node has heard nothing of the leader that raft knows of. A
// guest's raft does not notice.
func (n *Node) lostLeader() bool {
	return n.self.isGuest() && time.Since(n.raft.LastContact()) > 2*n.patience()
}

// admit lets a node in that was added by the entry with that index, and has caught up.
func (n *Node) admit(ctx context.Context, a ask, index uint64) error {
	payload, err := json.Marshal(ask{Op: askAdmit, ID: a.ID, Addr: a.Addr, Run: a.Run, Index: index})
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, askBound(n.opts.Heartbeat))
	defer cancel()
	if _, err := n.peers.call(ctx, a.Addr, frameAsk, payload); err != nil {
		return fmt.Errorf("cluster: letting %s in, at %s, which is a member without a vote (add it again): %w", a.ID, a.Addr, err)
	}
	return nil
}

// admitted is called when a leader lets this node in.
func (n *Node) admitted(a ask) error {
	if a.ID != n.opts.ID || a.Run != "" && a.Run != n.run {
		return fmt.Errorf("%w: another process was to be let in: it was closed, or has another address", ErrIdentity)
	}
	n.admitting.Lock()
	defer n.admitting.Unlock()
	if !n.self.isGuest() { // it was removed, and was added with what it has
		return nil
	}
	if n.fsm.applied.Load() < a.Index {
		return fmt.Errorf("cluster: the node has not caught up: entry %d is not applied: %w", a.Index, errNotLeader) // asked again
	}
	if err := n.begun(); err != nil { // it has something to lose
		return err
	}
	if err := n.self.letIn(a.Addr); err != nil {
		return err
	}
	if err := n.reload(func(c *raft.ReloadableConfig) { c.HeartbeatTimeout, c.ElectionTimeout = n.patience(), n.patience() }); err != nil {
		return err
	}
	n.log.Info("cluster: this node was let in", "node", n.opts.ID, "entry", a.Index)
	return nil
}
