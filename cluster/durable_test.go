package cluster

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stateio/stateio/durable"
	"github.com/stateio/stateio/store"
)

// The maps and values of package durable on nodes: what that package tests with a log in
// memory, here with the real one.

// A mapTrial is a trial whose nodes have a map each.
type mapTrial struct {
	*trial
	maps [3]atomic.Pointer[durable.Map[string, int]]
}

// newMaps prepares three nodes.
func newMaps(t testing.TB, change func(i int, o *Options)) *mapTrial {
	t.Helper()
	mt := &mapTrial{trial: newTrial(t, 3, change)}
	mt.open = func(i int) (n *Node, err error) {
		m, err := durable.OpenMapOn[string, int](nil, func(m store.Machine) (store.Keeper, error) {
			n, err = Open(mt.path(i), m, mt.opts[i])
			return n, err
		})
		if err != nil {
			return nil, err
		}
		mt.maps[i].Store(m)
		t.Cleanup(func() { _ = m.Close() }) // and the node, which says the same when the trial closes it
		return n, nil
	}
	return mt
}

// startMaps is newMaps, and starts all nodes.
func startMaps(t testing.TB, change func(i int, o *Options)) *mapTrial {
	t.Helper()
	mt := newMaps(t, change)
	for i := range mt.maps {
		mt.start(i)
	}
	return mt
}

func (mt *mapTrial) of(i int) *durable.Map[string, int] { return mt.maps[i].Load() }

// aMinute is what no call of these tests should take.
func aMinute(t testing.TB) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	t.Cleanup(cancel)
	return ctx
}

// add adds 1 to key, in a transaction.
func add(ctx context.Context, m *durable.Map[string, int], key string) error {
	return m.Txn(ctx, func(tx *durable.Tx[string, int]) error {
		n, _ := tx.Get(key)
		tx.Put(key, n+1)
		return nil
	})
}

func putIn(t testing.TB, m *durable.Map[string, int], key string, n int) {
	t.Helper()
	if err := m.Put(aMinute(t), key, n); err != nil {
		t.Fatal(err)
	}
}

// latest returns the value of key, linearizably.
func latest(t testing.TB, m *durable.Map[string, int], key string) int {
	t.Helper()
	v, err := m.Latest(aMinute(t))
	if err != nil {
		t.Fatal(err)
	}
	n, _ := v.Get(key)
	return n
}

// sameMaps fails unless all maps that are open are equal.
func (mt *mapTrial) sameMaps() {
	mt.t.Helper()
	var first string
	for i, n := range mt.nodes {
		if n == nil {
			continue
		}
		v, err := mt.of(i).Latest(aMinute(mt.t))
		if err != nil {
			mt.t.Fatal(err)
		}
		var b bytes.Buffer
		if err := v.ExportJSONL(&b); err != nil {
			mt.t.Fatal(err)
		}
		if first == "" {
			first = b.String()
		}
		if b.String() != first {
			mt.t.Errorf("node %d has\n%s\nand the first one\n%s", i, b.String(), first)
		}
	}
}

// additions count what came of them.
type additions struct{ made, unknown atomic.Int64 }

// addOn adds on node i until there are enough, or the node is closed.
func (a *additions) addOn(t testing.TB, mt *mapTrial, i, enough int, half func()) {
	for range enough {
		err := add(aMinute(t), mt.of(i), "sum")
		switch {
		case err == nil:
			if a.made.Add(1) == int64(enough) {
				half()
			}
		case errors.Is(err, store.ErrUnknown):
			a.unknown.Add(1)
		case errors.Is(err, store.ErrClosed):
			return
		default:
			t.Errorf("node %d: %v", i, err)
			return
		}
	}
}

// Transactions on all nodes that add to the same number add up, while the lead changes, and
// a watcher on a follower sees each addition.
func TestTransactionsOnThreeNodesAddUp(t *testing.T) {
	noLeaks(t)
	mt := startMaps(t, nil)
	const workers, each = 3, 30
	var a additions
	var wg sync.WaitGroup
	wg.Go(func() { watchSum(t, mt.of(mt.follower()), 3*workers*each) })
	for i := range mt.maps {
		for range workers {
			wg.Go(func() {
				a.addOn(t, mt, i, each, func() {
					if err := mt.nodes[0].Transfer(aMinute(t)); err != nil {
						t.Error(err)
					}
				})
			})
		}
	}
	wg.Wait()
	if a.made.Load() != 3*workers*each {
		t.Errorf("%d additions were made, and %d may have been", a.made.Load(), a.unknown.Load())
	}
	for i := range mt.maps {
		if got := latest(t, mt.of(i), "sum"); got != 3*workers*each {
			t.Errorf("node %d has the sum %d", i, got)
		}
	}
	mt.sameMaps()
}

