package cluster

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hashicorp/raft"
)

// A transport is raft's own, which does not tell raft at once that a member could not
// be sent entries. Raft waits longer after each such failure, up to 10 s, however long
// the member has been back: with another one down, nothing is committed until then.
// Heartbeats are sent by another goroutine of raft, which waits for little. So a call
// that has failed is held until a heartbeat to the same member gets through.
type transport struct {
	*raft.NetworkTransport
	ctx   context.Context         // of the node
	every time.Duration           // how often a call that is held looks whether that has a point
	aside func(r *raft.Raft) bool // whether this node takes no part in elections; r may be nil
	log   entryLog                // of the node
	whole chan raft.RPC           // what others ask for, with entries that are whole

	raft atomic.Pointer[raft.Raft] // nil: it is being opened

	mu   sync.Mutex
	held map[*heldCall]struct{}
	full map[raft.ServerID]time.Duration // how long was waited for members that can't store entries
}

// An entryLog is what a transport wants to know of the log.
type entryLog interface {
	// has reports whether there is an entry of a term.
	has(index, term uint64) bool
	// members returns the last entry with members that was written since the node was opened, and
	// them; 0 if there is none. Raft takes them for the latest only when others may have them.
	members() (uint64, raft.Configuration)
	// lacks reports whether there are entries that raft believes in, and that can't be restored.
	lacks() bool
}

// A heldCall waits for a member at an address.
type heldCall struct {
	id      raft.ServerID
	addr    raft.ServerAddress
	reached chan struct{} // closed when a heartbeat gets through
}

// holdMost is how long a call is held. Raft waits 10 s after a dozen failures, which
// a member must be away for two hours to get to.
const holdMost = 10 * time.Minute

// fullMost is the longest wait before entries are sent again to a member whose disk is full.
const fullMost = 2 * time.Second

func newTransport(ctx context.Context, every time.Duration, aside func(r *raft.Raft) bool, log entryLog, c *raft.NetworkTransportConfig) *transport {
	t := &transport{
		NetworkTransport: raft.NewNetworkTransportWithConfig(c), whole: make(chan raft.RPC),
		ctx: ctx, aside: aside, log: log, every: every, held: map[*heldCall]struct{}{}, full: map[raft.ServerID]time.Duration{},
	}
	go t.join()
	return t
}

// EncodePeer implements raft.Transport. A voter remembers by this for whom it has voted: an address
// alone may be that of another member in the same term, which would get the vote, too.
func (t *transport) EncodePeer(id raft.ServerID, addr raft.ServerAddress) []byte {
	return fmt.Appendf(nil, "%s\n%s", addr, id)
}

// DecodePeer implements raft.Transport. It returns the address.
func (t *transport) DecodePeer(peer []byte) raft.ServerAddress {
	addr, _, _ := bytes.Cut(peer, []byte{'\n'})
	return raft.ServerAddress(addr)
}

// SetHeartbeatHandler implements raft.Transport. Raft has heartbeats handled by the goroutine of their
// connection, since its own may wait for the disk. But that may lead, or count votes, at the same time: it
// would go on in the term of a heartbeat that comes meanwhile, in which another node leads, and make other
// entries in it (raft's issue 695). So that goroutine handles only those that change neither its term nor
// what it does; raft gets the others as what else is asked for.
func (t *transport) SetHeartbeatHandler(handle func(rpc raft.RPC)) {
	t.NetworkTransport.SetHeartbeatHandler(func(rpc raft.RPC) {
		if t.changesNothing(rpc.Command) {
			handle(rpc)
			return
		}
		select {
		case t.whole <- rpc:
		case <-t.ctx.Done():
		}
	})
}

// changesNothing reports whether a heartbeat is of a leader that raft follows already, or of an earlier one.
func (t *transport) changesNothing(heartbeat any) bool {
	req, ok := heartbeat.(*raft.AppendEntriesRequest)
	r := t.raft.Load()
	if !ok || r == nil {
		return false
	}
	term := r.CurrentTerm()
	return req.Term < term || req.Term == term && r.State() == raft.Follower
}

// Consumer implements raft.Transport.
func (t *transport) Consumer() <-chan raft.RPC { return t.whole }

