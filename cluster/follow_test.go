package cluster

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/stateio/stateio/store"
)

// followed waits until a follower has come as far as its node.
func followed(t *testing.T, f *Follower, n *Node) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	if err := f.WaitIndex(ctx, n.Index()); err != nil {
		t.Fatal(err)
	}
}

func TestAFollowerHasTheStateOfItsNode(t *testing.T) {
	noLeaks(t)
	tr := startTrial(t, 3, nil)
	n := tr.nodes[tr.follower()]
	update(t, n, "add x")
	m := newLedger()
	f, err := n.Follow(t.Context(), m)
	if err != nil {
		t.Fatal(err)
	}
	for i := range 50 {
		update(t, tr.nodes[i%3], fmt.Sprintf("set k%d v", i))
	}
	want := state(t, n, n.fsm.m.(*ledger))
	followed(t, f, n)
	var got []byte
	if err := f.View(func() (err error) { got, err = json.Marshal(m); return err }); err != nil || string(got) != string(want) {
		t.Errorf("the follower has %s, %v, and the node %s", got, err, want)
	}
	if s := f.Status(); s.Restored != 1 || s.Time.IsZero() || s.Current.IsZero() {
		t.Errorf("the status is %+v", s)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := f.WaitIndex(ctx, 1000); !errors.Is(err, context.Canceled) {
		t.Errorf("waiting too long is the error %v", err)
	}
	if err := f.Close(); err != nil {
		t.Error(err)
	}
	if err := f.WaitIndex(t.Context(), 1000); !errors.Is(err, store.ErrClosed) {
		t.Errorf("waiting for a follower that has ended is the error %v", err)
	}
	if _, err := n.Follow(t.Context(), nil); err == nil {
		t.Error("a follower without a machine is opened")
	}
}

func TestAFollowerReadsWhileTheNodeGoesOn(t *testing.T) {
	tr := startTrial(t, 1, func(_ int, o *Options) { o.KeepUpdates = 1 })
	n := tr.nodes[0]
	m := newLedger()
	f, err := n.Follow(t.Context(), m)
	if err != nil {
		t.Fatal(err)
	}
	if err := f.View(func() error {
		for range 10 { // more than are kept
			update(t, n, "add x")
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	followed(t, f, n)
	if err := f.View(func() error {
		if m.Sums["x"] != 10 {
			return fmt.Errorf("the sum is %d", m.Sums["x"])
		}
		return nil
	}); err != nil {
		t.Error(err)
	}
	if s := f.Status(); s.Restored < 2 {
		t.Errorf("the follower was given the state %d times: this tests less than it should", s.Restored)
	}
	tr.stop(0)
	<-f.Done()
	if !errors.Is(f.Err(), store.ErrClosed) {
		t.Errorf("the follower of a closed node has ended with %v", f.Err())
	}
}

// fickle is a machine that refuses after a while.
type fickle struct{ *ledger }

func (m fickle) Apply(u []byte) (any, error) {
	if strings.HasPrefix(string(u), "set") {
		return nil, errRefused
	}
	return m.ledger.Apply(u)
}

// unable is a machine that can't be restored.
type unable struct{ *ledger }

func (unable) Restore(io.Reader) error { return errRefused }

func TestAFollowerWhoseMachineFailsEnds(t *testing.T) {
	noLeaks(t)
	tr := startTrial(t, 1, nil)
	n := tr.nodes[0]
	update(t, n, "add x")
	if _, err := n.Follow(t.Context(), unable{newLedger()}); !errors.Is(err, errRefused) {
		t.Errorf("the error is %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := n.Follow(ctx, newLedger()); !errors.Is(err, context.Canceled) {
		t.Errorf("the error is %v", err)
	}
	f, err := n.Follow(t.Context(), fickle{newLedger()})
	if err != nil {
		t.Fatal(err)
	}
	update(t, n, "set k v")
	<-f.Done()
	if err := f.Err(); !errors.Is(err, errRefused) || !errors.Is(err, store.ErrFailed) || !strings.Contains(err.Error(), "update 2") {
		t.Errorf("the follower has ended with %v", err)
	}
}
