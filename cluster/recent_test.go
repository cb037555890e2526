package cluster

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/hashicorp/raft"

	"github.com/stateio/stateio/store"
)

// take reads updates up to index last, as "index data".
func take(t *testing.T, n *Node, from, last uint64) (got []string) {
	t.Helper()
	for u, err := range n.Updates(t.Context(), from) {
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, fmt.Sprintf("%d %s", u.Index, u.Data))
		if u.Index >= last {
			break
		}
	}
	return got
}

func TestUpdatesAreTheSameOnAllNodesAndLackWhatWasRefused(t *testing.T) {
	noLeaks(t)
	tr := startTrial(t, 3, nil)
	var want []string
	for i := range 10 {
		u := fmt.Sprintf("set k v%d", i)
		update(t, tr.nodes[i%3], u)
		want = append(want, fmt.Sprintf("%d %s", i+1, u))
		if _, err := tr.nodes[i%3].Update(t.Context(), []byte("refuse")); !errors.Is(err, errRefused) {
			t.Fatal(err)
		}
	}
	for i, n := range tr.nodes {
		if got := take(t, n, 0, 10); !slices.Equal(got, want) {
			t.Errorf("node %d has the updates %q", i, got)
		}
		if got := take(t, n, 7, 8); !slices.Equal(got, want[6:8]) {
			t.Errorf("node %d has the updates %q from 7 to 8", i, got)
		}
	}
	again := tr.follower()
	tr.crash(again)
	if got := take(t, tr.start(again), 1, 10); !slices.Equal(got, want) {
		t.Errorf("after a restart the updates are %q", got)
	}
}

// TestWhatIsKeptKeepsNoWholeEntryInMemory applies an entry with an update and a large one that is
// refused. Only the first is kept.
func TestWhatIsKeptKeepsNoWholeEntryInMemory(t *testing.T) {
	f := newFSM(newLedger(), newOutbox(1, func() *leader { return nil }, nil))
	f.recent.most = 1 << 20
	session, gone := f.table.begin([nonceSize]byte{1}, 0), make(chan struct{})
	apply := func() {
		entry := append(appendEntryHeader(nil, 1), encodeGroup(session, 1,
			encodedUpdate{seq: 1, data: []byte("add x")}, encodedUpdate{seq: 2, data: append([]byte("refuse "), make([]byte, 1<<20)...)})...)
		runtime.AddCleanup(&entry[0], func(gone chan struct{}) { close(gone) }, gone)
		if err := f.applyBatch([]*raft.Log{{Index: 1, Term: 1, Data: entry}}); err != nil {
			t.Fatal(err)
		}
	}
	apply()
	eventually(t, "the entry is gone", func() bool {
		runtime.GC()
		select {
		case <-gone:
			return true
		default:
			return false
		}
	})
	if got, _, err := f.recent.after(1); err != nil || len(got) != 1 || string(got[0].Data) != "add x" {
		t.Errorf("what is kept: %v, %v", got, err)
	}
}

func TestUpdatesWaitForTheNextOneAndEndWithTheContextAndTheNode(t *testing.T) {
	noLeaks(t)
	tr := startTrial(t, 1, nil)
	n := tr.nodes[0]
	ctx, cancel := context.WithCancel(t.Context())
	got, ended := make(chan store.Update), make(chan error, 2)
	follow := func(ctx context.Context, each func(store.Update)) {
		for u, err := range n.Updates(ctx, 2) {
			if err != nil {
				ended <- err
				return
			}
			each(u)
		}
		ended <- nil
	}
	go follow(ctx, func(u store.Update) { got <- u })
	update(t, n, "add x")
	update(t, n, "add y")
	if u := <-got; u.Index != 2 || string(u.Data) != "add y" || u.Time.IsZero() {
		t.Errorf("the update is %+v", u)
	}
	cancel()
	if err := <-ended; err != nil {
		t.Errorf("the end of the context is the error %v", err)
	}
	go follow(t.Context(), func(store.Update) {})
	if err := n.Close(); err != nil {
		t.Fatal(err)
	}
	if err := <-ended; !errors.Is(err, store.ErrClosed) {
		t.Errorf("the end of the node is the error %v", err)
	}
}

