package durable_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"math"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stateio/stateio/durable"
	"github.com/stateio/stateio/store"
)

// putTTL sets a value that is to be deleted.
func putTTL(t testing.TB, m *durable.Map[string, int], key string, value int, ttl time.Duration) {
	t.Helper()
	if err := m.PutTTL(t.Context(), key, value, ttl); err != nil {
		t.Fatal(err)
	}
}

// waitFor waits until m has had so many updates.
func waitFor(t testing.TB, m *durable.Map[string, int], updates uint64) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	for c, err := range m.Watch(ctx, updates, nil) {
		if err != nil || !c.Deleted {
			t.Fatalf("update %d: %s, %v", updates, text(c), err)
		}
		if !c.More {
			return
		}
	}
	t.Fatalf("update %d was not made", updates)
}

func TestKeysAreDeletedWhenTheirTimeHasCome(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := openMap[string, int](t, t.TempDir(), nil)
		put(t, m, "stays", 1)
		putTTL(t, m, "hour", 2, time.Hour)
		putTTL(t, m, "minute", 3, time.Minute)
		putTTL(t, m, "put again", 4, time.Minute)
		put(t, m, "put again", 5)
		putTTL(t, m, "longer", 6, time.Minute)
		putTTL(t, m, "longer", 7, 2*time.Hour)
		txn(t, m, func(tx *intTx) error {
			tx.PutTTL("a", 8, time.Minute)
			tx.Put("b", 8)
			return nil
		})
		at, ok := m.Deadline("minute")
		if left := time.Until(at); !ok || left > time.Minute || left < 59*time.Second {
			t.Errorf("minute is deleted at %v, %v", at, ok)
		}
		if _, ok := m.Deadline("stays"); ok {
			t.Error("what stays has a deadline")
		}
		time.Sleep(61 * time.Second) // of the bubble
		waitFor(t, m, 9)
		expect(t, "after a minute", pairs(m.All()), []string{"b=8", "hour=2", "longer=7", "put again=5", "stays=1"})
		time.Sleep(time.Hour)
		waitFor(t, m, 10)
		expect(t, "after an hour", pairs(m.All()), []string{"b=8", "longer=7", "put again=5", "stays=1"})
		time.Sleep(time.Hour)
		waitFor(t, m, 11)
		expect(t, "after two", pairs(m.All()), []string{"b=8", "put again=5", "stays=1"})
		closeIt(t, m)
	})
}

// A view has the deadlines of its moment, like the values.
func TestAViewKeepsItsDeadlines(t *testing.T) {
	m := openMap[string, int](t, t.TempDir(), nil)
	none := m.View()
	put(t, m, "stays", 1)
	putTTL(t, m, "ends", 2, time.Hour)
	v := m.View()
	want, _ := m.Deadline("ends")
	put(t, m, "ends", 3)
	putTTL(t, m, "stays", 4, time.Minute)
	if at, ok := v.Deadline("ends"); !ok || !at.Equal(want) {
		t.Errorf("ends at %v, %v, want %v", at, ok, want)
	}
	for _, key := range []string{"stays", "never there"} {
		if at, ok := v.Deadline(key); ok {
			t.Errorf("%s ends at %v", key, at)
		}
	}
	if at, ok := none.Deadline("ends"); ok {
		t.Errorf("in a view of before, it ends at %v", at)
	}
	f := openMap[float64, int](t, t.TempDir(), nil)
	if err := f.PutTTL(t.Context(), 1, 1, time.Hour); err != nil {
		t.Fatal(err)
	}
	if _, ok := f.View().Deadline(math.NaN()); ok {
		t.Error("NaN has a deadline")
	}
}

