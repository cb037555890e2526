package cluster

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"net"
	"time"

	"github.com/hashicorp/raft"
)

// An ask is what one node asks another for, besides what updates and reads need.
type ask struct {
	Op    string
	ID    string
	Addr  string
	Empty bool   // op is askJoin, and the node's log is empty, or it was and the node was not let in yet
	Had   bool   // op is askJoin, and the node was a member for certain: if it is none, it was removed
	Run   string // op is askJoin or askAdmit: drawn when the node was opened
	Index uint64 // op is askAdmit: of the entry by which the node was added
	Gone  bool   // op is askRemove, and the member must not run
	Relay bool   // pass it on to the leader

	// Where the others may know the node, besides Addr, if the op is askJoin, askMember or
	// askRemove; nil: it does not say. See where.go.
	At []string
}

const (
	askStatus   = "status"
	askAdd      = "add"
	askJoin     = "join"
	askRemove   = "remove"
	askTransfer = "transfer"
	askMember   = "member" // whether there is such a member
	askRun      = "run"    // which process this is
	askEmpty    = "empty"  // whether its log is
	askAdmit    = "admit"  // the node is let in
)

// Add makes the node with the given ID, which others reach at addr, a member of the
// cluster. It may be called on any node. The new one is sent the state first, and
// gets a vote when it has caught up, which is when Add returns; it must be running
// by then, opened with Join. Nodes that Join add themselves, so Add is for those
// that can't reach the others first, and for a member whose address has changed.
//
// The error is ErrMember if the address is another member's, no node with that ID answers
// there, a member with that ID comes with an empty directory, or runs at its old address,
// or the members that are up are no majority with the new one, or with the one that
// moves; ErrOtherCluster if a node answers that has begun as one of another cluster: then
// nothing has changed. Or it is ErrNoQuorum, store.ErrClosed, or that of ctx; then the
// node may be a member without a vote, and Add can be called again.
func (n *Node) Add(ctx context.Context, id, addr string) error {
	if !isID(id) || addr == "" {
		return fmt.Errorf("%w: adding a member needs an ID, which is %s, and an address, and they are %q and %q", ErrMember, whatID, id, addr)
	}
	if err := checkOther(addr); err != nil {
		return fmt.Errorf("%w: adding member %s: %w", ErrMember, id, err)
	}
	return n.change(ctx, "adding member "+id, ask{Op: askAdd, ID: id, Addr: addr})
}

// Remove removes a member for good, whether it is up or not. It may be called on any
// node, also on the one to be removed: a leader lets another member lead first, as
// Transfer does, and that one removes it. Close the removed node: opened again, it says
// ErrRemoved, at once or when it has asked the others, and does not come back by itself.
// [Rejoin], or an empty directory, is the way back. A node that is being added, and joins by
// itself, asks again: close it first. The error is ErrMember if there is no
// such member, it is the last one, or the members that are up are no majority without it,
// in which case the text says which are down; ErrNoQuorum; store.ErrClosed; or that of
// ctx. After the last three the member may be removed or not, or may be yet: call it
// again, which says ErrMember if it was.
func (n *Node) Remove(ctx context.Context, id string) error {
	return n.change(ctx, "removing member "+id, ask{Op: askRemove, ID: id})
}

// Transfer lets another member lead, the one that is best up to date, and returns
// when the leader has given way. It may be called on any node. Updates wait
// meanwhile, for some milliseconds. A member that does not take over in time is asked
// again, until ctx ends.
//
// The error is ErrMember if no other member with a vote answers; store.ErrClosed; or
// that of ctx, with ErrNoQuorum if no leader could be reached.
func (n *Node) Transfer(ctx context.Context) error {
	return n.change(ctx, "letting another member lead", ask{Op: askTransfer})
}

func (n *Node) change(ctx context.Context, what string, a ask) error {
	if err := n.closedErr(what); err != nil {
		return err
	}
	if err := n.askLeader(ctx, a); err != nil {
		return &opError{msg: what, errs: []error{err}}
	}
	return nil
}

