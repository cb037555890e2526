package durable_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/stateio/stateio/durable"
	"github.com/stateio/stateio/store"
)

// text is a change in one line.
func text(c durable.Change[string, int]) string {
	s := fmt.Sprint(c.Index, " ", c.Key, "=", c.Value)
	if c.Deleted {
		s = fmt.Sprint(c.Index, " ", c.Key, " deleted")
	}
	if c.More {
		s += " and"
	}
	return s
}

// watch returns the first n changes.
func watch(t *testing.T, m *durable.Map[string, int], from uint64, match func(string) bool, n int) []string {
	t.Helper()
	var got []string
	for c, err := range m.Watch(t.Context(), from, match) {
		if err != nil {
			t.Fatal(err)
		}
		if got = append(got, text(c)); len(got) == n {
			break
		}
	}
	return got
}

// changeSome makes seven changes in five updates.
func changeSome(t *testing.T, m *durable.Map[string, int]) {
	t.Helper()
	put(t, m, "a", 1)
	put(t, m, "b/1", 2)
	txn(t, m, func(tx *intTx) error {
		tx.Put("b/2", 3)
		tx.Put("c", 4)
		tx.Delete("a")
		return nil
	})
	if _, err := m.Delete(t.Context(), "b/1"); err != nil {
		t.Fatal(err)
	}
	put(t, m, "d", 5)
}

func TestWatch(t *testing.T) {
	dir := t.TempDir()
	m := openMap[string, int](t, dir, nil)
	changeSome(t, m)
	all := []string{"1 a=1", "2 b/1=2", "3 b/2=3 and", "3 c=4 and", "3 a deleted", "4 b/1 deleted", "5 d=5"}
	check := func(when string) {
		t.Helper()
		expect(t, when+", all", watch(t, m, 0, nil, 7), all)
		expect(t, when+", from 3", watch(t, m, 3, nil, 5), all[2:])
		expect(t, when+", a prefix", watch(t, m, 1, durable.HasPrefix("b/"), 3), []string{"2 b/1=2", "3 b/2=3", "4 b/1 deleted"})
		expect(t, when+", a range", watch(t, m, 1, durable.Between("b/2", "d"), 2), []string{"3 b/2=3 and", "3 c=4"})
	}
	check("now")
	closeIt(t, m)
	m = openMap[string, int](t, dir, nil)
	check("after opening again")
}

// A view and a watch from the next index are everything, once.
func TestWatchFromAView(t *testing.T) {
	m := openMap[string, int](t, t.TempDir(), nil)
	changeSome(t, m)
	v := m.View()
	seen := make(chan string)
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() {
		defer close(seen)
		for c, err := range m.Watch(ctx, v.Index()+1, nil) {
			if err != nil {
				ended <- err
				return
			}
			seen <- text(c)
		}
		ended <- nil
	}()
	put(t, m, "e", 6)
	expect(t, "the change", <-seen, "6 e=6")
	put(t, m, "e", 7)
	expect(t, "the next", <-seen, "7 e=7")
	cancel()
	if err := <-ended; err != nil {
		t.Errorf("a watch whose context ends: %v", err)
	}
}

func TestWatchEndsWithAnError(t *testing.T) {
	m := openMap(t, t.TempDir(), &durable.MapOptions[string, int]{})
	changeSome(t, m)
	closeIt(t, m)
	var got []string
	var last error
	for c, err := range m.Watch(t.Context(), 5, nil) {
		got, last = append(got, text(c)), err
	}
	if len(got) != 2 || got[0] != "5 d=5" || !errors.Is(last, store.ErrClosed) || !strings.HasPrefix(last.Error(), "durable: watching a map: ") {
		t.Errorf("a closed map: %q, %v", got, last)
	}
}

// A map that the store of it has replaced as a whole goes on, and Watch says that it did.
func TestAMapThatIsReplacedAsAWhole(t *testing.T) {
	put := func(m *durable.Map[string, int], key string, value int) {
		t.Helper()
		if err := m.Put(t.Context(), key, value); err != nil {
			t.Fatal(err)
		}
	}
	other, _, machine := onStore(t)
	for i := range 5 {
		put(other, fmt.Sprint("other", i), i)
	}
	state, err := machine.Snapshot()
	if err != nil {
		t.Fatal(err)
	}
	m, s, _ := onStore(t)
	put(m, "gone", 1)
	if _, err := s.Replace(t.Context(), state); err != nil {
		t.Fatal(err)
	}
	put(m, "new", 2)
	err = m.Txn(t.Context(), func(tx *durable.Tx[string, int]) error {
		n, _ := tx.Get("new")
		_, there := tx.Get("gone")
		if there {
			return errors.New("what was replaced is there")
		}
		tx.Put("new", n+1)
		return nil
	})
	if n, _ := m.Get("new"); n != 3 || m.Len() != 6 || err != nil {
		t.Errorf("new is %d of %d keys, %v", n, m.Len(), err)
	}
	var last error
	for c, err := range m.Watch(t.Context(), 1, nil) {
		if last = err; err != nil && c.Index != 2 {
			t.Errorf("Watch ended at %d", c.Index)
		}
	}
	if !errors.Is(last, store.ErrNotRetained) || !strings.Contains(last.Error(), "update 2 has replaced the whole map") {
		t.Errorf("Watch ended with %v", last)
	}
	if got := watch(t, m, 3, nil, 2); got[0] != "3 new=2" || got[1] != "4 new=3" {
		t.Errorf("watched %q", got)
	}
}