// A commit has the time of its first update. One that joins it a while later lives as long as
// it was asked to all the same, also when the log is replayed.
func TestATimeToLiveBeginsNoSoonerThanItIsAskedFor(t *testing.T) {
	const ttl = 3 * time.Second
	asks := map[string]func(*durable.Map[string, int], context.Context) error{
		"PutTTL": func(m *durable.Map[string, int], ctx context.Context) error { return m.PutTTL(ctx, "lease", 1, ttl) },
		"Txn": func(m *durable.Map[string, int], ctx context.Context) error {
			return m.Txn(ctx, func(tx *intTx) error {
				tx.PutTTL("lease", 1, ttl)
				time.Sleep(time.Second) // of the bubble: the time begins with the end of the transaction
				tx.Put("other", 3)
				return nil
			})
		},
	}
	for name, ask := range asks {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				dir := t.TempDir()
				opts := &durable.MapOptions[string, int]{Store: quiet}
				opts.Store.SyncInterval = time.Minute
				m, err := durable.OpenMap(dir, opts)
				if err != nil {
					t.Fatal(err)
				}
				put(t, m, "first", 1)
				var wg sync.WaitGroup
				wg.Go(func() { put(t, m, "other", 2) }) // begins a batch
				synctest.Wait()
				time.Sleep(30 * time.Second)
				var asked time.Time
				wg.Go(func() {
					if err := ask(m, t.Context()); err != nil {
						t.Error(err)
					}
				})
				if name == "Txn" {
					time.Sleep(time.Second)
				}
				asked = time.Now()
				synctest.Wait()
				at, ok := m.Deadline("lease")
				if !ok || at.Before(asked.Add(ttl)) || at.After(asked.Add(ttl+time.Second)) {
					t.Errorf("asked for at %v, to be deleted at %v, %v", asked, at, ok)
				}
				if err := m.Sync(t.Context()); err != nil {
					t.Fatal(err)
				}
				wg.Wait()
				closeIt(t, m)
				m = openMap[string, int](t, dir, nil)
				if again, ok := m.Deadline("lease"); !ok || !again.Equal(at) {
					t.Errorf("a replay has it deleted at %v, %v, not at %v", again, ok, at)
				}
				closeIt(t, m)
			})
		})
	}
}

// Deadlines are kept in the log and in snapshots, and what falls due in between is
// deleted when the map is opened.
func TestDeadlinesSurvive(t *testing.T) {
	for _, snapshot := range []bool{false, true} {
		dir := t.TempDir()
		m := openMap[string, int](t, dir, nil)
		putTTL(t, m, "day", 1, 24*time.Hour)
		putTTL(t, m, "now", 2, 10*time.Millisecond)
		at, _ := m.Deadline("day")
		soon, there := m.Deadline("now")
		closeIt(t, m)
		m = openMap[string, int](t, dir, nil)
		if snapshot {
			if err := m.Store().Snapshot(t.Context()); err != nil {
				t.Fatal(err)
			}
			closeIt(t, m)
			m = openMap[string, int](t, dir, nil)
		}
		waitFor(t, m, 3)
		if there && time.Now().Before(soon) {
			t.Errorf("a key was deleted %v before its time", time.Until(soon))
		}
		expect(t, "all", pairs(m.All()), []string{"day=1"})
		if again, ok := m.Deadline("day"); !ok || !again.Equal(at) {
			t.Errorf("the deadline was %v, and is %v, %v", at, again, ok)
		}
		closeIt(t, m)
	}
}

// More keys than are deleted at a time are all deleted.
func TestManyKeysFallDueAtOnce(t *testing.T) {
	m := openMap[string, int](t, t.TempDir(), nil)
	txn(t, m, func(tx *intTx) error {
		for i := range 2500 {
			tx.PutTTL(strings.Repeat("x", i), i, time.Nanosecond)
		}
		return nil
	})
	for next := uint64(2); m.Len() > 0; next++ {
		waitFor(t, m, next)
	}
	if n := m.View().Index(); n < 1+3 {
		t.Errorf("deleted by %d updates, want at least 3", n-1)
	}
}