// askLeader has the leader do something, and tries again while there is none.
func (n *Node) askLeader(ctx context.Context, a ask) error { return n.askLeaderUntil(ctx, nil, a) }

// isUnreached reports whether err, of calling the leader, is that it could not be reached, or has hung up:
// it may have ended, and raft has not noticed yet.
func isUnreached(err error) bool {
	return errors.As(err, new(*net.OpError)) || errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF)
}

// leaderUnreached is what a node answers that was asked to pass something on to the leader. Why the leader, or
// whoever is at its address, refuses this node says nothing of the one that has asked.
func leaderUnreached(to *leader, err error) error {
	return &opError{msg: fmt.Sprintf("the node that was asked can't reach the leader, %s, at %s: %v", to.id, to.addr, err), errs: []error{ErrNoQuorum}}
}

// askLeaderUntil is askLeader, but it does not look for a leader any more when end comes: it asks for
// another node.
func (n *Node) askLeaderUntil(ctx context.Context, end <-chan time.Time, a ask) error {
	payload, err := json.Marshal(a)
	if err != nil {
		return err
	}
	tried, was := false, a.Op == askRemove && n.knows(a.ID)
	for delay := firstRetry; ; delay = min(2*delay, lastRetry) {
		if err := n.failedErr(); err != nil {
			return err
		}
		changed, unreached := n.reads.changed(), false
		to := n.leader.Load()
		switch {
		case to == nil:
			err = errNotLeader
		case to.self:
			err = n.doAsLeader(ctx, a)
		default:
			_, err = n.peers.call(ctx, to.addr, frameAsk, payload)
			unreached = isUnreached(err) || end != nil && errors.As(err, new(*greetingError))
		}
		if tried && was && errors.Is(err, errAbsent) {
			return nil // an attempt before has removed it, whose leader has ended
		}
		tried = tried || to != nil
		if err == nil || !errors.Is(err, errNotLeader) && !errors.Is(err, errGone) && !unreached && ctx.Err() == nil {
			return err
		}
		wait := time.NewTimer(delay)
		select {
		case <-wait.C:
		case <-changed:
		case <-end:
			if unreached {
				return leaderUnreached(to, err)
			}
			err = &opError{msg: "the node that was asked has found no leader", errs: []error{ErrNoQuorum}}
		case <-n.failed:
		case <-n.ctx.Done():
		case <-ctx.Done():
		}
		wait.Stop()
		if errors.Is(err, ErrNoQuorum) {
			return err
		}
		if ctx.Err() != nil {
			return n.why(ctx.Err())
		}
		if n.ctx.Err() != nil {
			return errClosed("asking the leader")
		}
	}
}

// doAsLeader does what was asked, if this node leads.
func (n *Node) doAsLeader(ctx context.Context, a ask) error {
	if _, ok := n.leads(); !ok {
		return errNotLeader
	}
	var err error
	switch a.Op {
	case askJoin:
		err = n.letIn(ctx, a)
	case askAdd:
		err = n.addMember(ctx, a)
	case askRemove:
		err = n.removeMember(ctx, a)
	case askTransfer:
		err = n.transfer(ctx)
	default:
		return errMalformed
	}
	return n.sayAsLeader(ctx, err)
}

// sayAsLeader returns what an error of the leader is for whoever has asked, there or on another node. That
// it is being closed is that it leads no more. A context that was shorter than that of the call has
// ended for the leader alone.
func (n *Node) sayAsLeader(ctx context.Context, err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, raft.ErrNotLeader), errors.Is(err, raft.ErrLeadershipLost), errors.Is(err, raft.ErrLeadershipTransferInProgress):
		return errNotLeader
	case n.ctx.Err() != nil:
		return errNotLeader
	case ctx.Err() == nil && (errors.Is(err, context.DeadlineExceeded) || errors.Is(err, context.Canceled)):
		return decodeRefusal(encodeRefusal(err))
	}
	return err
}

