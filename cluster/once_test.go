package cluster

import (
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stateio/stateio/store"
)

// forgetful makes each node take every other group that it has sent to a leader for
// lost, though it is not.
func forgetful(_ int, o *Options) {
	var n atomic.Int64
	o.hooks.forget = func() bool { return n.Add(1)%2 == 0 }
}

// count makes updates on all nodes at once, and returns how many.
func count(t *testing.T, tr *trial) int {
	t.Helper()
	const clients, each = 9, 60
	var wg sync.WaitGroup
	for i := range clients {
		wg.Go(func() {
			for range each {
				if _, err := tr.nodes[i%len(tr.nodes)].Update(t.Context(), []byte("add x")); err != nil {
					t.Errorf("node %d: %v", i, err)
					return
				}
			}
		})
	}
	wg.Wait()
	return clients * each
}

func TestAnUpdateThatIsSentTwiceIsAppliedOnce(t *testing.T) {
	concurrently(t)
	tr := startTrial(t, 3, forgetful)
	want := count(t, tr)
	if got := sum(t, tr, 0, "x"); got != want {
		t.Errorf("the sum is %d after %d updates", got, want)
	}
	if got := tr.nodes[0].Index(); got != uint64(want) {
		t.Errorf("the index is %d after %d updates", got, want)
	}
	if s := tr.nodes[0].Stats(); s.Duplicates == 0 {
		t.Error("no update came twice: this tests nothing")
	}
	equalStates(t, tr)
}

// TestWithoutTheTableUpdatesAreAppliedTwice makes sure that the test above would
// notice.
func TestWithoutTheTableUpdatesAreAppliedTwice(t *testing.T) {
	concurrently(t)
	tr := startTrial(t, 3, func(i int, o *Options) {
		forgetful(i, o)
		o.hooks.again = true
	})
	want := count(t, tr)
	if got := sum(t, tr, 0, "x"); got <= want {
		t.Errorf("the sum is %d after %d updates, and some of them came twice", got, want)
	}
}

func TestAKeyIsUsedOnce(t *testing.T) {
	tr := startTrial(t, 3, nil)
	ctx := t.Context()
	check := func(when string) {
		t.Helper()
		for i, n := range tr.nodes {
			var dup *DuplicateError
			_, err := n.UpdateOnce(ctx, "k", []byte("add x"))
			if !errors.Is(err, ErrDuplicate) || !errors.As(err, &dup) || dup.Index != 2 || dup.Refused {
				t.Errorf("%s, node %d: %v", when, i, err)
			}
			_, err = n.UpdateOnce(ctx, "refused", []byte("add x"))
			if !errors.As(err, &dup) || dup.Index != 2 || !dup.Refused {
				t.Errorf("%s, node %d, a refused one: %v", when, i, err)
			}
		}
		if got := sum(t, tr, 0, "x"); got != 2 {
			t.Fatalf("%s, the sum is %d", when, got)
		}
	}
	update(t, tr.nodes[0], "add x")
	if r, err := tr.nodes[1].UpdateOnce(ctx, "k", []byte("add x")); err != nil || r != 2 {
		t.Fatal(r, err)
	}
	if _, err := tr.nodes[2].UpdateOnce(ctx, "refused", []byte("refuse")); err != errRefused {
		t.Fatal(err)
	}
	check("at once")
	for _, n := range tr.nodes {
		if err := n.Snapshot(ctx); err != nil {
			t.Fatal(err)
		}
	}
	for i := range tr.nodes {
		tr.crash(i)
	}
	for i := range tr.nodes {
		tr.start(i)
	}
	check("after a restart from snapshots")
}

