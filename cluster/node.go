package cluster

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hashicorp/raft"

	"github.com/stateio/stateio/store"
)

// A Node is one member of a cluster: it keeps the state of a machine together with
// the other nodes. Its methods may be called from any number of goroutines at once,
// but not from within the machine or the functions passed to View.
type Node struct {
	dir  string
	opts *Options
	log  *slog.Logger
	run  string // drawn by Open

	ctx    context.Context // ends when Close begins to shut down
	cancel context.CancelFunc
	wg     sync.WaitGroup // the node's own goroutines
	under  underway       // writes besides those of the log

	lock  io.Closer // of the directory
	self  *self
	logs  *logStore
	mux   *mux
	trans *transport
	raft  *raft.Raft
	fsm   *fsm
	out   *outbox
	prop  *proposer
	peers *peers
	reads *reads
	lead  *leadership

	leader  atomic.Pointer[leader] // nil: none is known
	opened  atomic.Uint64          // the last term in which this node, leading, has made an entry
	lagging atomic.Uint64          // the last term in which a member that lacked entries was to lead
	stalled atomic.Bool            // the disk does not answer
	ahead   atomic.Bool            // it was said that the clock of a leader was ahead
	gap     gaps
	counts  nodeCounters

	failure  atomic.Pointer[opError] // why the node takes no part any more
	failed   chan struct{}           // closed when that is set
	failOnce sync.Once

	changing gate // entered, on the leader, while voters are changed
	yielding gate // entered, on the leader, while another member is to lead
	joining  joiners

	admitting sync.Mutex // held while this node is let in
	reloading sync.Mutex // held by reload

	rejoining bool                  // as Rejoin has written
	unsure    bool                  // whether Options.Join has nodes of this cluster
	removal   sync.Mutex            // held while removed is written
	removed   atomic.Bool           // from the cluster: the leader says so
	told      atomic.Pointer[error] // what it has said; set before removed
	noting    chan struct{}         // has an element if removed has changed
	unread    chan error            // has an element if the log or a snapshot can't be read

	snapshotMu sync.Mutex // held while a snapshot is made
	restoring  reminder   // that none of the leader could be restored; of raft's goroutine
	snapshot   snapshotStats

	listening sync.Once
	ready     chan struct{} // closed when calls of other nodes can be answered

	closeOnce sync.Once
	closing   atomic.Bool
	closed    chan struct{} // closed when Close is done
	closeErr  error
}

// pause waits for d, and reports false if the node is closed.
func (n *Node) pause(d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-n.ctx.Done():
		return false
	}
}

// await calls f in a goroutine and waits for it, but not longer than ctx, nor after
// the node is closed: what raft promises to answer, it does not always answer when
// it is shut down.
func (n *Node) await(ctx context.Context, f func() error) error {
	done := make(chan error, 1)
	go func() { done <- f() }()
	select {
	case err := <-done:
		return err
	case <-ctx.Done():
		return ctx.Err()
	case <-n.ctx.Done():
		return store.ErrClosed
	}
}

// reload changes what raft can change while it runs, which it does not do by parts: whoever changes
// one, keeps the others as they are.
func (n *Node) reload(change func(c *raft.ReloadableConfig)) error {
	n.reloading.Lock()
	defer n.reloading.Unlock()
	c := n.raft.ReloadableConfig()
	change(&c)
	return n.raft.ReloadConfig(c)
}

// closedErr returns an error if the node is closed.
func (n *Node) closedErr(what string) error {
	if n.closing.Load() {
		return errClosed(what)
	}
	return nil
}

// down returns why the node takes no updates, if it does not; what says what is not done.
func (n *Node) down(what string) error {
	if err := n.closedErr(what); err != nil {
		return err
	}
	cause := n.failedErr()
	switch {
	case cause != nil:
	case n.stalled.Load():
		cause = n.diskErr(ErrStalled)
	case n.removed.Load():
		cause = n.removedErr()
	case n.fsm.stuckErr() != nil:
		cause = n.fsm.stuckErr()
	default:
		return nil
	}
	return &opError{msg: what, errs: []error{cause}}
}

// diskErr adds to kind the error with which this node's log can't be written, if it can't.
func (n *Node) diskErr(kind error) error {
	if err := n.logs.writeErr(); err != nil {
		return fmt.Errorf("%w: the log of this node can't be written: %w", kind, err)
	}
	return kind
}