// knows reports whether this node has a member with an ID in its log.
func (n *Node) knows(id string) bool {
	conf, err := n.members()
	_, known := memberOf(conf, id)
	return err == nil && known
}

// members returns the latest configuration, which may not be committed.
func (n *Node) members() (raft.Configuration, error) {
	f := n.raft.GetConfiguration()
	if err := f.Error(); err != nil {
		return raft.Configuration{}, err
	}
	return f.Configuration(), nil
}

// addMember adds a member without a vote, waits until it has caught up, and gives
// it one.
func (n *Node) addMember(ctx context.Context, a ask) error {
	if n.opts.TLS == nil && !isLoopback(a.Addr) {
		return fmt.Errorf("%w: %s can't be reached without TLS: set Options.TLS on all nodes", ErrMember, a.Addr)
	}
	return n.changeMembers(ctx, func(conf raft.Configuration, index uint64) error {
		for _, s := range conf.Servers {
			if string(s.ID) != a.ID && string(s.Address) == a.Addr {
				return fmt.Errorf("%w: %s is the address of member %s: remove that one first, or use another address", ErrMember, a.Addr, s.ID)
			}
		}
		s, known := memberOf(conf, a.ID)
		if known && a.Op == askJoin && a.Had && a.isAnother(s) {
			return n.refuseReplaced(ctx, a)
		}
		if known && s.Suffrage == raft.Voter {
			return n.moveMember(ctx, s, a, index)
		}
		if !known { // for certain: what it was before does not count any more
			switch err := n.checkMember(ctx, a.ID); {
			case err != nil && !errors.Is(err, errAbsent):
				return err
			case err != nil && a.Op == askJoin && a.Had:
				return errRemovedHere
			}
		}
		return n.addNew(ctx, a, index)
	})
}

// moveMember has the others know a member with a vote by another address, if it has one.
func (n *Node) moveMember(ctx context.Context, s raft.Server, a ask, index uint64) error {
	switch {
	case a.Empty:
		return errEmptied(s, a)
	case string(s.Address) != a.Addr:
		if err := n.mayMove(ctx, s, a); err != nil {
			return err
		}
	case a.Op == askJoin:
		return nil
	}
	if err := n.mustHaveBegun(ctx, s, a); err != nil || string(s.Address) == a.Addr {
		return err
	}
	return n.addVoter(ctx, s.ID, raft.ServerAddress(a.Addr), index)
}

// addNew adds a member that has no vote yet.
func (n *Node) addNew(ctx context.Context, a ask, index uint64) error {
	if err := n.invite(ctx, a); err != nil {
		return err
	}
	if _, err := n.askEmpty(ctx, a); err != nil { // one that was removed, and has a log, notes the address
		return err
	}
	id, addr := raft.ServerID(a.ID), raft.ServerAddress(a.Addr)
	var added raft.IndexFuture
	if err := n.await(ctx, func() error { added = n.raft.AddNonvoter(id, addr, index, 0); return added.Error() }); err != nil {
		return err
	}
	if err := n.catchUp(ctx, a); err != nil {
		return err
	}
	if err := n.admit(ctx, a, added.Index()); err != nil {
		return err
	}
	return n.changeMembers(ctx, func(conf raft.Configuration, index uint64) error {
		s, known := memberOf(conf, a.ID)
		switch {
		case !known || string(s.Address) != a.Addr:
			return errGivenUp(a)
		case s.Suffrage == raft.Voter:
			return nil
		}
		return n.addVoter(ctx, s.ID, s.Address, index)
	})
}

func errGivenUp(a ask) error {
	return fmt.Errorf("%w: %s was removed, or was added at another address, before it had caught up at %s: add it again, if it is to be a member there", ErrMember, a.ID, a.Addr)
}

