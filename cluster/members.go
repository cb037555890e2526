package cluster

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/hashicorp/raft"
)

// An ask is what one node asks another for, besides what updates and reads need.
type ask struct {
	Op    string
	ID    string
	Addr  string
	Empty bool // op is askJoin, and the node's log is empty
	Relay bool // pass it on to the leader
}

const (
	askStatus   = "status"
	askAdd      = "add"
	askJoin     = "join"
	askRemove   = "remove"
	askTransfer = "transfer"
)

// Add makes the node with the given ID, which others reach at addr, a member of the
// cluster. It may be called on any node. The new one is sent the state first, and
// gets a vote when it has caught up, which is when Add returns; it must be running
// by then, opened with Join. Nodes that Join add themselves, so Add is for those
// that can't reach the others first, and for a member whose address has changed.
//
// The error is ErrMember if the address is another member's, ErrNoQuorum, or that
// of ctx; then the node may be a member without a vote, and Add can be called again.
func (n *Node) Add(ctx context.Context, id, addr string) error {
	if id == "" || addr == "" {
		return fmt.Errorf("%w: adding a member needs an ID and an address", ErrMember)
	}
	return n.change(ctx, "adding member "+id, ask{Op: askAdd, ID: id, Addr: addr})
}

// Remove removes a member for good, whether it is up or not. It may be called on any
// node, also on the one to be removed. Close the removed node; its ID must not be
// used again with its old directory. The error is ErrMember if there is no such
// member or it is the last one, ErrNoQuorum, or that of ctx.
func (n *Node) Remove(ctx context.Context, id string) error {
	return n.change(ctx, "removing member "+id, ask{Op: askRemove, ID: id})
}

// Transfer lets another member lead, the one that is best up to date, and returns
// when the leader has given way. It may be called on any node. Updates wait
// meanwhile, for some milliseconds. A member that does not take over in time is asked
// again, until ctx ends.
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
func (n *Node) askLeader(ctx context.Context, a ask) error {
	payload, err := json.Marshal(a)
	if err != nil {
		return err
	}
	for delay := firstRetry; ; delay = min(2*delay, lastRetry) {
		changed := n.reads.changed()
		switch to := n.leader.Load(); {
		case to == nil:
			err = errNotLeader
		case to.self:
			err = n.doAsLeader(ctx, a)
		default:
			_, err = n.peers.call(ctx, to.addr, frameAsk, payload)
		}
		if err == nil || !errors.Is(err, errNotLeader) && !errors.Is(err, errGone) && ctx.Err() == nil {
			return err
		}
		wait := time.NewTimer(delay)
		select {
		case <-wait.C:
		case <-changed:
		case <-n.ctx.Done():
		case <-ctx.Done():
		}
		wait.Stop()
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
	case askAdd, askJoin:
		err = n.addMember(ctx, a)
	case askRemove:
		err = n.removeMember(ctx, a.ID)
	case askTransfer:
		err = n.transfer(ctx)
	default:
		return errMalformed
	}
	if errors.Is(err, raft.ErrNotLeader) || errors.Is(err, raft.ErrLeadershipLost) || errors.Is(err, raft.ErrLeadershipTransferInProgress) {
		return errNotLeader
	}
	return err
}

// members returns the latest configuration and its index.
func (n *Node) members() (raft.Configuration, uint64, error) {
	f := n.raft.GetConfiguration()
	if err := f.Error(); err != nil {
		return raft.Configuration{}, 0, err
	}
	return f.Configuration(), f.Index(), nil
}

// addMember adds a member without a vote, waits until it has caught up, and gives
// it one.
func (n *Node) addMember(ctx context.Context, a ask) error {
	if n.opts.TLS == nil && !isLoopback(a.Addr) {
		return fmt.Errorf("%w: %s can't be reached without TLS: set Options.TLS on all nodes", ErrMember, a.Addr)
	}
	conf, index, err := n.members()
	if err != nil {
		return err
	}
	for _, s := range conf.Servers {
		same := string(s.ID) == a.ID
		switch {
		case !same && string(s.Address) == a.Addr:
			return fmt.Errorf("%w: %s is the address of member %s: remove that one first, or use another address", ErrMember, a.Addr, s.ID)
		case same && s.Suffrage == raft.Voter && a.Empty:
			return fmt.Errorf("%w: %s is a member already, and comes with an empty directory; what it had acknowledged is lost there: call Rejoin for its directory, or Remove it, and it can join", ErrMember, a.ID)
		case same && s.Suffrage == raft.Voter && string(s.Address) == a.Addr:
			return nil
		case same && s.Suffrage == raft.Voter:
			return n.await(ctx, n.raft.AddVoter(s.ID, raft.ServerAddress(a.Addr), index, 0).Error)
		}
	}
	id, addr := raft.ServerID(a.ID), raft.ServerAddress(a.Addr)
	if err := n.await(ctx, n.raft.AddNonvoter(id, addr, 0, 0).Error); err != nil {
		return err
	}
	if err := n.catchUp(ctx, a.Addr); err != nil {
		return err
	}
	return n.await(ctx, n.raft.AddVoter(id, addr, 0, 0).Error)
}

