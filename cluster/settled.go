package cluster

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"

	"github.com/hashicorp/raft"
)

// Raft says which members its log has, and not by which entry (version 1.8 leaves the index of
// GetConfiguration 0), nor whether that is committed: the change may be lost with the leader. So
// each node keeps those that are committed. Whoever changes the members does it to the ones that
// it has looked at, or not at all: raft compares the index.

// A settled is the members by the last committed entry that this node has applied, or has in
// a snapshot.
type settled struct {
	mu    sync.Mutex
	conf  raft.Configuration // not changed
	index uint64             // of the entry that has made it; 0: none is known

	// The same as of the last snapshot of this node that was begun, up to an entry.
	snapConf  raft.Configuration
	snapIndex uint64
	snapAt    uint64
}

// note is told of members that are committed, by entries in any order.
func (s *settled) note(index uint64, conf raft.Configuration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if index > s.index {
		s.conf, s.index = conf, index
	}
}

// captured notes that a snapshot is made of what this node has applied, up to an entry.
func (s *settled) captured(at uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.snapConf, s.snapIndex, s.snapAt = s.conf, s.index, at
}

// of returns the members for a snapshot up to an entry, of which raft has others, perhaps: those
// that it could not write into its log, and goes on with, are committed by whatever entry has their place.
func (s *settled) of(at uint64, conf raft.Configuration, index uint64) (raft.Configuration, uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.snapAt != at || s.snapIndex == 0 {
		return conf, index // another node has made it
	}
	return s.snapConf, s.snapIndex
}

func (s *settled) get() (raft.Configuration, uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.conf, s.index
}

// settledMembers returns the members that are committed, which this node knows if it leads,
// and has applied an entry of its term. The caller must not change them.
func (n *Node) settledMembers() (raft.Configuration, uint64, error) {
	term, ok := n.leads()
	if !ok || n.fsm.term.Load() != term {
		return raft.Configuration{}, 0, errNotLeader
	}
	conf, index := n.fsm.members.get()
	if index == 0 { // raft would take it for: whatever there is
		return raft.Configuration{}, 0, errNotLeader
	}
	return conf, index, nil
}

// settle waits until this node has applied all changes of members that were committed before
// the call. It asks the others whether this node leads still.
func (n *Node) settle(ctx context.Context) error {
	var index uint64
	err := n.await(ctx, func() (err error) { index, err = n.lead.index(); return err })
	if err != nil {
		return err
	}
	return n.reach(ctx, index)
}

// changeMembers calls change with the members, and the entry that has made them, which raft is
// to be told; and again if they were others by then.
func (n *Node) changeMembers(ctx context.Context, change func(conf raft.Configuration, index uint64) error) error {
	for {
		conf, index, err := n.settledMembers()
		if err != nil {
			return err
		}
		if err = change(conf, index); !isOutdated(err) {
			return err
		}
		if err := n.settle(ctx); err != nil {
			return err
		}
		if _, now := n.fsm.members.get(); now == index {
			// Raft goes on with members that it could not write into its log.
			return fmt.Errorf("%w: the log of the leader, %s, could not be written when they were changed before: call Transfer, and have another member lead; if there is none, open that one again", ErrMember, n.opts.ID)
		}
	}
}

// isOutdated reports whether raft has refused a change since the members had changed. Raft has
// no other sign of it than this text.
func isOutdated(err error) bool {
	return err != nil && strings.HasPrefix(err.Error(), "configuration changed since")
}

// memberOf returns the member with an ID.
func memberOf(conf raft.Configuration, id string) (raft.Server, bool) {
	i := slices.IndexFunc(conf.Servers, func(s raft.Server) bool { return string(s.ID) == id })
	if i < 0 {
		return raft.Server{}, false
	}
	return conf.Servers[i], true
}

// checkMember returns errAbsent if a node is no member, with a vote or without. It asks the
// others whether this one leads still. A change that is not committed may be lost, and counts
// for nothing: one that is being removed is a member, and so is one that is being added.
func (n *Node) checkMember(ctx context.Context, id string) error {
	if err := n.settle(ctx); err != nil {
		return err
	}
	conf, _ := n.fsm.members.get()
	latest, err := n.members()
	if err != nil {
		return err
	}
	_, is := memberOf(conf, id)
	_, may := memberOf(latest, id)
	if !is && !may {
		return fmt.Errorf("%w %s", errAbsent, id)
	}
	return nil
}

// A gate lets one through at a time. It is a lock for those who do not wait longer than a
// context.
type gate struct {
	once sync.Once
	in   chan struct{}
}

func (g *gate) enter(ctx context.Context) error {
	g.once.Do(func() { g.in = make(chan struct{}, 1) })
	select {
	case g.in <- struct{}{}:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (g *gate) leave() { <-g.in }