// catchUp waits until a node that was added has applied all but what has come within a
// heartbeat.
func (n *Node) catchUp(ctx context.Context, a ask) error {
	for {
		began, target := time.Now(), n.raft.CommitIndex()
		for {
			if _, ok := n.leads(); !ok {
				return errNotLeader
			}
			if conf, err := n.members(); err != nil {
				return err
			} else if s, known := memberOf(conf, a.ID); !known || string(s.Address) != a.Addr {
				return errGivenUp(a) // and is sent nothing more
			}
			callCtx, cancel := context.WithTimeout(ctx, n.opts.Heartbeat)
			b, err := n.peers.call(callCtx, a.Addr, frameTerm, nil)
			cancel()
			if p, perr := parsePulse(b); err == nil && perr == nil && p.Applied >= target {
				break
			}
			if errors.Is(err, errNotYet) {
				n.inviteAgain(ctx, a.Addr)
			}
			select {
			case <-ctx.Done():
				return fmt.Errorf("cluster: %s has not caught up: %w", a.Addr, ctx.Err())
			case <-n.ctx.Done():
				return errNotLeader
			case <-time.After(n.opts.Heartbeat / 20):
			}
		}
		if time.Since(began) < n.opts.Heartbeat {
			return nil
		}
	}
}

// removeMember removes a member, and returns when that is committed. If it is in the log
// already, and not committed, raft takes no other change until it is.
func (n *Node) removeMember(ctx context.Context, a ask) error {
	if err := n.changing.enter(ctx); err != nil {
		return err
	}
	defer n.changing.leave()
	return n.changeMembers(ctx, func(conf raft.Configuration, index uint64) error {
		s, known := memberOf(conf, a.ID)
		if !known {
			if err := n.checkMember(ctx, a.ID); err != nil {
				return err
			} // it is being added: raft says that the members have changed, when it is
		} else if err := n.mustBeGone(ctx, s, a); err != nil {
			return err
		}
		if n.knows(a.ID) { // else its removal is on its way, and there is nothing to refuse any more
			if err := n.mayRemove(ctx, conf, a.ID); err != nil {
				return err
			}
		}
		if known && s.Suffrage == raft.Voter && len(votersOf(conf)) == 1 {
			return fmt.Errorf("%w: %s is the last member", ErrMember, a.ID)
		}
		if a.ID == n.opts.ID {
			return n.giveWay(ctx)
		}
		return n.await(ctx, func() error { return n.raft.RemoveServer(raft.ServerID(a.ID), index, 0).Error() })
	})
}

// giveWay lets another member lead, which is to be asked then to remove this one. A leader does
// not remove itself: the others are to agree on that, and it does not count among them. If it
// ends, or is cut off, before any of them has the entry, they have to do with a log in which it
// is a member. Two, or three of four with one down, are no majority without its vote there. It
// refuses that, since they lack the entry; and it does not stand for election, since it is no
// member by its own log. So nobody would ever lead again, with all of them up.
func (n *Node) giveWay(ctx context.Context) error {
	if err := n.transfer(ctx); err != nil && ctx.Err() != nil {
		return err
	}
	return errNotLeader // also if nobody has taken over: the next attempt looks again at who is up
}

// transfer lets another member lead. No entry is on its way meanwhile, so that the
// other one has all of them: raft can be stuck in a transfer for which it has to
// send some (its issue 696). That is so if it is asked a second time, and what sends them is
// busy still since the first: then it refuses all entries, for good if it leads no more before
// those were sent. So a member that lacks some is to lead once in a term at most.
func (n *Node) transfer(ctx context.Context) error {
	if err := n.yielding.enter(ctx); err != nil { // else the end of one would let entries be made during another
		return err
	}
	defer n.yielding.leave()
	term, ok := n.leads()
	if !ok {
		return errNotLeader
	}
	n.prop.hold(ctx, n.opts.Heartbeat)
	defer n.prop.release()
	to, err := n.nextLeader(ctx, term)
	if err != nil {
		return err
	}
	err = n.await(ctx, n.raft.LeadershipTransferToServer(to.ID, to.Address).Error)
	if err != nil && ctx.Err() == nil && !errors.Is(err, raft.ErrRaftShutdown) {
		// It has taken longer than raft waits for it, as on a busy machine. Whoever
		// leads now is asked again.
		return errNotLeader
	}
	return err
}

