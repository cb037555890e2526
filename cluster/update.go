package cluster

import (
	"context"
	"errors"
	"fmt"
)

// Update makes an update, on any node, and returns when it is applied here and on
// the disks of a majority. The result is that of Apply on this node, and
// whoever reads on this node afterwards sees the update. The slice is the caller's;
// the node does not keep it.
//
// Through the death of a leader, the node tries again until ctx ends, and the update
// is applied once. Updates that are on their way at the same time are applied in
// any order, even those of one node.
//
// When Apply refuses the update, its error is returned as it is, and nothing has
// happened. Every other error that is not store.ErrUnknown says that the update was not
// applied and will not be: ErrTooLarge, ErrStalled, ErrRemoved, store.ErrClosed,
// store.ErrFailed, that of a [store.UpdateChecker], and that of ctx, if it ended before
// the update was sent.
//
// An error that is store.ErrUnknown says that the update was sent, and may have been
// applied, or may be yet: because ctx ended, or the node was closed or has failed; or
// because this node was away for so long that the others have sent it their state, in
// which the update is, but not its result, or which does not say whether it is there:
// after a day, by the cluster's clock, they forget what a node has sent. Both kinds come
// with ErrNoQuorum if ctx ended and no leader could be reached.
func (n *Node) Update(ctx context.Context, update []byte) (result any, err error) {
	return n.update(ctx, nil, update)
}

// UpdateOnce is Update with a key of the caller's choice, such as the number of a
// request: of all updates with the same key one is applied, even if they are made
// on other nodes or after a restart. Keys are remembered for KeyLife.
//
// The first use of a key gets what Update returns. Later ones get a
// *DuplicateError, which is ErrDuplicate, even if Apply had refused the first
// one, and whatever their update is. When MaxKeys keys are remembered, further ones are refused
// with ErrTooManyKeys.
func (n *Node) UpdateOnce(ctx context.Context, key string, update []byte) (result any, err error) {
	return n.update(ctx, hashKey(key), update)
}

func (n *Node) update(ctx context.Context, key *[keySize]byte, update []byte) (any, error) {
	w, err := n.put(ctx, key, update)
	if err != nil {
		return nil, err
	}
	select {
	case <-w.done:
		return w.result, w.err
	case <-ctx.Done():
	}
	sent, ok := n.out.giveUp(w)
	if !ok {
		<-w.done // at once
		return w.result, w.err
	}
	if sent == 0 {
		return nil, notMade(n.why(ctx.Err()))
	}
	return nil, unknown(n.why(ctx.Err()))
}

// put takes an update and sends it, if it can be sent.
func (n *Node) put(ctx context.Context, key *[keySize]byte, update []byte) (*waiter, error) {
	if len(update) > n.opts.MaxUpdate {
		return nil, fmt.Errorf("cluster: update not made: it has %d bytes, and Options.MaxUpdate is %d: %w", len(update), n.opts.MaxUpdate, ErrTooLarge)
	}
	if err := n.down(notMadeText); err != nil {
		return nil, err
	}
	if err := n.fsm.check(update); err != nil {
		return nil, fmt.Errorf("cluster: update not made: the machine does not understand it: %w", err)
	}
	w, err := n.out.put(ctx, key, update)
	if err != nil && ctx.Err() != nil && errors.Is(err, ctx.Err()) {
		return nil, notMade(n.why(err))
	}
	if err != nil {
		return nil, err
	}
	n.out.dispatch()
	return w, nil
}

// Submit takes an update like Update, and returns without waiting for it; but it
// waits while Options.MaxPending bytes wait already. The errors are those of Update
// that say that the update is not applied and will not be. Updates that are on their
// way at the same time are applied in any order: Wait before an update that depends
// on this one.
func (n *Node) Submit(update []byte) (*Ticket, error) {
	w, err := n.put(n.ctx, nil, update)
	if err != nil {
		return nil, err
	}
	return &Ticket{n, w}, nil
}

// A Ticket stands for an update that was submitted. Its methods may be called from
// any number of goroutines, any number of times.
type Ticket struct {
	n *Node
	w *waiter
}

// Done returns a channel that is closed when Wait would not wait.
func (t *Ticket) Done() <-chan struct{} { return t.w.done }

// Wait waits until the update is applied, and on the disks of a majority. The
// errors are those of Update. One that is that of ctx, and store.ErrUnknown, leaves
// the update on its way, and Wait can be called again.
func (t *Ticket) Wait(ctx context.Context) error {
	select {
	case <-t.w.done:
		return t.w.err
	default:
	}
	select {
	case <-t.w.done:
		return t.w.err
	case <-ctx.Done():
		return unknown(t.n.why(ctx.Err()))
	}
}

// Index returns the update's index once Wait has returned nil, and 0 before.
func (t *Ticket) Index() uint64 {
	select {
	case <-t.w.done:
		return t.w.index
	default:
		return 0
	}
}

// Result returns what Apply returned, once Wait has returned nil, and nil before.
func (t *Ticket) Result() any {
	select {
	case <-t.w.done:
		return t.w.result
	default:
		return nil
	}
}
