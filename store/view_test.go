package store_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stateio/stateio/internal/fsys/faultfs"
	"github.com/stateio/stateio/store"
)

// A store never shows by ViewDurable what is not on the disk, whatever is written and read
// concurrently.
func TestViewDurableShowsWhatIsDurable(t *testing.T) {
	const dir = "/viewed"
	memory(t, dir)
	m := &journal{}
	s := open(t, dir, m, nil)
	var writers sync.WaitGroup
	for range 4 {
		writers.Go(func() {
			for range 200 {
				if _, err := s.Submit([]byte("x")); err != nil {
					t.Error(err)
				}
			}
		})
	}
	seen, last := 0, 0
	for last < 800 {
		check(t, s.ViewDurable(t.Context(), func() error {
			seen, last = seen+1, len(m.updates)
			if durable := s.Stats().Durable; durable < uint64(last) {
				t.Errorf("%d updates are seen, of which %d are durable", last, durable)
			}
			return nil
		}))
	}
	writers.Wait()
}

// ViewDurable waits for the disk, and not longer than its context; so does WaitIndex.
func TestViewDurableWaitsForTheDisk(t *testing.T) {
	const dir = "/viewed"
	_, fs := memory(t, dir)
	m := &journal{}
	s := open(t, dir, m, nil)
	syncing, goOn := make(chan struct{}), make(chan struct{})
	fs.OnOp(func(op faultfs.Op) {
		if op.Kind == faultfs.OpDatasync {
			syncing <- struct{}{}
			<-goOn
		}
	})
	_, err := s.Submit([]byte("one"))
	check(t, err)
	<-syncing
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	never := func() error { t.Error("read was called"); return nil }
	wantIs(t, s.ViewDurable(ctx, never), context.Canceled)
	ctx, cancel = context.WithTimeout(t.Context(), time.Millisecond)
	defer cancel()
	wantIs(t, s.ViewDurable(ctx, never), context.DeadlineExceeded)
	wantIs(t, s.WaitIndex(ctx, 1), context.DeadlineExceeded)
	fs.OnOp(nil)
	close(goOn)
	check(t, s.WaitIndex(t.Context(), 1))
	check(t, s.ViewDurable(t.Context(), func() error {
		if len(m.updates) != 1 {
			t.Errorf("%q", m.updates)
		}
		return nil
	}))
}

// A view that waits for Apply gives up with its context, and its lock is free again.
func TestViewDurableGivesUpWhileApplyRuns(t *testing.T) {
	const dir = "/viewed"
	memory(t, dir)
	began, goOn := make(chan struct{}), make(chan struct{})
	s := open(t, dir, &twin{apply: func([]byte) (any, error) {
		began <- struct{}{}
		<-goOn
		return nil, nil
	}}, nil)
	done := make(chan error)
	go func() {
		_, err := s.Update(context.Background(), []byte("one"))
		done <- err
	}()
	<-began
	ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
	defer cancel()
	wantIs(t, s.ViewDurable(ctx, func() error { t.Error("read was called"); return nil }), context.DeadlineExceeded)
	goOn <- struct{}{}
	check(t, <-done)
	go func() { <-began; goOn <- struct{}{} }()
	_, err := s.Update(t.Context(), []byte("two")) // Apply gets the lock
	check(t, err)
}

// WaitIndex waits for an update that is not made yet, and says why none will come.
func TestWaitIndexWaitsForUpdatesToCome(t *testing.T) {
	const dir = "/viewed"
	memory(t, dir)
	s := open(t, dir, &journal{}, &store.Options{SyncInterval: time.Hour})
	check(t, s.WaitIndex(t.Context(), 0))
	came := make(chan error)
	go func() { came <- s.WaitIndex(context.Background(), 2) }()
	for range 2 {
		_, err := s.Submit([]byte("x"))
		check(t, err)
	}
	check(t, s.WaitIndex(t.Context(), 2)) // in spite of SyncInterval
	check(t, <-came)
	go func() { came <- s.WaitIndex(context.Background(), 3) }()
	check(t, s.Close())
	wantIs(t, <-came, store.ErrClosed)
	check(t, s.WaitIndex(t.Context(), 2))
}

// Neither waits for itself.
func TestWaitIndexWithinApply(t *testing.T) {
	const dir = "/viewed"
	memory(t, dir)
	var s *store.Store
	var inside error
	s = open(t, dir, &twin{apply: func([]byte) (any, error) {
		inside = s.WaitIndex(context.Background(), 1)
		return nil, nil
	}}, nil)
	update(t, s, "one")
	wantIs(t, inside, store.ErrReentrant)
}