// nextLeader returns the successor, which may lack entries the first time in a term. Members hear what
// is committed a moment after the leader, so while updates go on all lack the last entry. From the second
// time on it waits for one that has that, no longer than successor waits for those that are silent.
func (n *Node) nextLeader(ctx context.Context, term uint64) (raft.Server, error) {
	for end := time.Now().Add(n.opts.Heartbeat / 2); ; {
		to, has, err := n.successor(ctx, term)
		if err != nil || has >= n.raft.LastIndex() || n.lagging.Swap(term) != term {
			return to, err
		}
		if time.Now().After(end) || ctx.Err() != nil || !n.pause(n.opts.Heartbeat/50) {
			return to, errNotLeader
		}
	}
}

// successor returns the voter that has applied most, and up to which entry it has.
func (n *Node) successor(ctx context.Context, term uint64) (best raft.Server, most uint64, err error) {
	voters, err := n.voters()
	if err != nil {
		return best, 0, err
	}
	type answer struct {
		from raft.Server
		pulse
		err error
	}
	answers := make(chan answer, len(voters))
	asked := 0
	for _, v := range voters {
		if string(v.ID) == n.opts.ID {
			continue
		}
		asked++
		n.peers.send(string(v.Address), frameTerm, nil, func(b []byte, err error) {
			a := answer{from: v, err: err}
			if err == nil {
				a.pulse, a.err = parsePulse(b)
			}
			answers <- a
		})
	}
	timeout := time.NewTimer(n.opts.Heartbeat / 2)
	defer timeout.Stop()
	moved := false // a member is in another term
	for late := false; asked > 0; {
		select {
		case a := <-answers:
			asked--
			able := a.err == nil && !a.Stalled && a.Term != math.MaxUint64
			if able && a.Term == term && a.Applied >= most {
				best, most = a.from, a.Applied
			}
			moved = moved || able && a.Term != term
		case <-timeout.C:
			late = true
		case <-ctx.Done():
			return best, 0, ctx.Err()
		case <-n.ctx.Done():
			return best, 0, errNotLeader
		}
		// The first that is up to date will do, and after a while any.
		if best.ID != "" && (late || most >= n.fsm.applied.Load()) {
			return best, most, nil
		}
	}
	if best.ID == "" && moved {
		return best, 0, errNotLeader // or not for long, or a member has not heard of this leader yet
	}
	if best.ID == "" {
		return best, 0, fmt.Errorf("%w: no other member with a vote answers", ErrMember)
	}
	return best, most, nil
}

// hears waits until this node has applied what was committed before the call, and reports whether it
// knows of members then by an entry after the one with that index. There may be none: the others may
// have known it where it is all the time. The first such entry would not do: it may be one that has
// this node where it was in between, and the one that has it here may come late, or never, if the leader ends.
func (n *Node) hears(index uint64) bool {
	ctx, cancel := context.WithTimeout(n.ctx, askBound(n.opts.Heartbeat))
	defer cancel()
	if err := n.Sync(ctx); err != nil {
		return false
	}
	_, now := n.fsm.members.get()
	return now > index
}

// enter joins, and notes that this node has something to lose.
func (n *Node) enter() {
	at, before := n.self.addresses(), n.raft.LastIndex()
	n.join()
	if n.ctx.Err() != nil {
		return
	}
	err := n.begun()
	if err == nil && n.mayBeElsewhere() && n.hears(before) {
		err = n.forgetWhere(at)
	}
	if err == nil {
		err = n.removeFile(joinFile)
	}
	if err != nil {
		n.log.Error("cluster: joined, and could not note that", "node", n.opts.ID, "error", err)
	}
}
