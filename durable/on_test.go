package durable_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stateio/stateio/durable"
	"github.com/stateio/stateio/store"
)

// What is read by a transaction that is begun in an old state is judged where it is made.
func TestATransactionIsMadeAgainIfWhatItReadIsOld(t *testing.T) {
	others := map[string]func(t *testing.T, m *durable.Map[string, int]){
		"put 05":    func(t *testing.T, m *durable.Map[string, int]) { put(t, m, "05", 50) },
		"delete 05": func(t *testing.T, m *durable.Map[string, int]) { remove(t, m, "05") },
		"put 055":   func(t *testing.T, m *durable.Map[string, int]) { put(t, m, "055", 1) },
		"put 95":    func(t *testing.T, m *durable.Map[string, int]) { put(t, m, "95", 1) },
		"txn 05": func(t *testing.T, m *durable.Map[string, int]) {
			txn(t, m, func(tx *intTx) error { tx.Put("00", 1); tx.Put("05", 1); return nil })
		},
		"import 05": func(t *testing.T, m *durable.Map[string, int]) {
			if _, err := m.ImportJSONL(t.Context(), strings.NewReader(`{"key":"05","value":7}`)); err != nil {
				t.Fatal(err)
			}
		},
		"nothing": func(*testing.T, *durable.Map[string, int]) {},
	}
	for _, c := range []struct {
		name  string
		reads func(tx *intTx)
		again string // the changes by others after which it is made again
	}{
		{"Get 05", func(tx *intTx) { tx.Get("05") }, "put 05, delete 05, txn 05, import 05"},
		{"Get 055", func(tx *intTx) { tx.Get("055") }, "put 055"},
		{"Has 00", func(tx *intTx) { tx.Has("00") }, "txn 05"},
		{"Delete 05", func(tx *intTx) { tx.Delete("05") }, "put 05, delete 05, txn 05, import 05"},
		{"Range 04 to 05", func(tx *intTx) { pairs(tx.Range("04", "05")) }, ""},
		{"Range 04 to 06", func(tx *intTx) { pairs(tx.Range("04", "06")) }, "put 05, delete 05, put 055, txn 05, import 05"},
		{"From 06", func(tx *intTx) { pairs(tx.From("06")) }, "put 95"},
		{"All", func(tx *intTx) { pairs(tx.All()) }, "put 05, delete 05, put 055, put 95, txn 05, import 05"},
		{"Len", func(tx *intTx) { tx.Len() }, "put 05, delete 05, put 055, put 95, txn 05, import 05"},
		{"All up to 04", func(tx *intTx) {
			for key := range tx.All() {
				if key == "04" {
					break
				}
			}
		}, "txn 05"},
		{"From 05 up to it", func(tx *intTx) {
			for range tx.From("05") {
				break
			}
		}, "put 05, delete 05, txn 05, import 05"},
		{"nothing", func(*intTx) {}, ""},
		{"what it has put", func(tx *intTx) { tx.Put("05", 1); tx.Get("05") }, ""},
	} {
		for other, change := range others {
			t.Run(c.name+" and "+other, func(t *testing.T) {
				cast := newCast()
				m, r := joinMap[string, int](t, cast, nil)
				o, ro := joinMap[string, int](t, cast, nil)
				for i := range 10 {
					put(t, m, number(i), i)
				}
				if err := o.Sync(t.Context()); err != nil {
					t.Fatal(err)
				}
				change(t, o)
				tries := 0
				txn(t, m, func(tx *intTx) error {
					c.reads(tx)
					tries++
					tx.Put("made", tries)
					return nil
				})
				want := 1
				for name := range strings.SplitSeq(c.again, ", ") {
					if name == other {
						want = 2
					}
				}
				expect(t, "calls", tries, want)
				alike(t, r, ro)
			})
		}
	}
}

func remove(t testing.TB, m *durable.Map[string, int], key string) {
	t.Helper()
	if _, err := m.Delete(t.Context(), key); err != nil {
		t.Fatal(err)
	}
}

// Transactions that add to a few numbers, on all replicas at once, add up.
func TestTransactionsOnAllReplicasAddUp(t *testing.T) {
	cast := newCast()
	const replicas, workers, each, keys = 3, 4, 50, 3
	var maps []*durable.Map[string, int]
	var rs []*replica
	for range replicas {
		m, r := joinMap[string, int](t, cast, nil)
		maps, rs = append(maps, m), append(rs, r)
	}
	var wg sync.WaitGroup
	for i, m := range maps {
		for w := range workers {
			wg.Go(func() {
				for n := range each {
					key := number((i + w + n) % keys)
					err := m.Txn(t.Context(), func(tx *intTx) error {
						v, _ := tx.Get(key)
						tx.Put(key, v+1)
						return nil
					})
					if err != nil {
						t.Error(err)
					}
				}
			})
		}
	}
	wg.Wait()
	alike(t, rs...)
	sum := 0
	for _, n := range maps[0].All() {
		sum += n
	}
	expect(t, "the sum", sum, replicas*workers*each)
	if got := rs[0].index; got != replicas*workers*each {
		t.Errorf("%d updates were applied", got)
	}
}