// catchUp waits until the node at addr has applied all but what has come within a
// heartbeat.
func (n *Node) catchUp(ctx context.Context, addr string) error {
	for {
		began, target := time.Now(), n.raft.CommitIndex()
		for {
			if _, ok := n.leads(); !ok {
				return errNotLeader
			}
			callCtx, cancel := context.WithTimeout(ctx, n.opts.Heartbeat)
			b, err := n.peers.call(callCtx, addr, frameTerm, nil)
			cancel()
			if p, perr := parsePulse(b); err == nil && perr == nil && p.Applied >= target {
				break
			}
			select {
			case <-ctx.Done():
				return fmt.Errorf("cluster: %s has not caught up: %w", addr, ctx.Err())
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

func (n *Node) removeMember(ctx context.Context, id string) error {
	conf, _, err := n.members()
	if err != nil {
		return err
	}
	voters, found := 0, false
	var suffrage raft.ServerSuffrage
	for _, s := range conf.Servers {
		if s.Suffrage == raft.Voter {
			voters++
		}
		if string(s.ID) == id {
			found, suffrage = true, s.Suffrage
		}
	}
	switch {
	case !found:
		return fmt.Errorf("%w %s", errAbsent, id)
	case voters == 1 && suffrage == raft.Voter:
		return fmt.Errorf("%w: %s is the last member", ErrMember, id)
	}
	return n.await(ctx, n.raft.RemoveServer(raft.ServerID(id), 0, 0).Error)
}

// transfer lets another member lead. No entry is on its way meanwhile, so that the
// other one has all of them: raft can be stuck in a transfer for which it has to
// send some (its issue 696).
func (n *Node) transfer(ctx context.Context) error {
	term, ok := n.leads()
	if !ok {
		return errNotLeader
	}
	n.prop.hold(n.opts.Heartbeat)
	defer n.prop.release()
	to, err := n.successor(term)
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

// successor returns the voter that has applied most.
func (n *Node) successor(term uint64) (best raft.Server, err error) {
	voters, err := n.voters()
	if err != nil {
		return best, err
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
	var most uint64
	for range asked {
		select {
		case a := <-answers:
			if a.err == nil && a.Term == term && !a.Stalled && a.Applied >= most {
				best, most = a.from, a.Applied
			}
			// The first that is up to date will do.
			if best.ID != "" && most >= n.fsm.applied.Load() {
				return best, nil
			}
		case <-timeout.C:
		case <-n.ctx.Done():
			return best, errNotLeader
		}
	}
	if best.ID == "" {
		return best, fmt.Errorf("%w: no other member with a vote answers", ErrMember)
	}
	return best, nil
}

// enter joins, and notes that this node has something to lose.
func (n *Node) enter() {
	n.join()
	if n.ctx.Err() != nil {
		return
	}
	err := n.begun()
	if err == nil {
		err = os.Remove(filepath.Join(n.dir, joinFile))
	}
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		n.log.Error("cluster: joined, and could not note that", "node", n.opts.ID, "err", err)
	}
}

// join asks the nodes of Options.Join to let this one in, until it has a vote and
// they have its address.
func (n *Node) join() {
	for told := ""; ; {
		for _, addr := range n.opts.Join {
			if addr == n.opts.Advertise {
				continue
			}
			if n.joined() {
				return
			}
			payload, _ := json.Marshal(ask{
				Op: askJoin, ID: n.opts.ID, Addr: n.opts.Advertise, Empty: n.raft.LastIndex() == 0, Relay: true,
			}) // can't fail
			if _, err := n.peers.call(n.ctx, addr, frameAsk, payload); err != nil && n.ctx.Err() == nil && err.Error() != told {
				told = err.Error()
				n.log.Warn("cluster: not a member yet", "node", n.opts.ID, "asked", addr, "err", err)
			}
		}
		if n.joined() || !n.pause(n.opts.Heartbeat/5) {
			return
		}
	}
}

// joined reports whether this node has a vote, at the address that it has.
func (n *Node) joined() bool {
	voters, err := n.voters()
	if err != nil {
		return false
	}
	for _, v := range voters {
		if string(v.ID) == n.opts.ID && string(v.Address) == n.opts.Advertise {
			return true
		}
	}
	return false
}
