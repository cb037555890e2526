package durable_test

import (
	"context"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stateio/stateio/durable"
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
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
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
	for i := range uint64(3) {
		waitFor(t, m, 2+i)
	}
	expect(t, "length", m.Len(), 0)
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
