package store_test

import (
	"context"
	"sync"
	"testing"
	"time"

	"github.com/stateio/stateio/store"
)

// steady is a machine whose Apply takes a while.
type steady struct{ nothing }

func (steady) Apply([]byte) (any, error) {
	for start := time.Now(); time.Since(start) < time.Millisecond; {
		yield(1)
	}
	return nil, nil
}

// Writers that submit without a pause do not keep readers out: each gets in between
// what was queued before and what came after.
func TestWritersDoNotStarveReaders(t *testing.T) {
	const dir = "/starved"
	memory(t, dir)
	s := open(t, dir, steady{}, &store.Options{SnapshotBytes: -1})
	ctx, cancel := context.WithCancel(t.Context())
	var writers sync.WaitGroup
	for range 8 {
		writers.Go(func() {
			for ctx.Err() == nil {
				if _, err := s.Submit([]byte("one")); err != nil {
					t.Error(err)
				}
			}
		})
	}
	for range 20 {
		before := s.Index()
		check(t, s.View(func() error { return nil }))
		if n := s.Index() - before; n > 200 {
			t.Errorf("a View waited for %d updates of 8 writers", n)
		}
	}
	cancel()
	writers.Wait()
	check(t, s.Close())
}
