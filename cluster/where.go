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
// are told apart. A member writes down, in the file NODE, each address by which the others may know
// it, before they do. At any other address there is another node. Its log does not count: a leader
// that is late may send entries to a node that was removed, up to the one that has its replacement.

// noteFirst notes where this node is by its log, if it has not noted anything yet. It is called as
// soon as raft has read the log.
func (n *Node) noteFirst() error {
	if len(n.self.addresses()) > 0 || n.isEmpty() {
		return nil
	}
	conf, err := n.members()
	if err != nil {
		return err
	}
	if s, known := memberOf(conf, n.opts.ID); known {
		return n.self.changeWhere(func([]string) []string { return []string{string(s.Address)} })
	}
	return nil
}

// noteWhere notes, durably, that the others may know this node at addr from now on, too, and returns
// all such addresses. A node that is yet to be let in has none that could be another's.
func (n *Node) noteWhere(addr string) (at []string, err error) {
	if n.isEmpty() {
		return []string{}, nil
	}
	if at = n.self.addresses(); slices.Contains(at, addr) {
		return at, nil
	}
	defer n.under.begin("writing " + n.self.path)()
	err = n.self.changeWhere(func(at []string) []string { return append(at, addr) })
	return n.self.addresses(), err
}

// forgetWhere is called when the others know this node where it is, by an entry that was made after
// the addresses before were noted: no entry of before can have it at one of these any more.
func (n *Node) forgetWhere(before []string) error {
	if !n.mayBeElsewhere() {
		return nil
	}
	defer n.under.begin("writing " + n.self.path)()
	return n.self.changeWhere(func(at []string) []string {
		return slices.DeleteFunc(at, func(addr string) bool { return addr != n.opts.Advertise && slices.Contains(before, addr) })
	})
}

// mayBeElsewhere reports whether the others may know this node at an address that it has not now.
func (n *Node) mayBeElsewhere() bool {
	return slices.ContainsFunc(n.self.addresses(), func(at string) bool { return at != n.opts.Advertise })
}

// addresses returns where the others may know this node. It is not nil.
func (s *self) addresses() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]string{}, s.at...)
}

// changeWhere writes down where the others may know this node, by what was noted before.
func (s *self) changeWhere(change func(at []string) []string) error {
	s.write.Lock()
	defer s.write.Unlock()
	return s.writeLocked(s.identity(), s.joined, s.guest, change(s.addresses()))
}

// isReplaced reports whether another node has the ID of this one, by the members in its log.
func (n *Node) isReplaced(latest raft.Configuration) bool {
	s, known := memberOf(latest, n.opts.ID)
	at := append(n.self.addresses(), n.opts.Advertise)
	return known && len(at) > 1 && !slices.Contains(at, string(s.Address))
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
