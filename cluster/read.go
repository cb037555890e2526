package cluster

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hashicorp/raft"

	"github.com/stateio/stateio/store"
)

// roundsInFlight is how many rounds of reads run at a time: the next one gathers
// readers meanwhile.
const roundsInFlight = 2

// reads finds read indexes: raft indexes such that whoever has applied the entries
// up to there sees every update that was acknowledged before. All that wait at the
// beginning of a round share it.
type reads struct {
	find func() (uint64, error) // one round

	mu      sync.Mutex
	next    *round // gathers; nil: nobody waits
	running int
	change  chan struct{} // closed and replaced when the leader changes
}

type round struct {
	done  chan struct{}
	index uint64
	err   error
}

func newReads(find func() (uint64, error)) *reads {
	return &reads{find: find, change: make(chan struct{})}
}

// join returns the next round to begin, which begins as soon as it may.
func (r *reads) join() *round {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.next == nil {
		r.next = &round{done: make(chan struct{})}
		if r.running < roundsInFlight {
			r.running++
			go r.run()
		}
	}
	return r.next
}

func (r *reads) run() {
	for {
		r.mu.Lock()
		round := r.next
		r.next = nil
		if round == nil {
			r.running--
			r.mu.Unlock()
			return
		}
		r.mu.Unlock()
		round.index, round.err = r.find()
		close(round.done)
		// Those whose round has ended read again, many of them: they run before the
		// next round begins, and are in it, not in the one after.
		runtime.Gosched()
	}
}

// moved lets those that wait for a leader try again.
func (r *reads) moved() {
	r.mu.Lock()
	defer r.mu.Unlock()
	close(r.change)
	r.change = make(chan struct{})
}

func (r *reads) changed() <-chan struct{} {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.change
}

// readIndex returns a read index. It tries until ctx ends or the node is closed.
func (n *Node) readIndex(ctx context.Context) (uint64, error) {
	for delay := firstRetry; ; delay = min(2*delay, lastRetry) {
		if n.removed.Load() {
			return 0, &opError{msg: "reading", errs: []error{n.removedErr()}}
		}
		changed := n.reads.changed()
		r := n.reads.join()
		select {
		case <-r.done:
		case <-ctx.Done():
			return 0, n.why(ctx.Err())
		case <-n.failed:
			return 0, n.failedErr()
		case <-n.ctx.Done():
			return 0, errClosed("reading")
		}
		if r.err == nil {
			return r.index, nil
		}
		wait := time.NewTimer(delay)
		select {
		case <-wait.C:
		case <-changed:
		case <-n.failed:
		case <-ctx.Done():
		case <-n.ctx.Done():
		}
		wait.Stop()
	}
}

var errNotLeader = errors.New("cluster: this node does not lead")

// findIndex finds a read index, here or at the leader.
func (n *Node) findIndex() (uint64, error) {
	to := n.leader.Load()
	switch {
	case to == nil:
		return 0, errNotLeader
	case to.self:
		return n.lead.index()
	}
	ctx, cancel := context.WithTimeout(n.ctx, max(4*n.opts.Heartbeat, time.Second))
	defer cancel()
	req := binary.LittleEndian.AppendUint64(nil, n.fsm.applied.Load())
	b, err := n.peers.call(ctx, to.addr, frameReadIndex, req)
	if err != nil {
		return 0, err
	}
	if len(b) != 8 {
		return 0, errMalformed
	}
	return binary.LittleEndian.Uint64(b), nil
}

// A leadership finds read indexes on the leader, and nowhere else.
type leadership struct {
	n      *Node
	rounds *reads
	single atomic.Uint64 // rounds that were run
}

// index joins a round.
func (l *leadership) index() (uint64, error) {
	r := l.rounds.join()
	select {
	case <-r.done:
		return r.index, r.err
	case <-l.n.ctx.Done():
		return 0, errClosed("reading")
	}
}

// find is one round. The commit index counts if this node is still the leader
// afterwards, which is so if a majority has promised no later term until then: each
// is asked for its term after the commit index was read.
//
// raft.VerifyLeader would not do. It counts any answer to a heartbeat or to entries
// that arrives later on, even one that was sent before, and a leader that was paused
// finds such answers waiting for it when it wakes up, long after another one was
// elected.
func (l *leadership) find() (uint64, error) {
	n := l.n
	l.single.Add(1)
	term, ok := n.leads()
	if !ok || n.fsm.term.Load() != term {
		return 0, errNotLeader // or not yet ready
	}
	index := n.raft.CommitIndex()
	if n.opts.hooks.unverified {
		return index, nil
	}
	voters, err := n.voters()
	if err != nil {
		return 0, err
	}
	if err := l.confirm(voters, term); err != nil {
		return 0, err
	}
	if now, ok := n.leads(); !ok || now != term {
		return 0, errNotLeader
	}
	return index, nil
}

