package store

import (
	"context"
	"errors"
	"sync"
	"testing"
	"time"

	"github.com/stateio/stateio/internal/fsys/faultfs"
	"github.com/stateio/stateio/internal/fsys/memfs"
	"github.com/stateio/stateio/internal/storefs"
)

// follow returns how a follower that waits for later updates ends. It has looked for them
// when this returns, or waits for batchMu to do so.
func follow(s *Store) chan error {
	ended := make(chan error, 1)
	go func() {
		var last error
		for _, err := range s.Updates(context.Background(), 1000) {
			last = err
		}
		ended <- last
	}()
	Settle()
	return ended
}

func wantEnd(t *testing.T, ended chan error, want error) {
	t.Helper()
	if err := Arrives(t, ended, "the follower has not ended"); !errors.Is(err, want) {
		t.Errorf("the follower ended with %v, want %v", err, want)
	}
}

// A follower that looks while the store fails, before what is pending was given up,
// is told of that.
func TestAFollowerThatLooksWhileTheStoreFailsEnds(t *testing.T) {
	const dir = "/followfail"
	s := hostileOpen(t, dir, &Options{SyncInterval: time.Hour})
	if _, err := s.Update(context.Background(), []byte("one")); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Submit([]byte("two")); err != nil {
		t.Fatal(err)
	}
	s.batchMu.Lock()
	ended := follow(s)
	go func() { _ = s.fail(errors.New("as Apply does when it panics")) }()
	Settle() // it has told all who wait of the failure
	s.batchMu.Unlock()
	wantEnd(t, ended, ErrFailed)
	_ = s.Close()
}

// A follower that looks at the end of the last commit of a store that is being closed
// is told of that.
func TestAFollowerThatLooksAtTheLastCommitEnds(t *testing.T) {
	const dir = "/followlast"
	fs := faultfs.New(memfs.New(memfs.Options{}))
	t.Cleanup(storefs.Mount(dir, fs))
	s, err := Open(dir, stateless{}, &Options{SyncInterval: time.Hour})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.Update(context.Background(), []byte("one")); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Submit([]byte("two")); err != nil {
		t.Fatal(err)
	}
	var once sync.Once
	var ended chan error
	fs.OnOp(func(op faultfs.Op) {
		if op.Kind == faultfs.OpDatasync {
			once.Do(func() {
				s.batchMu.Lock() // as while a large update is encoded
				ended = follow(s)
				go func() {
					Settle() // the end of the commit waits, too
					s.batchMu.Unlock()
				}()
			})
		}
	})
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	wantEnd(t, ended, ErrClosed)
}

// In a store that has failed, the commit that was under way is acknowledged nevertheless. At each
// moment of its end it is in flight or durable: who finds neither is told that no more will come.
func TestTheLastCommitOfAFailedStoreIsNeverMissing(t *testing.T) {
	const dir = "/followfailedlast"
	fs := faultfs.New(memfs.New(memfs.Options{}))
	t.Cleanup(storefs.Mount(dir, fs))
	s, err := Open(dir, stateless{}, &Options{SnapshotBytes: -1})
	if err != nil {
		t.Fatal(err)
	}
	looked := make(chan struct{})
	var once sync.Once
	fs.OnOp(func(op faultfs.Op) {
		if op.Kind != faultfs.OpDatasync {
			return
		}
		once.Do(func() {
			_ = s.fail(errors.New("as Apply does when it panics"))
			s.mu.Lock() // as others do, for moments
			go func() {
				defer close(looked)
				defer s.mu.Unlock()
				Settle() // the end of the commit waits for mu
				if !s.batchMu.TryLock() {
					return // nobody else can look
				}
				defer s.batchMu.Unlock()
				if s.flight == nil {
					t.Error("the commit is not in flight any more, and not durable")
				}
			}()
		})
	})
	if _, err := s.Update(context.Background(), []byte("last")); err != nil {
		t.Errorf("the update that was being committed: %v", err)
	}
	<-looked
	if err := s.WaitIndex(context.Background(), 1); err != nil {
		t.Errorf("it is waited for: %v", err)
	}
	if err := s.Close(); !errors.Is(err, ErrFailed) {
		t.Errorf("Close: %v", err)
	}
}
