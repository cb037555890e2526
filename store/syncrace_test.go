package store_test

import (
	"context"
	"runtime"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stateio/stateio/store"
)

// Sync also makes durable at once what is on its way from Apply to the batch.
func TestSyncRightAfterApplyDoesNotWaitForSyncInterval(t *testing.T) {
	rounds := 20_000
	if testing.Short() {
		rounds = 5000
	}
	synctest.Test(t, func(t *testing.T) {
		const dir = "/syncrace"
		memory(t, dir)
		s := open(t, dir, &journal{}, &store.Options{SnapshotBytes: -1, SyncInterval: time.Hour})
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute) // of the bubble: it ends if all wait
		defer cancel()
		for round := range rounds {
			index := s.Index()
			go func() { _, _ = s.Submit([]byte("x")) }()
			for s.Index() == index {
				runtime.Gosched()
			}
			if err := s.Sync(ctx); err != nil {
				t.Fatalf("round %d: %v", round, err)
			}
		}
		check(t, s.Close())
	})
}