// join hands to raft what others ask for, until the node is closed.
func (t *transport) join() {
	for {
		select {
		case rpc := <-t.NetworkTransport.Consumer():
			if err := t.refusal(rpc.Command); err != nil {
				rpc.Respond(nil, err)
				continue
			}
			switch req := rpc.Command.(type) {
			case *raft.AppendEntriesRequest:
				req.Entries = joined(req.Entries)
				req.LeaderCommitIndex = min(req.LeaderCommitIndex, shown(req))
			case *raft.InstallSnapshotRequest:
				if t.needsNot(req) {
					go t.passOver(rpc, req)
					continue
				}
			}
			select {
			case t.whole <- rpc:
			case <-t.ctx.Done():
				return
			}
		case <-t.ctx.Done():
			return
		}
	}
}

// refusal returns an error if raft is not to hear of what another node asks for.
func (t *transport) refusal(command any) error {
	if _, lead := command.(*raft.TimeoutNowRequest); lead {
		return t.mayStand()
	}
	if isElection(command) && t.aside(t.raft.Load()) {
		return errAside
	}
	return nil
}

// shown returns the last entry that a leader and this node have in common after a request. Raft takes
// what is committed there for committed here, up to its own last entry, which the leader may be about to
// replace: a request with older entries gets through while the disk takes no new ones.
func shown(req *raft.AppendEntriesRequest) uint64 { return req.PrevLogEntry + uint64(len(req.Entries)) }

// send sends entries, or the first of them, which raft finds in the request: it sends the
// others next.
func (t *transport) send(id raft.ServerID, addr raft.ServerAddress, req *raft.AppendEntriesRequest, resp *raft.AppendEntriesResponse) error {
	if n := t.beforeRemoval(id, req); n < len(req.Entries) {
		if n == 0 {
			return errBeingRemoved
		}
		req.Entries = req.Entries[:n]
	}
	if slices.ContainsFunc(req.Entries, isTombstone) {
		return errLacks // raft looks again what there is
	}
	req.Entries = upToBytes(req.Entries, maxCallBytes)
	sent := *req
	sent.Entries = inParts(req.Entries)
	return t.NetworkTransport.AppendEntries(id, addr, &sent, resp)
}

// mayStand returns an error if this node must not be elected. A leader whose log lacks entries could
// neither send those nor store others: only another leader can help it, or opening it again.
func (t *transport) mayStand() error {
	switch {
	case t.aside(t.raft.Load()):
		return errAside
	case t.log.lacks():
		return errLacks
	}
	return nil
}

// RequestVote implements raft.Transport.
func (t *transport) RequestVote(id raft.ServerID, addr raft.ServerAddress, req *raft.RequestVoteRequest, resp *raft.RequestVoteResponse) error {
	if err := t.mayStand(); err != nil {
		return err
	}
	return t.NetworkTransport.RequestVote(id, addr, req, resp)
}

// RequestPreVote implements raft.WithPreVote.
func (t *transport) RequestPreVote(id raft.ServerID, addr raft.ServerAddress, req *raft.RequestPreVoteRequest, resp *raft.RequestPreVoteResponse) error {
	if err := t.mayStand(); err != nil {
		return err
	}
	return t.NetworkTransport.RequestPreVote(id, addr, req, resp)
}

// needsNot reports whether this node has all that is in a snapshot in its log. Raft would drop the
// log, and forget the members that were changed after the snapshot, also where what follows in the log is
// kept: it would count votes by those of the snapshot.
func (t *transport) needsNot(req *raft.InstallSnapshotRequest) bool {
	r := t.raft.Load()
	return r != nil && req.Term == r.CurrentTerm() && t.log.has(req.LastLogIndex, req.LastLogTerm)
}

// passOver answers that a snapshot is installed, of which this node has everything: the leader goes on
// with the entries after it.
func (t *transport) passOver(rpc raft.RPC, req *raft.InstallSnapshotRequest) {
	_, err := io.Copy(io.Discard, rpc.Reader) // the next call comes after it
	rpc.Respond(&raft.InstallSnapshotResponse{RPCHeader: raft.RPCHeader{ProtocolVersion: req.ProtocolVersion}, Term: req.Term, Success: err == nil}, err)
}

// errBeingRemoved says that a member is not sent anything more.
var errBeingRemoved = errors.New("cluster: the member is being removed")

// beforeRemoval returns how many of the entries a member is to get that is being removed. Raft sends
// it the one that removes it, too, which may not be committed, and tells nobody else whether it has
// that. If the leader ends then, the others may be no majority without a member that refuses its vote to
// whoever lacks the entry, and does not stand for election itself, since it is no member by its own log.
func (t *transport) beforeRemoval(id raft.ServerID, req *raft.AppendEntriesRequest) int {
	for i, l := range req.Entries {
		if l.Type != raft.LogConfiguration || l.Index <= req.LeaderCommitIndex || hasMember(raft.DecodeConfiguration(l.Data), id) {
			continue
		}
		// A leader that was just elected does not know what is committed: it sends a member the
		// entries, too, that were made before it was added.
		last, latest := t.log.members()
		if r := t.raft.Load(); last < l.Index && r != nil {
			latest = r.GetConfiguration().Configuration()
		}
		if !hasMember(latest, id) {
			return i
		}
	}
	return len(req.Entries)
}

