package cluster

import (
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/hashicorp/raft"

	"github.com/stateio/stateio/store"
)

// errLate says that a snapshot is older than the state.
var errLate = errors.New("cluster: a snapshot comes late")

// noteRestore notes what has become of restoring a snapshot. After an error this node may have to
// wait for the next one: nobody waits for what it does not apply.
func (f *fsm) noteRestore(err error) {
	if err == nil {
		f.stuck.Store(nil)
		return
	}
	stuck := &opError{
		msg:  "a snapshot could not be restored (it is tried again; if that does not help, open the node again)",
		errs: []error{store.ErrFailed, err},
	}
	f.alarm(stuck)
	f.mu.Lock()
	f.stuck.Store(stuck)
	for _, w := range f.waits {
		close(w.done)
	}
	f.waits = nil
	f.mu.Unlock()
	f.out.drop(notMade(stuck), stuck)
}

// stuckErr returns why this node applies nothing, if the last snapshot could not be restored; or
// nil.
func (f *fsm) stuckErr() error {
	if err := f.stuck.Load(); err != nil {
		return err
	}
	return nil
}

// notRestored says that a snapshot of the leader could not be restored, ever more seldom. If this node
// leads, as it may with all entries in its log, another one has to: nothing is made, or read, anywhere
// before the leader has applied the entries.
func (n *Node) notRestored(err error) {
	if n.restoring.due(time.Now(), err.Error()) {
		n.log.Error("cluster: this node applies nothing until a snapshot can be restored", "node", n.opts.ID, "error", err)
	}
	n.cantRead(err)
}

// mend restores the newest snapshot, which could not be restored when it came, before entries are
// applied to what that has left. They may be in the snapshot. It returns an error if the node is
// closed.
func (f *fsm) mend() error {
	if f.newest == nil {
		return nil
	}
	for delay := 10 * time.Millisecond; f.broken != nil; delay = min(2*delay, time.Second) {
		err := f.restoreOwn()
		f.noteRestore(err)
		if err == nil {
			return nil
		}
		select {
		case <-f.closing:
			return store.ErrClosed
		case <-time.After(delay):
		}
	}
	return nil
}

func (f *fsm) restoreOwn() error {
	r, err := f.newest()
	if err != nil {
		return err
	}
	h, err := f.restoreNewer(r)
	if err = errors.Join(err, r.Close()); err == nil {
		f.passed = h.applied
	}
	return err
}

// newestOf returns the newest snapshot that raft has.
func newestOf(snaps raft.SnapshotStore) func() (io.ReadCloser, error) {
	return func() (io.ReadCloser, error) {
		list, err := snaps.List()
		if err != nil {
			return nil, err
		}
		if len(list) == 0 {
			return nil, errors.New("cluster: there is no snapshot")
		}
		_, r, err := snaps.Open(list[0].ID)
		return r, err
	}
}

// unapplied returns the entries that are not in a snapshot which raft does not know of.
func (f *fsm) unapplied(logs []*raft.Log) []*raft.Log {
	for len(logs) > 0 && logs[0].Index <= f.passed {
		logs = logs[1:]
	}
	return logs
}

// lateErr says that a snapshot has less than the state.
func (f *fsm) lateErr(applied uint64) error {
	return fmt.Errorf("%w: it has the entries up to %d, and entry %d is applied already", errLate, applied, f.applied.Load())
}
