package durable_test

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stateio/stateio/durable"
	"github.com/stateio/stateio/store"
)

// sweepers returns how many goroutines there are that delete keys in time.
func sweepers() int {
	b := make([]byte, 1<<20)
	return strings.Count(string(b[:runtime.Stack(b, true)]), "]).sweep(")
}

// However a map is closed, nothing of it goes on: a bubble ends only when all goroutines in it
// have, and no clock runs in this one that would have the sweeper look.
func TestNothingGoesOnAfterAMapIsClosed(t *testing.T) {
	for name, closeMap := range map[string]func(*durable.Map[string, int]) error{
		"Close":        func(m *durable.Map[string, int]) error { return m.Close() },
		"CloseContext": func(m *durable.Map[string, int]) error { return m.CloseContext(context.Background()) },
		"its keeper's": func(m *durable.Map[string, int]) error { return m.Keeper().CloseContext(context.Background()) },
		"its store's":  func(m *durable.Map[string, int]) error { return m.Store().Close() },
	} {
		synctest.Test(t, func(t *testing.T) {
			m, err := durable.OpenMap[string, int](t.TempDir(), &durable.MapOptions[string, int]{Store: quiet})
			if err != nil {
				t.Fatal(err)
			}
			synctest.Wait()
			before := sweepers()
			putTTL(t, m, "k", 1, 1000*time.Hour)
			if err := closeMap(m); err != nil {
				t.Errorf("%s: %v", name, err)
			}
			synctest.Wait()
			if n := sweepers(); before == 0 || n != before-1 {
				t.Errorf("closed by %s: %d goroutines that delete keys before, %d afterwards", name, before, n)
			}
			if err := m.Put(context.Background(), "k", 2); !errors.Is(err, store.ErrClosed) {
				t.Errorf("%s: Put afterwards: %v", name, err)
			}
			closeIt(t, m)
		})
	}
}

// A stuck is a keeper that takes no updates at times, as a node that can't restore a snapshot yet.
type stuck struct {
	*replica
	is atomic.Bool
}

func (s *stuck) Update(ctx context.Context, update []byte) (any, error) {
	if s.is.Load() {
		return nil, fmt.Errorf("a snapshot could not be restored (it is tried again): %w", store.ErrFailed)
	}
	return s.replica.Update(ctx, update)
}

// Keys are deleted again once a node goes on that could not, which is store.ErrFailed meanwhile.
func TestKeysAreDeletedOnceANodeGoesOn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCast()
		var k *stuck
		m, err := durable.OpenMapOn[string, int](nil, func(m store.Machine) (store.Keeper, error) {
			k = &stuck{replica: c.join(m)}
			return k, nil
		})
		if err != nil {
			t.Fatal(err)
		}
		defer closeIt(t, m)
		putTTL(t, m, "k", 1, time.Second)
		k.is.Store(true)
		time.Sleep(time.Minute)
		if _, has := m.Get("k"); !has {
			t.Fatal("it was deleted while the node took no updates: this tests nothing")
		}
		c.mu.Lock()
		c.now = time.Now()
		c.mu.Unlock()
		k.is.Store(false)
		time.Sleep(time.Minute)
		if _, has := m.Get("k"); has {
			t.Error("it is not deleted any more")
		}
	})
}

// CloseContext waits no longer than its context, takes no more changes, and goes on.
func TestCloseContextWaitsNoLongerThanItsContext(t *testing.T) {
	m := openMap[string, int](t, t.TempDir(), nil)
	v := openValue(t, t.TempDir(), 1)
	put(t, m, "k", 1)
	for name, c := range map[string]struct {
		s      *store.Store
		close  func(context.Context) error
		change func() error
	}{
		"map":   {m.Store(), m.CloseContext, func() error { return m.Put(context.Background(), "k", 2) }},
		"value": {v.Store(), v.CloseContext, func() error { return v.Update(context.Background(), func(n *int) error { *n++; return nil }) }},
	} {
		entered, leave, left := make(chan struct{}), make(chan struct{}), make(chan error)
		go func() {
			_, err := c.s.Change(t.Context(), func(*store.Tx) error { close(entered); <-leave; return nil })
			left <- err
		}()
		<-entered
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if err := c.close(ctx); !errors.Is(err, context.Canceled) {
			t.Errorf("%s: CloseContext while a change is made: %v", name, err)
		}
		if err := c.change(); !errors.Is(err, store.ErrClosed) {
			t.Errorf("%s: a change afterwards: %v", name, err)
		}
		close(leave)
		if err := <-left; err != nil {
			t.Error(err)
		}
		if err := c.close(t.Context()); err != nil {
			t.Errorf("%s: CloseContext again: %v", name, err)
		}
	}
}

// From within the machine nothing is closed, neither the map nor what deletes its keys.
func TestAMapIsNotClosedFromWithin(t *testing.T) {
	m := openMap[string, int](t, t.TempDir(), nil)
	errs := make(chan error, 10)
	durable.NewIndex(m, func(string, int) []int {
		errs <- m.Close()
		return nil
	})
	putTTL(t, m, "k", 1, time.Millisecond)
	waitFor(t, m, 2) // the sweeper goes on
	if len(errs) != 2 {
		t.Errorf("%d calls", len(errs))
	}
	for range len(errs) {
		if err := <-errs; !errors.Is(err, store.ErrReentrant) {
			t.Errorf("Close from a function of an index: %v", err)
		}
	}
	put(t, m, "k", 2)
}