// watchSum sees the sum go up by 1 with each change, until it is n.
func watchSum(t *testing.T, m *durable.Map[string, int], n int) {
	last := 0
	for c, err := range m.Watch(t.Context(), 1, nil) {
		if err != nil {
			t.Error(err)
			return
		}
		if c.Key != "sum" || c.Value != last+1 || c.Index != uint64(c.Value) {
			t.Errorf("after %d comes %+v", last, c)
		}
		if last = c.Value; last == n {
			return
		}
	}
	t.Errorf("the watcher saw the sum up to %d", last)
}

// When the leader dies in the middle, what was acknowledged is counted, and of what is
// unknown each at most once.
func TestTransactionsAddUpWhenTheLeaderDies(t *testing.T) {
	concurrently(t)
	mt := startMaps(t, nil)
	const workers, each = 3, 30
	lead := mt.leader()
	var a additions
	var wg sync.WaitGroup
	for i := range mt.maps {
		for range workers {
			wg.Go(func() { a.addOn(t, mt, i, each, func() { mt.crash(lead) }) })
		}
	}
	wg.Wait()
	mt.start(lead)
	made, unknown := int(a.made.Load()), int(a.unknown.Load())
	for i := range mt.maps {
		if got := latest(t, mt.of(i), "sum"); got < made || got > made+unknown {
			t.Errorf("node %d has the sum %d: %d were acknowledged, and %d are unknown", i, got, made, unknown)
		}
	}
	if made < 2*workers*each {
		t.Errorf("only %d additions were made, of %d on the two nodes that stayed", made, 2*workers*each)
	}
	mt.sameMaps()
}

// What is written on one node is read on any other.
func TestLatestIsTheLatestOnEveryNode(t *testing.T) {
	mt := startMaps(t, nil)
	for i := range 30 {
		putIn(t, mt.of(i%3), "a", i)
		if n, _ := mt.of(i % 3).Get("a"); n != i {
			t.Fatalf("a node does not see its own write: %d, not %d", n, i)
		}
		if n := latest(t, mt.of((i+1)%3), "a"); n != i {
			t.Fatalf("another node sees %d, not %d", n, i)
		}
	}
}