// Close ends a reader who waits for the disk, however long that takes.
func TestCloseEndsReadersWhoWaitForTheDisk(t *testing.T) {
	const dir = "/viewed"
	_, fs := memory(t, dir)
	s := openOnly(t, dir, &journal{}, nil)
	release := hold(fs)
	_, err := s.Submit([]byte("one"))
	check(t, err)
	never := func() error { t.Error("read was called"); return nil }
	read, closed := make(chan error, 1), make(chan error, 1)
	go func() { read <- s.ViewDurable(context.Background(), never) }()
	store.Settle()
	go func() { closed <- s.Close() }()
	store.Settle()
	wantIs(t, store.Arrives(t, read, "the reader waits for the disk, though the store is being closed"), store.ErrClosed)
	release()
	check(t, <-closed)
}

// A reader who waits for the disk within View is served by Close, which waits for an
// update that waits for him: the committer is there until nothing more is applied.
func TestCloseCommitsForReadersThatUpdatesWaitFor(t *testing.T) {
	const dir = "/viewed"
	_, fs := memory(t, dir)
	m := &journal{}
	s := openOnly(t, dir, m, nil)
	release := hold(fs)
	ended := make(chan string, 4)
	go func() {
		_, err := s.Update(context.Background(), []byte("one"))
		ended <- fmt.Sprint("Update: ", err)
	}()
	store.Settle() // its caller has begun a commit
	_, err := s.Submit([]byte("two"))
	check(t, err)
	sync := make(chan struct{})
	go func() {
		err := s.View(func() error {
			<-sync
			return s.Sync(context.Background())
		})
		ended <- fmt.Sprint("View: ", err)
	}()
	store.Settle()
	go func() { _, _ = s.Submit([]byte("three")); ended <- "Submit" }() // or it is closed
	store.Settle()                                                      // three waits for the reader
	go func() { ended <- fmt.Sprint("Close: ", s.Close()) }()
	store.Settle() // Close waits for three
	release()
	store.Settle() // one is durable
	close(sync)
	store.Settle()
	for range 4 {
		what := store.Arrives(t, ended, "Close, the reader and an update wait for one another")
		if what != "Submit" && !strings.HasSuffix(what, ": <nil>") {
			t.Error(what)
		}
	}
}

// Close, readers who wait for the disk, and updates that wait for these readers, all end.
func TestCloseAmongReadersWhoWaitForTheDisk(t *testing.T) {
	for round := range 300 {
		const dir = "/viewed"
		memory(t, dir)
		s := open(t, dir, &journal{}, &store.Options{SyncInterval: time.Hour})
		ctx := context.Background()
		var all sync.WaitGroup
		read := func() error { return nil }
		for range 3 {
			all.Go(func() {
				for range 3 {
					if err := s.ViewDurable(ctx, read); err != nil && !errors.Is(err, store.ErrClosed) {
						t.Errorf("round %d: %v", round, err)
					}
					check(t, s.View(func() error { return s.Sync(ctx) }))
				}
			})
			all.Go(func() {
				for range 3 {
					_, _ = s.Submit([]byte("x")) // or it is closed
				}
			})
		}
		all.Go(func() {
			for range round {
				runtime.Gosched()
			}
			check(t, s.Close())
		})
		soon(t, "one of them", all.Wait)
	}
}

// TestNoUpdateWaitsForAStoreThatIsClosed lets updates come at each moment of Close.
func TestNoUpdateWaitsForAStoreThatIsClosed(t *testing.T) {
	for round := range 1000 {
		const dir = "/closing"
		memory(t, dir)
		s := open(t, dir, &journal{}, &store.Options{SnapshotBytes: -1})
		var all sync.WaitGroup
		for range 50 {
			all.Go(func() {
				for range 20 {
					_, _ = s.Submit([]byte("x")) // or it is closed
				}
			})
		}
		all.Go(func() {
			for range round % 100 {
				runtime.Gosched()
			}
			check(t, s.Close())
		})
		soon(t, "one of them", all.Wait)
	}
}

// TestReadersWhoWaitForALargeUpdateGetIt has readers who wait for the disk, and updates that
// wait for these readers. A large update is put into the batch while readers run.
func TestReadersWhoWaitForALargeUpdateGetIt(t *testing.T) {
	const dir = "/large"
	memory(t, dir)
	s := open(t, dir, &journal{}, &store.Options{SnapshotBytes: -1})
	large := bytes.Repeat([]byte("x"), 100<<10)
	for range 200 {
		var readers, writers sync.WaitGroup
		var written atomic.Bool
		for range 2 {
			readers.Go(func() {
				for !written.Load() {
					check(t, s.View(func() error { return s.Sync(t.Context()) }))
				}
			})
		}
		for i := range 4 {
			update := large[:1]
			if i == 0 {
				update = large
			}
			writers.Go(func() {
				_, err := s.Submit(update)
				check(t, err)
			})
		}
		soon(t, "one of them", func() {
			writers.Wait()
			written.Store(true)
			readers.Wait()
		})
	}
	check(t, s.Close())
}