// why adds to the error of a context that there was no leader, if so.
func (n *Node) why(err error) error {
	to := n.leader.Load()
	switch {
	case n.failedErr() != nil:
		return n.failedErr()
	case n.stalled.Load():
		return &opError{msg: "waiting for the cluster", errs: []error{err, n.diskErr(ErrStalled)}}
	case n.removed.Load():
		return &opError{msg: "waiting for the cluster, from which this node was removed (close it, and use another one)", errs: []error{ErrRemoved, err}}
	case to == nil && n.logs.refusal.err() != nil:
		return &opError{msg: "waiting for the cluster: no leader can be reached", errs: []error{err, n.diskErr(ErrNoQuorum)}}
	case to == nil:
		return &opError{msg: "waiting for the cluster: no leader can be reached (a majority of the members must be up, and reach each other)", errs: []error{ErrNoQuorum, err}}
	}
	if f, failed := n.peers.failure(to.addr); failed {
		return &opError{msg: fmt.Sprintf("waiting for the cluster: this node can't reach the leader, %s, at %s, which all nodes must be able to (see Options.Advertise there): %v", to.id, to.addr, f.err), errs: []error{ErrNoQuorum, err}}
	}
	return &opError{msg: "waiting for the cluster", errs: []error{err}}
}

// Index returns the number of updates that this node has applied since the
// beginning of time: the index of the last one. Those that Apply refused do not
// count. All of them are on the disks of a majority.
func (n *Node) Index() uint64 { return n.fsm.index.Load() }

// Close leaves the cluster in good order: it takes no more updates, waits for those of this node
// that are on their way, Submit's, too, as long as there is a leader, and hands over, if this
// node leads. It waits seconds at most for the updates, three heartbeats to hand over, and
// seconds for the rest. An update that is on its way still gets an error, which may be
// store.ErrUnknown. A second call waits for the first and returns
// the same. The error says what could not be closed, and what was waited for in vain: it is
// ErrStalled if that is the disk, and names the function of the machine, or View, if that
// has not returned. What was acknowledged is durable in any case, but for an error that is
// store.ErrFailed, which says that the directory was removed or replaced. This node
// remains a member; see Remove.
func (n *Node) Close() error { return n.CloseContext(context.Background()) }

// CloseContext is Close for a caller that does not wait longer than ctx: after that
// the error is that of ctx, and closing goes on.
func (n *Node) CloseContext(ctx context.Context) error {
	n.closeOnce.Do(func() {
		n.closing.Store(true)
		go func() {
			n.letSettle()
			n.handOver()
			n.closeErr = n.shutDown()
			close(n.closed)
		}()
	})
	select {
	case <-n.closed:
		return n.closeErr
	case <-ctx.Done():
		return &opError{msg: "closing " + n.dir + " goes on", errs: []error{ctx.Err()}}
	}
}

// Done returns a channel that is closed when the node is: when Close is through, whoever has
// called it. What belongs to the node, and has goroutines of its own, ends then.
func (n *Node) Done() <-chan struct{} { return n.closed }

// letSettle waits for the updates of this node, as long as they may be made.
func (n *Node) letSettle() {
	patience := time.NewTimer(n.opts.hooks.closing())
	defer patience.Stop()
	tick := time.NewTicker(n.opts.Heartbeat / 4)
	defer tick.Stop()
	for n.leader.Load() != nil && !n.stalled.Load() && !n.removed.Load() && n.failedErr() == nil {
		empty := n.out.emptied()
		if empty == nil {
			return
		}
		select {
		case <-empty:
		case <-tick.C:
		case <-patience.C:
			return
		}
	}
}

// handOver lets another node lead, if this one does, and there is one.
func (n *Node) handOver() {
	if _, ok := n.leads(); !ok || n.stalled.Load() {
		return
	}
	if voters, err := n.voters(); err != nil || len(voters) < 2 {
		return
	}
	ctx, cancel := context.WithTimeout(n.ctx, 2*n.opts.Heartbeat)
	defer cancel()
	if err := n.transfer(ctx); err != nil {
		n.log.Info("cluster: closing without handing over", "node", n.opts.ID, "error", err)
	}
}

// closeMost is how long Close waits for raft, which waits for its disk and the machine, and for
// what else is written.
const closeMost = 10 * time.Second

// shutDown stops everything. The order matters: raft waits for calls to other nodes,
// which end when the connections do.
func (n *Node) shutDown() error {
	n.out.close()
	n.prop.close(n.opts.Heartbeat)
	n.cancel()
	n.peers.close()
	err := n.closeRest()
	n.reads.moved()
	n.fsm.recent.end(errClosed)
	return err
}

// closeRest ends the connections, shuts raft down, closes the log, waits for the node's own
// goroutines, and then lets go of the directory. It does not wait long for a disk that hangs,
// or for a function of the machine or of View: the rest follows when those return.
func (n *Node) closeRest() error {
	down := make(chan error, 1)
	go func() {
		n.mux.close()
		err := n.raft.Shutdown().Error()
		_ = n.trans.Close() // shut down by raft
		err = errors.Join(err, n.verify(), n.logs.Close())
		n.wg.Wait()
		down <- errors.Join(err, n.lock.Close())
	}()
	patience := time.NewTimer(n.opts.hooks.closing())
	defer patience.Stop()
	select {
	case err := <-down:
		if err != nil {
			return &opError{msg: "closing " + n.dir, errs: []error{err}}
		}
		return nil
	case <-patience.C:
		return n.lateErr()
	}
}