func TestATimeToLiveIsPositive(t *testing.T) {
	m := openMap[string, int](t, t.TempDir(), nil)
	if err := m.PutTTL(t.Context(), "a", 1, 0); err == nil {
		t.Error("PutTTL: no error")
	}
	if err := m.Txn(t.Context(), func(tx *intTx) error { tx.PutTTL("a", 1, -1); return nil }); err == nil {
		t.Error("Tx.PutTTL: no error")
	}
	putTTL(t, m, "a", 1, 1<<63-1)
	if at, ok := m.Deadline("a"); !ok || at.Before(time.Now()) {
		t.Errorf("the longest time to live ends at %v, %v", at, ok)
	}
	expect(t, "length", m.Len(), 1)
}

// slowEnd is a reader that takes a second to say that it is at its end.
type slowEnd struct{ r io.Reader }

func (s slowEnd) Read(b []byte) (int, error) {
	n, err := s.r.Read(b)
	if err == io.EOF {
		time.Sleep(time.Second) // of a bubble's clock
	}
	return n, err
}

// A map whose state is replaced, as on a node that is sent a snapshot, deletes the keys of
// that state at their time.
func TestKeysOfAStateThatWasSentAreDeletedInTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCast()
		a, ra := joinMap[string, int](t, c, nil)
		b, rb := joinMap[string, int](t, c, nil)
		putTTL(t, a, "k", 1, 10*time.Second)
		state := ra.state(t)
		closeIt(t, a)
		synctest.Wait()
		rb.mu.Lock()
		if err := rb.m.Restore(slowEnd{bytes.NewReader(state)}); err != nil {
			t.Fatal(err)
		}
		rb.applied, rb.index, rb.base = ra.applied, ra.index, ra.index
		rb.mu.Unlock()
		c.mu.Lock()
		c.now = c.now.Add(24 * time.Hour)
		c.mu.Unlock()
		start := time.Now()
		for b.Has("k") && time.Since(start) < 2*time.Hour {
			time.Sleep(time.Second) // of the bubble's clock
		}
		if took := time.Since(start); took > time.Minute {
			t.Errorf("deleted after %v", took)
		}
	})
}

// Keys whose names together are larger than an update may be are deleted all the same.
func TestKeysThatFitNoUpdateTogetherAreDeleted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) { // whose clock stands still while the disk takes its time
		m, err := durable.OpenMap[string, int](t.TempDir(), &durable.MapOptions[string, int]{Store: store.Options{MaxUpdate: 4 << 10}})
		if err != nil {
			t.Fatal(err)
		}
		defer closeIt(t, m)
		for i := range 20 {
			putTTL(t, m, strings.Repeat("x", 1000)+fmt.Sprint(i), i, time.Minute)
		}
		time.Sleep(time.Minute)
		for next := uint64(21); m.Len() > 0; next++ {
			waitFor(t, m, next)
		}
	})
}

// A key that is larger than an update may be by now stays, and keeps no other one.
func TestAKeyThatIsTooLargeToDeleteKeepsNoOther(t *testing.T) {
	synctest.Test(t, func(t *testing.T) { // whose clock stands still while the disk takes its time
		dir := t.TempDir()
		with := func(most int) *durable.Map[string, int] {
			m, err := durable.OpenMap[string, int](dir, &durable.MapOptions[string, int]{Store: store.Options{MaxUpdate: most}})
			if err != nil {
				t.Fatal(err)
			}
			return m
		}
		large := strings.Repeat("x", 2000)
		m := with(4 << 10)
		putTTL(t, m, large, 1, time.Minute)
		putTTL(t, m, "small", 2, time.Minute)
		closeIt(t, m)
		m = with(1 << 10)
		defer closeIt(t, m)
		putTTL(t, m, "later", 3, time.Second)
		time.Sleep(time.Minute)
		for next := uint64(4); m.Len() > 1; next++ {
			waitFor(t, m, next)
		}
		if _, ok := m.Get(large); !ok {
			t.Error("the large key is gone")
		}
	})
}
