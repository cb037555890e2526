package cluster

import (
	"errors"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stateio/stateio/store"
)

// TestCloseDoesNotWaitForANoteThatHangs closes a node that notes that it was removed, on a disk
// that hangs. The directory is let go of when the disk answers, and not before.
func TestCloseDoesNotWaitForANoteThatHangs(t *testing.T) {
	noLeaks(t)
	hang, hung := make(chan struct{}), make(chan struct{}, 10)
	tr := startTrial(t, 3, func(_ int, o *Options) {
		o.hooks.patience = 100 * time.Millisecond
		o.hooks.noting = func(bool) error { hung <- struct{}{}; <-hang; return nil }
	})
	update(t, tr.nodes[0], "add x")
	i, keep := tr.follower(), tr.leader()
	if err := tr.nodes[keep].Remove(within(t, time.Minute), tr.opts[i].ID); err != nil {
		t.Fatal(err)
	}
	<-hung
	n := tr.nodes[i]
	tr.nodes[i] = nil
	if err := ended(t, "Close", n.Close); !errors.Is(err, ErrStalled) || !strings.Contains(err.Error(), filepath.Join(tr.path(i), removedFile)) {
		t.Errorf("Close: %v", err)
	}
	select {
	case <-n.Done():
	default:
		t.Error("Close has returned, and Done does not say so")
	}
	open := func() error {
		n, err := Open(tr.path(i), newLedger(), tr.opts[i])
		if err == nil {
			err = n.Close()
		}
		return err
	}
	if err := open(); !errors.Is(err, store.ErrLocked) {
		t.Errorf("the directory is opened while it is written: %v", err)
	}
	close(hang)
	eventually(t, "the note is there, and the directory is let go of", func() bool { return errors.Is(open(), ErrRemoved) })
}

// TestCloseSaysWhichFunctionHasNotReturned: the disk is not to blame.
func TestCloseSaysWhichFunctionHasNotReturned(t *testing.T) {
	for in, want := range map[string]string{
		"Apply": "Apply of the machine", "Snapshot": "Snapshot of the machine", "WriteTo": "WriteTo of a snapshot",
		"View": "a function of View or ViewLocal",
	} {
		t.Run(in, func(t *testing.T) {
			noLeaks(t)
			tr, m := startMoody(t, func(o *Options) { o.hooks.patience = 100 * time.Millisecond })
			n := tr.nodes[0]
			tr.nodes[0] = nil
			inside, release := make(chan struct{}), make(chan struct{})
			block := func() { close(inside); <-release }
			ended := make(chan struct{})
			async := func(f func() error) {
				go func() { defer close(ended); _ = f() }() // it ends, is all that matters
			}
			switch in {
			case "Apply":
				m.set(in, block)
				async(func() error { _, err := n.Update(t.Context(), []byte("add x")); return err })
			case "View":
				async(func() error { return n.ViewLocal(func() error { block(); return nil }) })
				<-inside
				if _, err := n.Submit([]byte("add x")); err != nil { // waits for it, in raft
					t.Fatal(err)
				}
				eventually(t, "raft waits for the state", func() bool {
					free := n.fsm.state.TryRLock() // not if somebody waits for the lock
					if free {
						n.fsm.state.RUnlock()
					}
					return !free
				})
			default:
				m.set(in, block)
				async(func() error { return n.Snapshot(t.Context()) })
			}
			<-inside
			if err := n.Close(); err == nil || errors.Is(err, ErrStalled) || !strings.Contains(err.Error(), want+" has not returned") {
				t.Errorf("Close: %v", err)
			}
			close(release)
			<-ended
			eventually(t, "the directory is let go of", func() bool {
				again, err := Open(tr.path(0), newLedger(), tr.opts[0])
				if err == nil {
					tr.nodes[0] = again
				}
				return err == nil
			})
		})
	}
}