func hasMember(conf raft.Configuration, id raft.ServerID) bool {
	_, has := memberOf(conf, string(id))
	return has
}

// AppendEntries implements raft.Transport. Entries that could not be sent are sent once
// more when the member can be reached; raft hears of the second failure.
func (t *transport) AppendEntries(id raft.ServerID, addr raft.ServerAddress, req *raft.AppendEntriesRequest, resp *raft.AppendEntriesResponse) error {
	err := t.send(id, addr, req, resp)
	if isHeartbeat(req) {
		if err == nil {
			t.reached(id, addr)
		}
		return err
	}
	if err != nil && !errors.Is(err, errBeingRemoved) && t.hold(id, addr, req.Term) {
		*resp = raft.AppendEntriesResponse{} // the first answer may have come in part
		err = t.send(id, addr, req, resp)
	}
	if err == nil && resp.Term <= req.Term {
		t.answered(id, resp)
	}
	return err
}

// answered paces raft when a member has answered that it could not store entries, as on a
// full disk. Raft waits longer each time, up to 10 s, and then so does an update that needs
// the member, after there is room: here it is up to fullMost.
func (t *transport) answered(id raft.ServerID, resp *raft.AppendEntriesResponse) {
	full := !resp.Success && !resp.NoRetryBackoff
	t.mu.Lock()
	wait := min(max(2*t.full[id], t.every), fullMost)
	if full {
		t.full[id] = wait
	} else {
		delete(t.full, id)
	}
	t.mu.Unlock()
	if full {
		t.pause(wait)
		resp.NoRetryBackoff = true
	}
}

// pause waits for that long, or until the node is closed.
func (t *transport) pause(d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-t.ctx.Done():
	}
}

// InstallSnapshot implements raft.Transport. Raft hears of a failure when the member
// can be reached, and sends the snapshot again.
func (t *transport) InstallSnapshot(id raft.ServerID, addr raft.ServerAddress, req *raft.InstallSnapshotRequest, resp *raft.InstallSnapshotResponse, data io.Reader) error {
	err := t.NetworkTransport.InstallSnapshot(id, addr, req, resp, data)
	if err != nil {
		t.hold(id, addr, req.Term)
	}
	return err
}

// isHeartbeat reports whether a request is one of raft's heartbeats, by the same signs
// as the receiver. A leader's log has an entry, so others have at least one of these.
func isHeartbeat(req *raft.AppendEntriesRequest) bool {
	return req.PrevLogEntry == 0 && req.PrevLogTerm == 0 && len(req.Entries) == 0 && req.LeaderCommitIndex == 0
}

// reached lets go of the calls that wait for a member.
func (t *transport) reached(id raft.ServerID, addr raft.ServerAddress) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for h := range t.held {
		if h.id == id && h.addr == addr {
			delete(t.held, h)
			close(h.reached)
		}
	}
}

// hold waits until a heartbeat reaches a member, and reports whether one has. It does
// not wait once the call would not be made again.
func (t *transport) hold(id raft.ServerID, addr raft.ServerAddress, term uint64) bool {
	h := &heldCall{id, addr, make(chan struct{})}
	t.mu.Lock()
	t.held[h] = struct{}{}
	t.mu.Unlock()
	defer func() {
		t.mu.Lock()
		delete(t.held, h)
		t.mu.Unlock()
	}()
	most := time.NewTimer(holdMost)
	defer most.Stop()
	tick := time.NewTicker(t.every)
	defer tick.Stop()
	for t.wanted(id, addr, term) {
		select {
		case <-h.reached:
			return true
		case <-tick.C:
		case <-most.C:
			return false
		case <-t.ctx.Done():
			return false
		}
	}
	return false
}

// wanted reports whether this node leads in a term, and has a member at an address.
func (t *transport) wanted(id raft.ServerID, addr raft.ServerAddress, term uint64) bool {
	r := t.raft.Load()
	if r == nil || r.CurrentTerm() != term || r.State() != raft.Leader {
		return false
	}
	s, known := memberOf(r.GetConfiguration().Configuration(), string(id)) // does not wait
	return known && s.Address == addr
}