func TestUpdatesThatAreNotKeptAreAnError(t *testing.T) {
	tr := startTrial(t, 1, func(_ int, o *Options) { o.KeepUpdates = 3 * (recentOverhead + 100) })
	pad := strings.Repeat("x", 100-len("set k "))
	for range 10 {
		update(t, tr.nodes[0], "set k "+pad)
	}
	if got := take(t, tr.nodes[0], 8, 10); len(got) != 3 {
		t.Errorf("%d updates are there", len(got))
	}
	for _, err := range tr.nodes[0].Updates(t.Context(), 7) {
		if !errors.Is(err, store.ErrNotRetained) || !strings.Contains(err.Error(), "from 8 on") {
			t.Errorf("the error is %v", err)
		}
	}
	update(t, tr.nodes[0], "set k "+strings.Repeat(pad, 100))
	if got := take(t, tr.nodes[0], 11, 11); len(got) != 1 {
		t.Error("the latest update is not there, because it is large")
	}
}

func TestUpdatesEndWhereASnapshotHasTakenTheirPlace(t *testing.T) {
	concurrently(t)
	tr := startTrial(t, 3, small)
	lead, away := tr.leader(), tr.follower()
	update(t, tr.nodes[away], "add x")
	tr.crash(away)
	outrun(t, tr, tr.nodes[lead])
	n := tr.start(away)
	last := tr.nodes[lead].Index()
	update(t, n, "add x")
	for u, err := range n.Updates(t.Context(), 1) {
		if !errors.Is(err, store.ErrNotRetained) {
			t.Fatalf("update %d is there: %v", u.Index, err)
		}
	}
	if got := take(t, n, last+1, last+1); !slices.Equal(got, []string{fmt.Sprintf("%d add x", last+1)}) {
		t.Errorf("after the snapshot the updates are %q", got)
	}
}

func TestWaitIndexWaitsForWhatAnotherNodeWasTold(t *testing.T) {
	noLeaks(t)
	tr := startTrial(t, 3, nil)
	reader, writer := tr.nodes[0], tr.nodes[1]
	waited := make(chan error, 2)
	go func() { waited <- reader.WaitIndex(t.Context(), 3) }()
	for range 3 {
		update(t, writer, "add x")
	}
	if err := <-waited; err != nil {
		t.Fatal(err)
	}
	if err := reader.ViewLocal(func() error {
		if got := tr.machines[0].Sums["x"]; got != 3 {
			return fmt.Errorf("the sum is %d", got)
		}
		return nil
	}); err != nil {
		t.Error(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := reader.WaitIndex(ctx, 4); !errors.Is(err, context.Canceled) {
		t.Errorf("the error is %v", err)
	}
	go func() { waited <- reader.WaitIndex(t.Context(), 4) }()
	tr.stop(0)
	if err := <-waited; !errors.Is(err, store.ErrClosed) {
		t.Errorf("the node is closed, and the error is %v", err)
	}
}

// shouting is a codec that can't read what others wrote.
type shouting struct{}

func (shouting) Append(dst []byte, u string) ([]byte, error) {
	if u == "" {
		return nil, errRefused
	}
	return append(dst, u...), nil
}

func (shouting) Decode(b []byte) (string, error) {
	if string(b) == "add x" {
		return "", errRefused
	}
	return strings.ToUpper(string(b)), nil
}

// Typed updates of a store come with the bytes of a state that was installed, and without a value.
func TestAStateAmongTypedUpdatesIsNotDecoded(t *testing.T) {
	s, err := store.Open(t.TempDir(), newLedger(), &store.Options{Logger: quiet(t)})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	const state = `{"Sums":{"x":7}}`
	if _, err := s.Replace(t.Context(), strings.NewReader(state)); err != nil {
		t.Fatal(err)
	}
	for u, err := range NewTyped[string, any](s, shouting{}).Updates(t.Context(), 1) {
		if string(u.State) != state || u.Value != "" || err != nil {
			t.Errorf("%+v, %v", u, err)
		}
		break
	}
}

func TestTypedUpdatesThatCanNotBeCodedAreErrors(t *testing.T) {
	tr := startTrial(t, 1, nil)
	typed := NewTyped[string, any](tr.nodes[0], shouting{})
	if ticket, err := typed.Submit(""); !errors.Is(err, errRefused) || ticket != nil {
		t.Errorf("what can't be encoded is submitted: %v, %v", ticket, err)
	}
	for _, u := range []string{"add y", "add x"} {
		if _, err := typed.Update(t.Context(), u); err != nil {
			t.Fatal(err)
		}
	}
	var got []string
	for u, err := range typed.Updates(t.Context(), 1) {
		got = append(got, fmt.Sprintf("%d %s %v", u.Index, u.Value, errors.Is(err, errRefused)))
	}
	if want := []string{"1 ADD Y false", "2  true"}; !slices.Equal(got, want) {
		t.Errorf("the updates are %q", got)
	}
	tr.stop(0)
	if ticket, err := typed.Submit("add x"); !errors.Is(err, store.ErrClosed) || ticket != nil {
		t.Errorf("a closed node takes %v, %v", ticket, err)
	}
}