// A transaction that changes nothing has read the latest state, wherever it was made.
func TestATransactionThatOnlyReadsSeesTheLatest(t *testing.T) {
	cast := newCast()
	m, _ := joinMap[string, int](t, cast, nil)
	o, _ := joinMap[string, int](t, cast, nil)
	put(t, o, "a", 1)
	saw, tries := 0, 0
	txn(t, m, func(tx *intTx) error { tries++; saw, _ = tx.Get("a"); return nil })
	if saw != 1 || tries != 2 {
		t.Errorf("it saw %d, after %d calls", saw, tries)
	}
	tries = 0
	txn(t, m, func(tx *intTx) error { tries++; tx.Get("a"); return nil })
	expect(t, "calls when nothing has changed", tries, 1)

	put(t, o, "a", 2)
	refusal := errors.New("not enough")
	err := m.Txn(t.Context(), func(tx *intTx) error {
		if saw, _ = tx.Get("a"); saw < 2 {
			return refusal
		}
		return nil
	})
	if err != nil {
		t.Errorf("it was refused for what is not so any more: %v", err)
	}
	if err := m.Txn(t.Context(), func(tx *intTx) error { tx.Put("x", 1); return refusal }); err != refusal {
		t.Errorf("the error is %v, not that of the function", err)
	}
	if m.Has("x") {
		t.Error("it was made, though refused")
	}
}

