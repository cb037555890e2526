package cluster

import (
	"errors"

	"github.com/stateio/stateio/store"
)

// fail ends this node's part in the cluster, for good: its files are not where they were, so
// what it acknowledges may be lost. It is called by whichever goroutine notices.
func (n *Node) fail(cause error) {
	n.failOnce.Do(func() {
		err := &opError{
			msg:  "this node has failed (close it; if the directory was moved, put it back, and open it; else call Rejoin for it, and open it again, and the other members rebuild it)",
			errs: []error{store.ErrFailed, cause},
		}
		n.failure.Store(err)
		n.log.Error("cluster: this node has failed, and takes no part any more", "node", n.opts.ID, "dir", n.dir, "error", cause)
		n.stalled.Store(true)
		n.mux.cut(true)
		n.out.end(notMade(err), err)
		n.fsm.recent.end(func(what string) error { return &opError{msg: what, errs: []error{err}} })
		close(n.failed)
	})
}

// Failed returns a channel that is closed when the node fails for good, since its directory, or the log in
// it, was removed or replaced: a program that can't go on without it ends then, and Close says why.
// What passes does not close it, as a snapshot that can't be restored yet, though that is
// store.ErrFailed, too.
func (n *Node) Failed() <-chan struct{} { return n.failed }

// failedErr returns why the node has failed, or nil.
func (n *Node) failedErr() error {
	if err := n.failure.Load(); err != nil {
		return err
	}
	return nil
}

// verify fails the node if its files are not where they were.
func (n *Node) verify() error {
	err := n.logs.verify()
	if failed := n.failedErr(); failed != nil {
		return failed
	}
	return err
}

// watchFiles notices what becomes of the files of a node that writes nothing.
func (n *Node) watchFiles() {
	for n.pause(n.opts.Heartbeat) {
		if errors.Is(n.verify(), store.ErrFailed) {
			return
		}
	}
}

// verify returns an error unless the files of the log are where they were, and says so
// once if they are not.
func (s *logStore) verify() error {
	if s.held == nil {
		return nil
	}
	err := s.held.check()
	if errors.Is(err, errLost) {
		s.lost(err)
	}
	return err
}
