package cluster

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"time"

	"github.com/stateio/stateio/store"
)

// A Follower keeps a second machine in the state that a node has, for reads that take
// long: those of the node itself keep updates from being applied. Its methods may be
// called from any number of goroutines at once, but not from within the machine or
// View.
type Follower struct {
	n *Node
	m store.Machine

	state  sync.RWMutex // held exclusively while m changes, shared by View
	broken bool         // m has no whole state; guarded by state

	mu      sync.Mutex // guards all below
	status  store.FollowerStatus
	changed chan struct{} // closed when status changes; nil: nobody waits
	err     error         // why it has ended

	cancel context.CancelFunc
	done   chan struct{}
}

// Follow gives m the state that this node has now, and keeps it in that state from
// then on: each update that the node applies is applied to m a moment later. m must
// be a machine of the kind that the node has, in its initial state, and only the
// follower may change it; [Follower.View] reads it. While it is given the state,
// updates go on.
//
// A follower that can't keep up gets the state again, which Status.Restored counts.
// It ends when ctx does, by Close, when the node is closed, or with an error:
// [Follower.Done]. Errors of Follow are those of Snapshot and its io.WriterTo, which a panic
// there is, too, of Restore, of ctx, and store.ErrClosed.
func (n *Node) Follow(ctx context.Context, m store.Machine) (*Follower, error) {
	if m == nil {
		return nil, errors.New("cluster: following needs a Machine, not nil")
	}
	if err := n.closedErr("following"); err != nil {
		return nil, err
	}
	f := &Follower{n: n, m: m, done: make(chan struct{})}
	if err := f.restore(ctx); err != nil {
		return nil, err
	}
	ctx, f.cancel = context.WithCancel(ctx)
	go f.run(ctx)
	return f, nil
}

// restore gives the machine the state that the node has now.
func (f *Follower) restore(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return &opError{msg: "following", errs: []error{err}}
	}
	c, err := f.n.fsm.capture(ctx, f.n.ctx.Done(), "following")
	if err != nil {
		return err
	}
	r, w := io.Pipe()
	defer context.AfterFunc(ctx, func() { w.CloseWithError(ctx.Err()) })()
	defer context.AfterFunc(f.n.ctx, func() { w.CloseWithError(store.ErrClosed) })()
	wrote := make(chan struct{})
	go func() {
		defer close(wrote)
		defer c.Release()
		w.CloseWithError(guarded("WriteTo of the captured state", func() error { // nil: the end
			_, err := c.state.WriteTo(w)
			return err
		}))
	}()
	err = f.take(r)
	select {
	case <-wrote:
	case <-ctx.Done(): // a WriteTo that does not write is left to itself
	case <-f.n.ctx.Done():
	}
	if err != nil {
		return &opError{msg: fmt.Sprintf("following: giving the machine the state as of update %d", c.header.index), errs: []error{err}}
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.status.Index, f.status.Current = c.header.index, time.Now()
	f.status.Time = time.Time{}
	f.status.Restored++
	f.announceLocked()
	return nil
}

// errNotReturned reports a function of a machine that has ended its goroutine.
var errNotReturned = errors.New("a function of the machine has called runtime.Goexit, as t.FailNow does: it must return")

// take has the machine restore what r has.
func (f *Follower) take(r *io.PipeReader) error {
	f.state.Lock()
	defer f.state.Unlock() // also if the machine ends the goroutine
	err := errNotReturned
	defer func() {
		f.broken = err != nil
		r.CloseWithError(err)
	}()
	if err = f.m.Restore(r); err == nil {
		_, err = io.Copy(io.Discard, r) // it need not read up to the end
	}
	return err
}

// run follows until ctx ends.
func (f *Follower) run(ctx context.Context) {
	defer close(f.done)
	defer f.cancel()
	returned := false
	defer func() {
		if !returned {
			f.mu.Lock()
			defer f.mu.Unlock()
			f.err = &opError{msg: fmt.Sprintf("following, after update %d", f.status.Index), errs: []error{store.ErrFailed, errNotReturned}}
		}
	}()
	f.follow(ctx)
	returned = true
}

// follow is run, of a machine that returns.
func (f *Follower) follow(ctx context.Context) {
	for ctx.Err() == nil {
		err := f.applyAll(ctx)
		if errors.Is(err, store.ErrNotRetained) {
			err = f.restore(ctx)
		}
		if err != nil && ctx.Err() == nil {
			f.mu.Lock()
			f.err = err
			f.mu.Unlock()
			return
		}
	}
}

// applyAll applies updates until ctx ends, or there is an error.
func (f *Follower) applyAll(ctx context.Context) error {
	for u, err := range f.n.Updates(ctx, f.Status().Index+1) {
		if err != nil {
			return err
		}
		if err := f.apply(u); err != nil {
			return &opError{msg: fmt.Sprintf("following: update %d, which the node has applied, is refused (machines must be deterministic; package statetest tests that)", u.Index), errs: []error{store.ErrFailed, err}}
		}
	}
	return nil
}

func (f *Follower) apply(u store.Update) (err error) {
	f.state.Lock()
	defer f.state.Unlock() // also if the machine ends the goroutine
	if timed, ok := f.m.(timedMachine); ok {
		_, err = timed.ApplyAt(u.Time, u.Index, u.Data)
	} else {
		_, err = f.m.Apply(u.Data)
	}
	if err != nil {
		return err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.status.Index, f.status.Time, f.status.Current = u.Index, u.Time, time.Now()
	f.announceLocked()
	return nil
}

func (f *Follower) announceLocked() {
	if f.changed != nil {
		close(f.changed)
		f.changed = nil
	}
}

// WaitIndex waits until update index was applied to the follower's machine. The errors
// are that of ctx, store.ErrClosed when the follower has ended, and why it has.
func (f *Follower) WaitIndex(ctx context.Context, index uint64) error {
	for {
		f.mu.Lock()
		if f.status.Index >= index {
			f.mu.Unlock()
			return nil
		}
		if f.changed == nil {
			f.changed = make(chan struct{})
		}
		changed := f.changed
		f.mu.Unlock()
		select {
		case <-changed:
		case <-f.done:
			return &opError{msg: fmt.Sprintf("waiting for update %d", index), errs: []error{cmp.Or(f.Err(), store.ErrClosed)}}
		case <-ctx.Done():
			return &opError{msg: fmt.Sprintf("waiting for update %d", index), errs: []error{ctx.Err()}}
		}
	}
}

// View calls read while no update is applied to the follower's machine, and returns
// what it returns; the node goes on applying meanwhile. The error is store.ErrFailed
// if the machine could not be given the state again.
func (f *Follower) View(read func() error) error {
	f.state.RLock()
	defer f.state.RUnlock()
	if f.broken {
		return &opError{msg: "reading from a follower whose state is not whole (Err says why; follow anew with another machine)", errs: []error{store.ErrFailed}}
	}
	return read()
}

// Status says how far the follower has come. Current is when it last applied an
// update, or got the state.
func (f *Follower) Status() store.FollowerStatus {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.status
}

// Done returns a channel that is closed when the follower has ended.
func (f *Follower) Done() <-chan struct{} { return f.done }

// Err returns why the follower has ended, and nil before, and if its context or Close
// has ended it.
func (f *Follower) Err() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.err
}

// Close ends the follower, and returns Err.
func (f *Follower) Close() error {
	f.cancel()
	<-f.done
	return f.Err()
}