// A node that was away gets the map as a snapshot, with what judges transactions, and an
// index of the map follows.
func TestAMapComesAsASnapshot(t *testing.T) {
	concurrently(t)
	mt := startMaps(t, small)
	lead, away := mt.leader(), mt.follower()
	putIn(t, mt.of(away), "sum", 1)
	mt.crash(away)
	pad := strings.Repeat("k", 1000)
	for i := range 450 {
		putIn(t, mt.of(lead), fmt.Sprint(pad, i%50), i)
		if i%150 != 149 {
			continue
		}
		for j, n := range mt.nodes {
			if j == away {
				continue
			}
			if err := n.Snapshot(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
	}
	n := mt.start(away)
	m := mt.of(away)
	byValue := durable.NewIndex(m, func(_ string, n int) []int { return []int{n} })
	v, err := m.Latest(aMinute(t))
	if err != nil {
		t.Fatal(err)
	}
	if n.fsm.restores.Load() == 0 {
		t.Error("no snapshot was restored: this tests nothing")
	}
	if v.Index() != 451 {
		t.Errorf("the index is %d", v.Index())
	}
	found := 0
	for range byValue.Range(400, 450) {
		found++
	}
	if found != 50 {
		t.Errorf("%d keys are found by their value", found)
	}
	for i := range mt.maps {
		if err := add(aMinute(t), mt.of(i), "sum"); err != nil {
			t.Fatal(err)
		}
	}
	if got := latest(t, m, "sum"); got != 4 {
		t.Errorf("the sum is %d", got)
	}
	mt.sameMaps()
}

// Keys are deleted when their time has come, on all nodes, by one update.
func TestKeysAreDeletedOnAllNodes(t *testing.T) {
	mt := startMaps(t, nil)
	ctx := aMinute(t)
	if err := mt.of(mt.follower()).PutTTL(ctx, "a", 1, 10*time.Millisecond); err != nil {
		t.Fatal(err)
	}
	for i := range mt.maps {
		for c, err := range mt.of(i).Watch(ctx, 2, nil) {
			if err != nil || !c.Deleted || c.Key != "a" {
				t.Errorf("node %d: %+v, %v", i, c, err)
			}
			break
		}
		if mt.of(i).Has("a") {
			t.Errorf("node %d has it", i)
		}
	}
	putIn(t, mt.of(0), "b", 1)
	if got := mt.nodes[0].Index(); got != 3 {
		t.Errorf("%d updates were made", got)
	}
}

// The map of a store becomes that of a cluster, and back.
func TestTheMapOfAStoreBecomesThatOfACluster(t *testing.T) {
	opts := &durable.MapOptions[string, int]{Store: store.Options{Logger: quiet(t)}}
	s, err := durable.OpenMap(filepath.Join(t.TempDir(), "store"), opts)
	if err != nil {
		t.Fatal(err)
	}
	for i := range 7 {
		putIn(t, s, "sum", i+1)
	}
	var b bytes.Buffer
	if _, err := s.Store().Backup(t.Context(), &b); err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	mt := newMaps(t, nil)
	joining(mt.trial)
	if err := Import(t.Context(), mt.path(0), bytes.NewReader(b.Bytes()), int64(b.Len()), mt.opts[0]); err != nil {
		t.Fatal(err)
	}
	for i := range mt.maps {
		mt.start(i)
		voters(t, mt.nodes[0], i+1)
		if err := add(aMinute(t), mt.of(i), "sum"); err != nil {
			t.Fatal(err)
		}
	}
	v, err := mt.of(1).Latest(aMinute(t))
	if err != nil {
		t.Fatal(err)
	}
	if n, _ := v.Get("sum"); n != 10 || v.Index() != 10 {
		t.Errorf("the sum is %d, after update %d", n, v.Index())
	}
	mt.sameMaps()

	b.Reset()
	if _, err := mt.nodes[1].Backup(t.Context(), &b); err != nil {
		t.Fatal(err)
	}
	dir := filepath.Join(t.TempDir(), "back")
	if err := store.Import(dir, bytes.NewReader(b.Bytes()), int64(b.Len())); err != nil {
		t.Fatal(err)
	}
	s, err = durable.OpenMap(dir, opts)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if err := add(t.Context(), s, "sum"); err != nil {
		t.Fatal(err)
	}
	if n, _ := s.Get("sum"); n != 11 {
		t.Errorf("back in a store, the sum is %d", n)
	}
}

// Updates of a value on all nodes follow one another.
func TestAValueOnThreeNodes(t *testing.T) {
	concurrently(t)
	tr := newTrial(t, 3, nil)
	var values [3]*durable.Value[[]int]
	tr.open = func(i int) (n *Node, err error) {
		values[i], err = durable.OpenValueOn([]int(nil), nil, func(m store.Machine) (store.Keeper, error) {
			n, err = Open(tr.path(i), m, tr.opts[i])
			return n, err
		})
		return n, err
	}
	for i := range values {
		tr.start(i)
	}
	const each = 30
	var wg sync.WaitGroup
	for _, v := range values {
		wg.Go(func() {
			for range each {
				err := v.Update(aMinute(t), func(list *[]int) error { *list = append(*list, len(*list)); return nil })
				if err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	for i, v := range values {
		if err := v.Sync(aMinute(t)); err != nil {
			t.Fatal(err)
		}
		list := v.Get()
		if len(list) != 3*each {
			t.Errorf("node %d has %d updates", i, len(list))
		}
		for at, n := range list {
			if at != n {
				t.Fatalf("node %d has %v", i, list)
			}
		}
	}
	saw := -1
	if err := values[0].Update(aMinute(t), func(list *[]int) error { saw = len(*list); return nil }); err != nil || saw != 3*each {
		t.Errorf("an update that changes nothing saw %d, %v", saw, err)
	}
}

// Without a majority, what would have to be the latest is an error, and what is here can be
// read.
func TestAMapWithoutAMajority(t *testing.T) {
	concurrently(t)
	mt := startMaps(t, nil)
	putIn(t, mt.of(0), "a", 1)
	left := mt.leader()
	for i := range mt.maps {
		if err := mt.of(i).Sync(aMinute(t)); err != nil {
			t.Fatal(err)
		}
	}
	for i := range mt.maps {
		if i != left {
			mt.crash(i)
		}
	}
	m := mt.of(left)
	eventually(t, "the leader notices", func() bool { return mt.nodes[left].Status().Leader == "" })
	shortly := func() context.Context {
		ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
		t.Cleanup(cancel)
		return ctx
	}
	if _, err := m.Latest(shortly()); !errors.Is(err, ErrNoQuorum) {
		t.Errorf("Latest: %v", err)
	}
	calls := 0
	err := m.Txn(shortly(), func(tx *durable.Tx[string, int]) error { calls++; tx.Get("a"); return nil })
	if !errors.Is(err, ErrNoQuorum) || calls != 1 {
		t.Errorf("a transaction that only reads, after %d calls: %v", calls, err)
	}
	if err := m.Put(shortly(), "a", 2); !errors.Is(err, ErrNoQuorum) {
		t.Errorf("Put: %v", err)
	}
	if n, ok := m.Get("a"); !ok || n != 1 || m.View().Index() != 1 {
		t.Errorf("Get: %d, %v", n, ok)
	}
}