// confirm returns nil if a majority of voters has promised no later term.
func (l *leadership) confirm(voters []raft.Server, term uint64) error {
	need := len(voters)/2 + 1
	answers := make(chan error, len(voters))
	asked := 0
	for _, v := range voters {
		if string(v.ID) == l.n.opts.ID {
			need--
			continue
		}
		asked++
		l.n.peers.send(string(v.Address), frameTerm, nil, func(b []byte, err error) {
			answers <- checkTerm(b, err, term)
		})
	}
	if need <= 0 {
		return nil
	}
	timeout := time.NewTimer(l.n.opts.Heartbeat)
	defer timeout.Stop()
	for ; asked > 0; asked-- {
		select {
		case err := <-answers:
			if err == nil {
				if need--; need == 0 {
					return nil
				}
			}
		case <-timeout.C:
			return errNotLeader
		case <-l.n.ctx.Done():
			return errNotLeader
		}
	}
	return errNotLeader
}

// checkTerm returns nil if a voter has promised no later term than term.
func checkTerm(b []byte, err error, term uint64) error {
	if err != nil {
		return err
	}
	p, err := parsePulse(b)
	if err == nil && p.Term > term {
		err = errNotLeader
	}
	return err
}

// voters returns the members that have a vote, by the latest configuration.
func (n *Node) voters() (voters []raft.Server, err error) {
	f := n.raft.GetConfiguration()
	if err := f.Error(); err != nil {
		return nil, fmt.Errorf("cluster: looking at the members: %w", err)
	}
	return votersOf(f.Configuration()), nil
}

// votersOf returns the members that have a vote.
func votersOf(conf raft.Configuration) (voters []raft.Server) {
	for _, s := range conf.Servers {
		if s.Suffrage == raft.Voter {
			voters = append(voters, s)
		}
	}
	return voters
}

// View calls read while no update is applied, so that it can read the machine's
// state. It sees every update that was acknowledged, on whichever node, before View
// was called: reads are linearizable, on every node. It returns what read returns.
//
// View asks the leader, and the leader a majority, for which many calls share one
// round. Without a majority it waits until ctx ends, and then returns an error that
// is ErrNoQuorum and that of ctx, or ErrStalled if the disk of this node does not answer; see
// [Node.ViewLocal]. Nor does it wait longer than ctx for the machine, while that applies an
// update, or a snapshot is made or restored. Other errors are ErrRemoved, store.ErrClosed, and
// store.ErrFailed if a snapshot could not be restored, or the directory was removed.
//
// read must not keep references to what Apply changes, nor call methods of the
// node that wait for updates.
func (n *Node) View(ctx context.Context, read func() error) error {
	if err := n.Sync(ctx); err != nil {
		return err
	}
	if !n.fsm.state.rLockContext(ctx, n.ctx.Done()) {
		if err := ctx.Err(); err != nil {
			return &opError{msg: "reading: an update is being applied, or a snapshot is made or restored", errs: []error{err}}
		}
		return errClosed("reading")
	}
	return n.fsm.readLocked(read)
}

// ViewLocal calls read like View, with the state of this node as it is: it may
// lack the latest updates, without bound if this node can't reach the others. It
// asks nobody, waits for the machine while that applies an update or restores a
// snapshot, and works without a majority, and on a closed node. Stats.Lag says
// how much is known to be missing.
func (n *Node) ViewLocal(read func() error) error { return n.fsm.read(read) }

// Sync waits until this node has applied every update that was acknowledged before
// the call, on whichever node. Those are on the disks of a majority. The errors are
// those of View.
func (n *Node) Sync(ctx context.Context) error {
	if err := n.closedErr("reading"); err != nil {
		return err
	}
	if err := n.failedErr(); err != nil {
		return err
	}
	i, err := n.readIndex(ctx)
	if err != nil {
		return err
	}
	err = n.reach(ctx, i)
	switch {
	case err == nil || errors.Is(err, store.ErrFailed):
		return err
	case ctx.Err() != nil && n.ctx.Err() == nil:
		return n.why(ctx.Err())
	}
	return errClosed("reading")
}

// reach waits until this node has applied raft index i. It does not wait longer than ctx, nor after
// the node is closed or has failed: then it applies nothing more.
func (n *Node) reach(ctx context.Context, i uint64) error {
	err := n.fsm.wait(ctx, i, n.ctx.Done(), n.failed)
	if failed := n.failedErr(); err != nil && failed != nil {
		return failed
	}
	return err
}
