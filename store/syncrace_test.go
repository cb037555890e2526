package store_test

import (
	"context"
	"runtime"
	"testing"
	"time"

	"github.com/stateio/stateio/store"
)

// Sync also makes durable at once what is on its way from Apply to the batch.
func TestSyncRightAfterApplyDoesNotWaitForSyncInterval(t *testing.T) {
	const dir = "/syncrace"
	memory(t, dir)
	s := open(t, dir, &journal{}, &store.Options{SnapshotBytes: -1, SyncInterval: time.Hour})
	_, err := s.Submit([]byte("first"))
	check(t, err)
	check(t, s.Sync(t.Context()))
	end := time.Now().Add(3 * time.Second)
	n := 0
	for time.Now().Before(end) {
		n++
		index := s.Index()
		go func() { _, _ = s.Submit([]byte("x")) }()
		for s.Index() == index {
			runtime.Gosched()
		}
		ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
		err := s.Sync(ctx)
		cancel()
		if err != nil {
			t.Fatalf("round %d: %v", n, err)
		}
	}
	t.Log(n, "rounds")
}