func TestAKeyIsForgottenAfterItsTime(t *testing.T) {
	f := newFSM(newLedger(), newOutbox(1, func() *leader { return nil }, nil))
	f.begin([nonceSize]byte{})
	apply := func(seq uint64, at time.Duration) {
		t.Helper()
		b := append(appendEntryHeader(nil, int64(at)), encodeGroup(1, 1, encodedUpdate{seq: seq, key: hashKey("k"), data: []byte("add x")})...)
		if err := f.applyEntry(b); err != nil {
			t.Fatal(err)
		}
	}
	apply(1, time.Hour)
	apply(2, time.Hour+KeyLife)
	if f.index.Load() != 1 {
		t.Errorf("within its time, a key was used %d times", f.index.Load())
	}
	apply(3, 0) // the time does not go back
	apply(4, time.Hour+KeyLife+1)
	if f.index.Load() != 2 {
		t.Errorf("after its time, a key was used %d times", f.index.Load())
	}
}

// TestASessionThatWasForgottenIsBegunAgain forgets all sessions on all nodes, as they
// are after a day.
func TestASessionThatWasForgottenIsBegunAgain(t *testing.T) {
	concurrently(t)
	tr := startTrial(t, 3, steady) // an update that is sent again to another leader may be told as unknown
	want := count(t, tr)
	for round := range 3 {
		for _, n := range tr.nodes {
			if err := n.Sync(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		for _, n := range tr.nodes {
			n.fsm.state.Lock()
			clear(n.fsm.table.sessions)
			n.fsm.state.Unlock()
		}
		want += count(t, tr)
		if got := sum(t, tr, round, "x"); got != want {
			t.Fatalf("the sum is %d after %d updates", got, want)
		}
	}
	equalStates(t, tr)
}

// TestAnUpdateOfAForgottenSessionIsUnknownIfItWasSentTwice asks the state alone.
func TestAnUpdateOfAForgottenSessionIsUnknownIfItWasSentTwice(t *testing.T) {
	to := &leader{self: true}
	out := newOutbox(1<<20, func() *leader { return to }, func(*leader, *parcel) {})
	out.session = 9
	w, err := out.put(t.Context(), nil, []byte("add x"))
	if err != nil {
		t.Fatal(err)
	}
	out.dispatch()
	for p := range out.flying {
		out.settle(p, errGone)
	}
	eventually(t, "the update is sent again", func() bool {
		out.mu.Lock()
		defer out.mu.Unlock()
		return w.sent == 2
	})
	out.deliver([]delivery{{session: 9, seq: w.seq, lost: true}})
	<-w.done
	if !errors.Is(w.err, store.ErrUnknown) {
		t.Errorf("the error is %v", w.err)
	}
	out.close()
}

// A clockMachine wants to know when.
type clockMachine struct {
	*ledger
	times   []time.Time
	indexes []uint64
}

func (m *clockMachine) ApplyAt(at time.Time, index uint64, update []byte) (any, error) {
	m.times, m.indexes = append(m.times, at), append(m.indexes, index)
	return m.Apply(update)
}

func TestTimesAreTheSameOnAllNodesAndDoNotGoBack(t *testing.T) {
	tr := newTrial(t, 3, nil)
	var ms []*clockMachine
	for i := range tr.nodes {
		m := &clockMachine{ledger: newLedger()}
		n, err := Open(tr.path(i), m, tr.opts[i])
		if err != nil {
			t.Fatal(err)
		}
		tr.nodes[i], tr.machines[i] = n, m.ledger
		ms = append(ms, m)
	}
	before := time.Now()
	for range 20 {
		update(t, tr.nodes[0], "add x")
	}
	equalStates(t, tr)
	for i, m := range ms {
		if got, want := fmt.Sprint(m.times), fmt.Sprint(ms[0].times); got != want {
			t.Errorf("node %d has times %s, and node 0 %s", i, got, want)
		}
	}
	last := before.Add(-time.Second)
	for i, at := range ms[0].times {
		if at.Before(last) || at.After(time.Now().Add(time.Second)) {
			t.Errorf("update %d has time %v, after %v", i+1, at, last)
		}
		last = at
		if ms[0].indexes[i] != uint64(i+1) {
			t.Errorf("update %d has index %d", i+1, ms[0].indexes[i])
		}
	}
}
