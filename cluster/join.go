package cluster

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"sync"
	"time"

	"github.com/hashicorp/raft"
)

// askBound is how long a node that wants something of another one waits for an answer.
func askBound(heartbeat time.Duration) time.Duration { return max(10*heartbeat, helloTimeout) }

// leaderPatience is how many heartbeats a node that was asked looks for a leader, and how
// many the leader makes a node wait that it is adding. It is less than askBound.
const leaderPatience = 4

// join asks other nodes to let this one in, until it has a vote for certain, and they have its
// address. The leader may change meanwhile, and it may take long until the state is sent. Its log may
// be behind: it asks, too, if the others may know this node where it was in between.
func (n *Node) join() {
	said, asked, elsewhere := map[string]*reminder{}, false, n.mayBeElsewhere()
	for {
		has, sure := n.hasVote()
		if sure && elsewhere {
			elsewhere = !n.isKnownHere()
		}
		if sure && !elsewhere {
			break
		}
		if !has || elsewhere {
			n.askAll(said)
			asked = true
		}
		if !n.pause(n.opts.Heartbeat / 5) {
			return
		}
	}
	if asked {
		n.log.Info("cluster: this node is a member, with a vote", "node", n.opts.ID)
	}
}

// askAll asks one node after the other to let this one in, until one does. It logs what
// becomes of that, ever more seldom.
func (n *Node) askAll(said map[string]*reminder) {
	for _, addr := range n.whomToAsk() {
		err := n.askToJoin(addr)
		if n.ctx.Err() != nil {
			return
		}
		if errors.Is(err, ErrRemoved) {
			n.noteRemoved(err)
		}
		if said[addr] == nil {
			said[addr] = &reminder{}
		}
		n.sayAsked(said[addr], addr, err)
		if err == nil {
			return
		}
	}
}

// sayAsked logs what has become of asking a node. One that has its vote has asked to be known where it is.
func (n *Node) sayAsked(said *reminder, addr string, err error) {
	begun, failed := "cluster: this node is being added, and has no vote yet", "cluster: not a member yet, and asking on"
	if n.joined() {
		begun = "cluster: this node is a member, and the others hear where"
		failed = "cluster: this node is a member, and asks on whether the others know where"
	}
	switch {
	case err == nil && said.due(time.Now(), ""):
		n.log.Info(begun, "node", n.opts.ID, "asked", addr, "applied", n.fsm.applied.Load())
	case err != nil && said.due(time.Now(), err.Error()):
		n.log.Warn(failed, "node", n.opts.ID, "asked", addr, "error", err)
	}
}

// whomToAsk returns where the other nodes may be: first as Options.Join says, and then as the log
// does. Those whom an operator has named may be gone, while the log has all members.
func (n *Node) whomToAsk() (addrs []string) {
	if len(n.opts.Join) > 0 {
		addrs = others(n.opts)
	}
	conf, err := n.members()
	if err != nil {
		return addrs
	}
	for _, s := range conf.Servers {
		if addr := string(s.Address); string(s.ID) != n.opts.ID && addr != n.opts.Advertise && !slices.Contains(addrs, addr) {
			addrs = append(addrs, addr)
		}
	}
	return addrs
}

// askToJoin asks the node at addr to let this one in. One that does not answer, as a paused
// process, is given up.
func (n *Node) askToJoin(addr string) error {
	at, err := n.noteWhere(n.opts.Advertise)
	if err != nil {
		return err
	}
	payload, err := json.Marshal(ask{
		Op: askJoin, ID: n.opts.ID, Addr: n.opts.Advertise, Empty: n.isEmpty(), Had: n.wasMember(), Run: n.run, Relay: true,
		At: at,
	})
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(n.ctx, askBound(n.opts.Heartbeat))
	defer cancel()
	_, err = n.callAnyone(ctx, addr, payload)
	if errors.Is(err, context.DeadlineExceeded) {
		n.peers.drop(addr)
		err = &opError{msg: "the node does not answer", errs: []error{err}}
	}
	return err
}

// wasMember reports whether this node was a member for certain, so that it was removed if it is none
// now: it has begun its cluster, or was let in. Then it has applied the entry by which it was added,
// and has its vote, or was to get it. One that is being added has no log, or is a guest, whose log
// says what was once.
func (n *Node) wasMember() bool { return n.raft.LastIndex() > 0 && !n.self.isGuest() }

// joined reports whether this node has a vote for certain, at the address that it has.
func (n *Node) joined() bool {
	_, sure := n.hasVote()
	return sure
}

// hasVote reports whether this node has a vote, at the address that it has, as far as its log
// says, and whether that is committed: else it can be lost with the leader that has given it. A
// guest has none: its log may say that it had one once.
func (n *Node) hasVote() (has, sure bool) {
	if n.self.isGuest() {
		return false, false
	}
	latest, err := n.members()
	if err != nil {
		return false, false
	}
	settled, _ := n.fsm.members.get()
	has = n.isVoterIn(latest)
	return has, has && n.isVoterIn(settled)
}