// Reading is that of the replica, unless the latest is asked for.
func TestLatestAndSyncSeeWhatOthersHaveMade(t *testing.T) {
	cast := newCast()
	m, _ := joinMap[string, int](t, cast, nil)
	o, _ := joinMap[string, int](t, cast, nil)
	put(t, o, "a", 1)
	if m.Has("a") {
		t.Fatal("the replica did not lag, so this test shows nothing")
	}
	v, err := m.Latest(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	expect(t, "the latest", pairs(v.All()), []string{"a=1"})
	expect(t, "its index", v.Index(), 1)
	put(t, o, "b", 2)
	expect(t, "without asking", m.Has("b"), false)
	if err := m.Sync(t.Context()); err != nil {
		t.Fatal(err)
	}
	expect(t, "after Sync", pairs(m.Range("b", "c")), []string{"b=2"})
	put(t, m, "c", 3)
	expect(t, "its own", m.Has("c"), true)
}

// A replica that was given the state as a snapshot judges as the others do, and knows its
// index.
func TestAReplicaThatGotASnapshotJudgesAlike(t *testing.T) {
	cast := newCast()
	m, r := joinMap[string, int](t, cast, nil)
	o, ro := joinMap[string, int](t, cast, nil)
	late, rl := joinMap[string, int](t, cast, nil)
	byHalf := durable.NewIndex(late, func(_ string, n int) []int { return []int{n / 2} })
	for i := range 10 {
		put(t, m, number(i), i)
	}
	for _, behind := range []*durable.Map[string, int]{o, late} {
		if err := behind.Sync(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	put(t, m, "03", 30)
	rl.install(t, r)
	if _, ok := late.Get("03"); !ok || late.View().Index() != 11 {
		t.Fatalf("after the snapshot of update 11, the index is %d", late.View().Index())
	}
	expect(t, "by index", pairs(byHalf.Get(15)), []string{"03=30"})
	for _, key := range []string{"03", "04"} { // one that was changed before the snapshot, one that was not
		txn(t, o, func(tx *intTx) error {
			n, _ := tx.Get(key)
			tx.Put(key, n+1)
			return nil
		})
	}
	expect(t, "entries, of which one was refused", cast.len(), 14)
	alike(t, r, ro, rl)
	next := late.View().Index() + 1
	put(t, m, "new", 1)
	if err := late.Sync(t.Context()); err != nil {
		t.Fatal(err)
	}
	for c, err := range late.Watch(t.Context(), next, nil) {
		if err != nil {
			t.Fatal(err)
		}
		expect(t, "the change after the view", text(c), "14 new=1")
		break
	}
	for _, err := range late.Watch(t.Context(), 11, nil) {
		if !errors.Is(err, store.ErrNotRetained) {
			t.Errorf("watching from before the snapshot: %v", err)
		}
		break
	}
}

// A state that is moved to a new cluster, where indexes begin anew, is judged there.
func TestAStateMovesToWhereIndexesBeginAnew(t *testing.T) {
	m, r := joinMap[string, int](t, newCast(), nil)
	for i := range 10 {
		put(t, m, number(i), i)
	}
	cast := newCast()
	a, ra := joinMap[string, int](t, cast, nil)
	b, rb := joinMap[string, int](t, cast, nil)
	for _, moved := range []*replica{ra, rb} {
		moved.install(t, r)
		moved.applied, moved.index, moved.base = 0, 0, 0
	}
	add := func(m *durable.Map[string, int]) (tries int) {
		txn(t, m, func(tx *intTx) error {
			tries++
			n, _ := tx.Get("03")
			tx.Put("03", n+1)
			return nil
		})
		return tries
	}
	expect(t, "the first, which has no conflict", add(a), 1)
	expect(t, "one on a replica that lags", add(b), 2)
	n, _ := b.Get("03")
	expect(t, "the sum", n, 5)
	alike(t, ra, rb)
}

// A backup of a store, which has no history, becomes the state of a cluster, and back.
func TestTheMapOfAStoreBecomesThatOfAClusterAndBack(t *testing.T) {
	plain := durable.NewMachine[string, int](nil)
	dir := t.TempDir()
	s := openMap[string, int](t, dir, nil)
	put(t, s, "a", 1)
	if err := s.Store().Snapshot(t.Context()); err != nil {
		t.Fatal(err)
	}
	closeIt(t, s)
	if err := store.RestoreAt(t.Context(), dir, plain, 1, nil); err != nil {
		t.Fatal(err)
	}
	cast := newCast()
	from := cast.join(plain)
	m, r := joinMap[string, int](t, cast, nil)
	r.install(t, from)
	txn(t, m, func(tx *intTx) error { n, _ := tx.Get("a"); tx.Put("a", n+1); return nil })
	n, _ := m.Get("a")
	expect(t, "in the cluster", n, 2)

	back := newCast().join(nil)
	_, err := durable.OpenMapOn[string, int](nil, func(m store.Machine) (store.Keeper, error) {
		back.m = m
		back.install(t, r)
		return store.OpenMemory(m, &quiet)
	})
	if err != nil {
		t.Fatal(err)
	}
}

func TestAMapOnAStoreIsAMap(t *testing.T) {
	m, err := durable.OpenMapOn[string, int](nil, func(m store.Machine) (store.Keeper, error) {
		return store.OpenMemory(m, &quiet)
	})
	if err != nil {
		t.Fatal(err)
	}
	defer closeIt(t, m)
	if m.Store() == nil || m.Keeper() != store.Keeper(m.Store()) {
		t.Fatalf("its store is %v", m.Store())
	}
	txn(t, m, func(tx *intTx) error { tx.Has("a"); tx.Put("a", 1); return nil })
	v, err := m.Latest(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	expect(t, "the latest", pairs(v.All()), []string{"a=1"})
	for u, err := range m.Store().Updates(t.Context(), 1) {
		if err != nil {
			t.Fatal(err)
		}
		if strings.Contains(string(u.Data), "\x01\x01a\x00") {
			t.Errorf("the log of a store says what was read: %q", u.Data)
		}
		break
	}
}

func TestOpeningOnNothing(t *testing.T) {
	broken := errors.New("no network")
	for _, want := range []error{broken, nil} {
		m, err := durable.OpenMapOn[string, int](nil, func(store.Machine) (store.Keeper, error) { return nil, want })
		if m != nil || err == nil || want != nil && err != want {
			t.Errorf("a map: %v, %v", m, err)
		}
		v, err := durable.OpenValueOn(1, nil, func(store.Machine) (store.Keeper, error) { return nil, want })
		if v != nil || err == nil || want != nil && err != want {
			t.Errorf("a value: %v, %v", v, err)
		}
	}
}

// What a codec can't read back does not come into the log, where it would stop all nodes.
func TestWhatCanNotBeReadBackIsRefusedBefore(t *testing.T) {
	cast := newCast()
	m, _ := joinMap(t, cast, &durable.MapOptions[string, any]{Codec: onceJSON{}})
	if err := m.Put(t.Context(), "a", 1); err == nil {
		t.Error("Put has taken it")
	}
	if err := m.Txn(t.Context(), func(tx *durable.Tx[string, any]) error { tx.Put("a", 1); return nil }); err == nil {
		t.Error("Txn has taken it")
	}
	v, err := durable.OpenValueOn[any](nil, &durable.ValueOptions[any]{Codec: halfJSON{}}, func(m store.Machine) (store.Keeper, error) {
		return cast.join(m), nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := v.Update(t.Context(), func(v *any) error { *v = "unreadable"; return nil }); err == nil {
		t.Error("Update has taken it")
	}
	expect(t, "entries", cast.len(), 0)
}

// halfJSON is a codec that can't read a value that it has written.
type halfJSON struct{ store.JSON[any] }

func (c halfJSON) Decode(b []byte) (any, error) {
	if string(b) == `"unreadable"` {
		return nil, errors.New("unreadable")
	}
	return c.JSON.Decode(b)
}

// An update that a newer program has made stops a replica, since others have applied it.
// From a store, it is an error.
func TestAnUpdateThatCanNotBeReadStopsAReplica(t *testing.T) {
	newer := []byte{0xe0, 1, 2} // version 7
	for name, open := range map[string]func(func(store.Machine) (store.Keeper, error)) error{
		"map": func(open func(store.Machine) (store.Keeper, error)) error {
			_, err := durable.OpenMapOn[string, int](nil, open)
			return err
		},
		"value": func(open func(store.Machine) (store.Keeper, error)) error {
			_, err := durable.OpenValueOn(1, nil, open)
			return err
		},
	} {
		t.Run(name, func(t *testing.T) {
			cast := newCast()
			var r *replica
			if err := open(func(m store.Machine) (store.Keeper, error) { r = cast.join(m); return r, nil }); err != nil {
				t.Fatal(err)
			}
			stopped := func() (v any) {
				defer func() { v = recover() }()
				_ = r.catchUp(cast.append(newer))
				return nil
			}()
			if err, ok := stopped.(error); !ok || !strings.Contains(err.Error(), "can't read update 1") {
				t.Errorf("the replica goes on: %v", stopped)
			}
			err := open(func(m store.Machine) (store.Keeper, error) {
				r = cast.join(m)
				return r, r.catchUp(1)
			})
			if err == nil || !strings.Contains(err.Error(), "can't read update 1") {
				t.Errorf("a keeper that replays while it is opened: %v", err)
			}
		})
	}
}

// A transaction that loses again and again ends with its context.
func TestATransactionInConflictEndsWithItsContext(t *testing.T) {
	cast := newCast()
	m, _ := joinMap[string, int](t, cast, nil)
	o, _ := joinMap[string, int](t, cast, nil)
	ctx, cancel := context.WithCancel(t.Context())
	tries := 0
	err := m.Txn(ctx, func(tx *intTx) error {
		tx.Get("a")
		put(t, o, "a", tries) // on another node, which no gate keeps
		if tries++; tries == 10 {
			cancel()
		}
		tx.Put("b", 1)
		return nil
	})
	if !errors.Is(err, context.Canceled) || m.Has("b") {
		t.Errorf("after %d tries: %v", tries, err)
	}
	if err := m.Put(t.Context(), "c", 1); err != nil { // the gate is open again
		t.Error(err)
	}
}

// A transaction that has read very much counts as having read everything.
func TestATransactionThatReadsVeryMuch(t *testing.T) {
	cast := newCast()
	m, r := joinMap[string, int](t, cast, nil)
	o, ro := joinMap[string, int](t, cast, nil)
	put(t, o, "elsewhere", 1)
	tries := 0
	txn(t, m, func(tx *intTx) error {
		tries++
		for i := range 20000 {
			tx.Has(fmt.Sprint("a key of some length ", i))
		}
		tx.Put("a", 1)
		return nil
	})
	expect(t, "calls", tries, 2)
	if n := len(cast.entries[cast.len()-1].data); n > 1000 {
		t.Errorf("the update has %d bytes", n)
	}
	alike(t, r, ro)
}

// Keys are deleted by the clock of the log, once, whichever replica finds it out.
func TestKeysAreDeletedByTheClockOfTheLog(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cast := newCast()
		m, r := joinMap[string, int](t, cast, nil)
		o, ro := joinMap[string, int](t, cast, nil)
		putTTL(t, m, "a", 1, time.Minute)
		putTTL(t, m, "b", 1, time.Hour)
		if err := o.Sync(t.Context()); err != nil {
			t.Fatal(err)
		}
		time.Sleep(2 * time.Minute) // of the bubble; the clock of the log stands still
		synctest.Wait()
		if !m.Has("a") || !o.Has("a") {
			t.Error("a key was deleted before its time, by the clock of the log")
		}
		if n := cast.len(); n > 2000 {
			t.Errorf("%d entries were made of it", n)
		}
		cast.mu.Lock()
		cast.now = time.Now()
		cast.mu.Unlock()
		time.Sleep(2 * time.Second)
		synctest.Wait()
		alike(t, r, ro)
		expect(t, "what is left", pairs(m.All()), []string{"b=1"})
		expect(t, "updates", r.index, 3)
		for c, err := range m.Watch(t.Context(), 3, nil) {
			if err != nil {
				t.Fatal(err)
			}
			expect(t, "the last one", text(c), "3 a deleted")
			break
		}
		closeIt(t, m)
		closeIt(t, o)
	})
}
