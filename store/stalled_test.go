package store_test

import (
	"context"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stateio/stateio/internal/fsys/faultfs"
	"github.com/stateio/stateio/store"
)

// stallWithMore leaves one batch that found no space and another one after it.
func stallWithMore(t *testing.T, dir string) (*store.Store, *faultfs.FS, chan error) {
	_, fs := memory(t, dir)
	s := open(t, dir, &journal{}, &store.Options{SnapshotBytes: -1})
	update(t, s, "one")
	fs.Inject(faultfs.Fault{Kinds: faultfs.OpWrite, Path: "*.log", Err: syscall.ENOSPC, Forever: true})
	gate := make(chan struct{})
	var once sync.Once
	fs.OnOp(func(op faultfs.Op) {
		if op.Kind == faultfs.OpWrite && strings.HasSuffix(op.Path, ".log") {
			once.Do(func() { <-gate })
		}
	})
	outcome := make(chan error, 2)
	for _, u := range []string{"two", "three"} {
		go func() {
			_, err := s.Update(context.Background(), []byte(u))
			outcome <- err
		}()
		synctest.Wait()
	}
	close(gate)
	synctest.Wait()
	if s.Index() != 3 {
		t.Fatalf("index is %d, want 3", s.Index())
	}
	return s, fs, outcome
}

// A snapshot that comes first when there is space again commits all that is pending.
func TestASnapshotAfterAStallCommitsAllThatIsPending(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const dir = "/stallsnap"
		s, fs, outcome := stallWithMore(t, dir)
		fs.Heal()
		check(t, s.Snapshot(t.Context()))
		for range 2 {
			select {
			case err := <-outcome:
				check(t, err)
			case <-time.After(time.Minute):
				t.Error("an update has not returned in a minute")
			}
		}
		update(t, s, "four")
		check(t, s.Close())
		wantUpdates(t, dir, "one", "two", "three", "four")
	})
}

// Close commits all that is pending when there is space again.
func TestCloseAfterAStallCommitsAllThatIsPending(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const dir = "/stallclose"
		s, fs, outcome := stallWithMore(t, dir)
		fs.Heal()
		check(t, s.Close())
		for range 2 {
			select {
			case err := <-outcome:
				check(t, err)
			case <-time.After(time.Minute):
				t.Error("an update has not returned a minute after Close")
			}
		}
		wantUpdates(t, dir, "one", "two", "three")
	})
}

// A commit that found no space is tried again when there is some, and not after SyncInterval:
// whoever waits for it has waited long enough.
func TestACommitAfterAStallDoesNotWaitForSyncInterval(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const dir = "/stallinterval"
		_, fs := memory(t, dir)
		s := open(t, dir, &journal{}, &store.Options{SnapshotBytes: -1, SyncInterval: time.Hour})
		update(t, s, "one")
		fs.Inject(faultfs.Fault{Kinds: faultfs.OpWrite, Path: "*.log", Err: syscall.ENOSPC, Forever: true})
		_, err := s.Submit([]byte("two"))
		check(t, err)
		synced := make(chan error, 1)
		go func() { synced <- s.Sync(t.Context()) }()
		synctest.Wait()
		if s.Stats().SpaceError == nil {
			t.Error("the commit has found space")
		}
		fs.Heal()
		start := time.Now()
		check(t, <-synced)
		if took := time.Since(start); took > time.Second {
			t.Errorf("Sync has returned %v after there was space", took)
		}
		check(t, s.Close())
	})
}