// mustAsk reports whether this node is a member where it is, by its log, and has to ask the others for
// that nevertheless: it has joined, and has no vote, or has it by an entry that may be lost with the
// leader; or they may know it where it was in between.
func (n *Node) mustAsk() bool {
	latest, err := n.members()
	s, known := memberOf(latest, n.opts.ID)
	here := err == nil && known && string(s.Address) == n.opts.Advertise
	return here && (n.self.hasJoined() && !n.joined() || n.mayBeElsewhere())
}

// isVoterIn reports whether this node is among the members, with a vote and its address.
func (n *Node) isVoterIn(conf raft.Configuration) bool {
	s, known := memberOf(conf, n.opts.ID)
	return known && s.Suffrage == raft.Voter && string(s.Address) == n.opts.Advertise
}

// A reminder tells when to say the same again: ever more seldom.
type reminder struct {
	text string
	last time.Time
	wait time.Duration
}

const (
	firstReminder = 5 * time.Second
	lastReminder  = 10 * time.Minute
)

// ownPort is how an error of a connection says which port this side had: another one each time.
var ownPort = regexp.MustCompile(`\S+->`)

// due reports whether to say text now: if it is new, and then after twice as long each time.
// Texts that change each time are not new more often than every firstReminder.
func (r *reminder) due(now time.Time, text string) bool {
	since, text := now.Sub(r.last), ownPort.ReplaceAllString(text, "")
	switch {
	case r.last.IsZero(), text != r.text && since >= firstReminder:
		r.wait = firstReminder
	case since >= r.wait:
	default:
		return false
	}
	r.text, r.last, r.wait = text, now, min(2*r.wait, lastReminder)
	return true
}

// relay has the leader do what another node has asked this one for. If there is none, that
// node is told, and asks somebody else.
func (n *Node) relay(ctx context.Context, a ask) error {
	search := time.NewTimer(leaderPatience * n.opts.Heartbeat)
	defer search.Stop()
	err := n.askLeaderUntil(ctx, search.C, a)
	if ctx.Err() != nil || n.ctx.Err() != nil || n.failedErr() != nil {
		return errNotLeader // what is wrong with this node says nothing of the other one
	}
	return err
}

// joiners are the nodes that have asked to join, and that the leader is adding. Each is
// added once, however often it asks, also by way of several nodes.
type joiners struct {
	mu      sync.Mutex
	all     map[string]*joiner // by ID
	refused map[string]*reminder
}

// remind reports whether to say that a node was refused, with mu held.
func (j *joiners) remind(a ask, err error) bool {
	if !errors.Is(err, ErrIdentity) {
		return false
	}
	if j.refused == nil || len(j.refused) >= mostTold {
		j.refused = map[string]*reminder{}
	}
	who := a.ID + " " + a.Addr
	if j.refused[who] == nil {
		j.refused[who] = &reminder{}
	}
	return j.refused[who].due(time.Now(), err.Error())
}

// A joiner is a node that is being added, until it does not ask any more.
type joiner struct {
	addr, run string
	cancel    context.CancelFunc
	done      chan struct{} // closed when err is set
	err       error
	asking    *time.Timer
	asked     time.Time // the last time; guarded by mu of joiners
}

// letIn adds a node that wants to join. It returns nil when that goes on after a while: the
// node asks again until it has its vote.
func (n *Node) letIn(ctx context.Context, a ask) error {
	d, err := n.joiner(a)
	if err != nil {
		return err
	}
	wait := time.NewTimer(leaderPatience * n.opts.Heartbeat)
	defer wait.Stop()
	select {
	case <-d.done:
		return d.err
	case <-wait.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// joiner returns the node that is being added, or begins to add it. The error is ErrIdentity if
// another process with its ID is being added, at another address, and asks for that still: they would keep
// each other out.
func (n *Node) joiner(a ask) (*joiner, error) {
	patience := 4 * askBound(n.opts.Heartbeat)
	n.joining.mu.Lock()
	defer n.joining.mu.Unlock()
	if d := n.joining.all[a.ID]; d != nil {
		switch {
		case d.addr == a.Addr && d.run == a.Run:
			d.asking.Reset(patience)
			d.asked = time.Now()
			return d, nil
		case d.addr != a.Addr && time.Since(d.asked) < askBound(n.opts.Heartbeat):
			return nil, fmt.Errorf("%w: another process with the ID %s is being added, at %s: close one of the two, or give it an ID of its own", ErrIdentity, a.ID, d.addr)
		}
		d.cancel() // the node was opened again
	}
	ctx, cancel := context.WithCancel(n.ctx)
	d := &joiner{addr: a.Addr, run: a.Run, cancel: cancel, done: make(chan struct{}), asking: time.AfterFunc(patience, cancel), asked: time.Now()}
	if n.joining.all == nil {
		n.joining.all = map[string]*joiner{}
	}
	n.joining.all[a.ID] = d
	n.wg.Go(func() { // Close waits for connections, which come here, before it waits for wg
		d.err = n.addMember(ctx, a)
		n.joining.mu.Lock()
		if n.joining.remind(a, d.err) {
			n.log.Warn("cluster: a node that wants to be a member was refused", "node", n.opts.ID, "asked", a.ID, "at", a.Addr, "error", d.err)
		}
		if n.joining.all[a.ID] == d {
			delete(n.joining.all, a.ID)
		}
		n.joining.mu.Unlock()
		d.asking.Stop()
		cancel()
		close(d.done)
	})
	return d, nil
}
