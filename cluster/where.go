package cluster

import (
	"context"
	"fmt"
	"slices"

	"github.com/hashicorp/raft"
)

// A node that was removed, and has missed that, may find that another one has its ID by now: it was
// replaced. It must not take the place of that one while it is down, as a member does that has moved.
// Raft's members have an ID and an address, and nothing else, so it is the address by which the two
// are told apart. A member knows where the others may know it: its log says where they did, and what
// they may have agreed on since is in the file NODE before it is asked for. At any other address
// there is another node.

// where returns the addresses by which the others may know this node, which has these members in its
// log. It is not nil.
func (n *Node) where(latest raft.Configuration) []string {
	at := append([]string{}, n.self.addresses()...)
	settled, _ := n.fsm.members.get()
	for _, conf := range []raft.Configuration{latest, settled} {
		if s, known := memberOf(conf, n.opts.ID); known && !slices.Contains(at, string(s.Address)) {
			at = append(at, string(s.Address))
		}
	}
	return at
}

// noteWhere notes, durably, that the others may know this node at addr from now on, if it is a member
// by its log, and returns all such addresses.
func (n *Node) noteWhere(addr string) (at []string, err error) {
	if n.isEmpty() { // it has nothing that could be another's
		return []string{}, nil
	}
	latest, err := n.members()
	if err != nil {
		return nil, err
	}
	at = n.where(latest)
	if slices.Contains(at, addr) {
		return at, nil
	}
	at = append(at, addr)
	defer n.under.begin("writing " + n.self.path)()
	return at, n.self.mayBeAt(at)
}

// forgetWhere is called when the log has the address of this node.
func (n *Node) forgetWhere() error {
	if len(n.self.addresses()) == 0 {
		return nil
	}
	defer n.under.begin("writing " + n.self.path)()
	return n.self.mayBeAt(nil)
}

func (s *self) addresses() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.at
}

// mayBeAt writes down where the others may know this node.
func (s *self) mayBeAt(at []string) error {
	s.write.Lock()
	defer s.write.Unlock()
	return s.writeLocked(s.identity(), s.joined, s.guest, at)
}

// isAnother reports whether a member is another node than the one that asks, which has its ID.
func (a ask) isAnother(s raft.Server) bool {
	return a.At != nil && string(s.Address) != a.Addr && !slices.Contains(a.At, string(s.Address))
}

// isAnotherIn is isAnother for the member with the ID, if there is one.
func (a ask) isAnotherIn(conf raft.Configuration) bool {
	s, known := memberOf(conf, a.ID)
	return known && a.isAnother(s)
}

// replacement returns the member that is another node than the one that asks, for certain: this node
// leads, and has the members as they are. Else the error is errNotLeader, and the node asks again.
func (n *Node) replacement(ctx context.Context, a ask) (raft.Server, error) {
	if err := n.settle(ctx); err != nil {
		return raft.Server{}, err
	}
	conf, _ := n.fsm.members.get()
	latest, err := n.members()
	if err != nil {
		return raft.Server{}, err
	}
	if !a.isAnotherIn(conf) || !a.isAnotherIn(latest) {
		return raft.Server{}, errNotLeader
	}
	s, _ := memberOf(conf, a.ID)
	return s, nil
}

// refuseReplaced says that the node which asks was removed, and that another one has its ID.
func (n *Node) refuseReplaced(ctx context.Context, a ask) error {
	s, err := n.replacement(ctx, a)
	if err != nil {
		return err
	}
	return fmt.Errorf("%w from its cluster, where another node has its ID %s by now, at %s: close it; to have it back, give it an ID of its own, and an empty directory", ErrRemoved, a.ID, s.Address)
}

// refuseElsewhere says that the node which is to be rebuilt is not known where it is.
func (n *Node) refuseElsewhere(ctx context.Context, a ask) error {
	s, err := n.replacement(ctx, a)
	if err != nil {
		return err
	}
	return fmt.Errorf("%w: member %s is known at %s, where nobody is now, and not at %s; it was not removed: it may be another node, which has the ID of one that was removed: give this one an ID of its own, and an empty directory; or, if it is this one, which was at %s, have another member Remove it first", ErrIdentity, a.ID, s.Address, a.Addr, s.Address)
}

// errIsMember says why a node which knows that it was removed is not rebuilt.
func errIsMember(id, path string) error {
	return fmt.Errorf("%w: %s says that this node was removed, and there is a member %s: it is another node, which has its ID by now: give this one an ID of its own, and an empty directory; or, if it is this one, which was added again, have another member Remove it first", ErrIdentity, path, id)
}
