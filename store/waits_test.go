package store_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stateio/stateio/internal/fsys/faultfs"
	"github.com/stateio/stateio/store"
)

// soon ends the test if do does not return: it must not wait for what is held up.
func soon(t *testing.T, what string, do func()) {
	t.Helper()
	done := make(chan struct{})
	go func() {
		defer close(done)
		do()
	}()
	select {
	case <-done:
	case <-time.After(20 * time.Second):
		t.Fatalf("%s does not return", what)
	}
}

// inView calls do while a function passed to View runs.
func inView(t *testing.T, s *store.Store, do func()) {
	t.Helper()
	entered, leave := make(chan struct{}), make(chan struct{})
	var view sync.WaitGroup
	view.Go(func() {
		if err := s.View(func() error {
			close(entered)
			<-leave
			return nil
		}); err != nil {
			t.Error(err)
		}
	})
	<-entered
	do()
	close(leave)
	view.Wait()
}

// shortly returns a context that ends after a moment.
func shortly(t *testing.T) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	t.Cleanup(cancel)
	return ctx
}

// Every wait ends with its context, after whatever it is: here a View.
func TestAContextEndsTheWaitForAView(t *testing.T) {
	const dir = "/after"
	memory(t, dir)
	m := &journal{}
	s := open(t, dir, m, &store.Options{SnapshotBytes: -1})
	update(t, s, "one")
	inView(t, s, func() {
		soon(t, "Update", func() {
			_, err := s.Update(shortly(t), []byte("not made"))
			wantIs(t, err, context.DeadlineExceeded)
			if errors.Is(err, store.ErrUnknown) || !strings.Contains(err.Error(), "update not made") {
				t.Errorf("the update was not applied, and the error is %v", err)
			}
		})
		soon(t, "Backup", func() {
			_, err := s.Backup(shortly(t), io.Discard)
			wantIs(t, err, context.DeadlineExceeded)
		})
		soon(t, "Snapshot", func() { wantIs(t, s.Snapshot(shortly(t)), context.DeadlineExceeded) })
		soon(t, "Sync", func() { check(t, s.Sync(shortly(t))) })
		soon(t, "Stats and Index", func() {
			if n := s.Stats().Index; n != 1 || s.Index() != 1 {
				t.Errorf("index %d", n)
			}
		})
		soon(t, "CloseContext", func() { wantIs(t, s.CloseContext(shortly(t)), context.DeadlineExceeded) })
		_, err := s.Update(t.Context(), nil)
		wantIs(t, err, store.ErrClosed)
	})
	check(t, s.Close())
	wantUpdates(t, dir, "one")
}

// An update that was applied when its context ends has an error that says so and
// tells its index; the caller's slice is its own again.
func TestAnUnknownOutcomeHasItsIndex(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const dir = "/unknown"
		_, fs := memory(t, dir)
		s := open(t, dir, &journal{}, nil)
		update(t, s, "one")
		release := hold(fs)
		u := []byte("two")
		_, err := s.Update(shortly(t), u)
		copy(u, "???")
		var unknown *store.UnknownError
		if !errors.As(err, &unknown) || unknown.Index != 2 || !errors.Is(err, store.ErrUnknown) || !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("got error %v, want an UnknownError of update 2", err)
		}
		ticket, err := s.Submit([]byte("three"))
		check(t, err)
		if err := ticket.Wait(shortly(t)); !errors.As(err, &unknown) || unknown.Index != 3 {
			t.Errorf("got error %v, want an UnknownError of update 3", err)
		}
		release()
		check(t, s.Sync(t.Context()))
		check(t, ticket.Wait(t.Context()))
		check(t, s.Close())
		wantUpdates(t, dir, "one", "two", "three")
	})
}

// A failure tells the updates that were applied apart from those that were not.
func TestAFailureTellsWhatWasApplied(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const dir = "/applied"
		_, fs := memory(t, dir)
		s := open(t, dir, &journal{}, &store.Options{MaxPending: 60})
		fs.Inject(faultfs.Fault{Kinds: faultfs.OpDatasync, Err: syscall.EIO})
		release := hold(fs)
		errs := map[string]error{}
		var mu sync.Mutex
		for _, u := range []string{"at the disk", "in the batch, which it fills to the last byte it may have", "waiting for room"} {
			go func() {
				_, err := s.Update(context.Background(), []byte(u))
				mu.Lock()
				defer mu.Unlock()
				errs[u] = err
			}()
			synctest.Wait()
		}
		applied := s.Index()
		release()
		synctest.Wait()
		unknowns := uint64(0)
		for u, err := range errs {
			wantIs(t, err, store.ErrFailed)
			if errors.Is(err, store.ErrUnknown) {
				unknowns++
			} else if u != "waiting for room" {
				t.Errorf("%s: %v", u, err)
			}
		}
		if len(errs) != 3 || unknowns != applied || applied != 2 {
			t.Errorf("%d of %d updates were applied, and %d told that their outcome is unknown", applied, len(errs), unknowns)
		}
		_, err := s.Update(t.Context(), []byte("later"))
		wantIs(t, err, store.ErrFailed)
		if errors.Is(err, store.ErrUnknown) {
			t.Errorf("an update after the failure: %v", err)
		}
		wantIs(t, s.Close(), store.ErrFailed)
	})
}

// committing opens a store in memory, of which the first update is being committed until release is
// called, and then is durable, or fails with fault.
func committing(t *testing.T, dir string, fault error) (s *store.Store, release func()) {
	t.Helper()
	_, fs := memory(t, dir)
	s = open(t, dir, &journal{}, nil)
	release = hold(fs)
	if fault != nil {
		fs.Inject(faultfs.Fault{Kinds: faultfs.OpDatasync, Err: fault})
	}
	go s.Update(context.Background(), []byte("at the disk")) //nolint:errcheck // its outcome is that of the fault
	synctest.Wait()
	return s, release
}

// A refusal may rest on an update that is not durable yet. It is told when that is,
// and not at all if that is lost.
func TestARefusalIsToldWhenWhatItRestsOnIsDurable(t *testing.T) {
	for _, fault := range []error{nil, syscall.EIO} {
		synctest.Test(t, func(t *testing.T) {
			s, release := committing(t, "/refusal", fault)
			refuse := []func() error{
				func() error { _, err := s.Update(context.Background(), []byte("refuse")); return err },
				func() error { _, err := s.Submit([]byte("refuse")); return err },
			}
			told := make(chan error, len(refuse)+1)
			for _, do := range refuse {
				go func() { told <- do() }()
			}
			synctest.Wait()
			_, err := s.Submit([]byte("in the batch"))
			check(t, err)
			go func() { told <- refuse[0]() }()
			synctest.Wait()
			if len(told) > 0 {
				t.Fatalf("told before what it rests on is durable: %v", <-told)
			}
			_, err = s.Update(shortly(t), []byte("refuse"))
			wantIs(t, err, context.DeadlineExceeded)
			if errors.Is(err, store.ErrUnknown) {
				t.Errorf("a refused update was not applied: %v", err)
			}
			release()
			synctest.Wait()
			for range len(refuse) + 1 {
				err := <-told
				if fault == nil && err != errRefused {
					t.Errorf("got error %v, want that of the machine", err)
				} else if fault != nil && (!errors.Is(err, store.ErrFailed) || errors.Is(err, errRefused) || errors.Is(err, store.ErrUnknown)) {
					t.Errorf("got error %v, want ErrFailed, and that nothing was applied", err)
				}
			}
			if st := s.Stats(); fault == nil && st.UpdateErrors != 4 {
				t.Errorf("%d updates were refused, want 4", st.UpdateErrors)
			}
			_ = s.Close()
		})
	}
}

// A change that finds nothing to do may have found an update that is not durable yet. It is told when
// that is, and not at all if that is lost.
func TestAChangeOfNothingIsToldWhenWhatItRestsOnIsDurable(t *testing.T) {
	for _, fault := range []error{nil, syscall.EIO} {
		synctest.Test(t, func(t *testing.T) {
			s, release := committing(t, "/nothing", fault)
			nothing := func(*store.Tx) error { return nil }
			told := make(chan error, 4)
			both := func() {
				ticket, err := s.SubmitChange(nothing)
				check(t, err)
				go func() { told <- ticket.Wait(context.Background()) }()
				go func() {
					_, err := s.Change(context.Background(), nothing)
					told <- err
				}()
				synctest.Wait()
			}
			both()
			_, err := s.Submit([]byte("in the batch"))
			check(t, err)
			both()
			if len(told) > 0 {
				t.Errorf("%d told before what they rest on is durable", len(told))
			}
			_, err = s.Change(shortly(t), nothing)
			wantIs(t, err, context.DeadlineExceeded)
			release()
			for range cap(told) {
				if err := <-told; fault == nil && err != nil || fault != nil && !errors.Is(err, store.ErrFailed) {
					t.Errorf("got error %v, with the fault %v", err, fault)
				}
			}
			if fault == nil { // nothing waits any more
				index, err := s.Change(context.Background(), nothing)
				if err != nil || index != 2 {
					t.Errorf("index %d, %v", index, err)
				}
			}
			_ = s.Close()
		})
	}
}

// A store fails while a commit is being written that finds no space then, and gets it. Close says that the
// store has failed, and does not seal a log of which a part is gone.
func TestAFailedStoreIsNotSealed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const dir = "/failing"
		_, fs := memory(t, dir)
		s := openOnly(t, dir, &journal{}, nil)
		gate := make(chan struct{})
		fs.OnOp(func(op faultfs.Op) {
			if op.Kind == faultfs.OpWrite && strings.HasSuffix(op.Path, ".log") {
				<-gate
			}
		})
		fs.Inject(faultfs.Fault{Kinds: faultfs.OpWrite, Path: "*.log", Err: syscall.ENOSPC, Forever: true})
		told := make(chan error, 1)
		go func() {
			_, err := s.Update(context.Background(), []byte("at the disk"))
			told <- err
		}()
		synctest.Wait()
		_, err := s.Submit([]byte("in the batch"))
		check(t, err)
		func() {
			defer func() {
				if recover() == nil {
					t.Error("Apply did not panic")
				}
			}()
			_, err := s.Submit([]byte("panic"))
			t.Errorf("the machine panics: %v", err)
		}()
		close(gate)
		synctest.Wait()
		if len(told) > 0 {
			t.Fatalf("the commit did not wait for space: %v", <-told)
		}
		fs.Heal() // and nobody has tried again, as no time passes here
		wantIs(t, s.Close(), store.ErrFailed)
		check(t, <-told)
		wantUpdates(t, dir, "at the disk")
	})
}

// blockedHandler is a handler of logs that does not return.
type blockedHandler struct {
	slog.Handler
	entered, leave chan struct{}
}

func (h blockedHandler) Handle(context.Context, slog.Record) error {
	h.entered <- struct{}{}
	<-h.leave
	return nil
}

// A handler of logs that blocks keeps nobody waiting.
func TestABlockedLoggerBlocksNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const dir = "/blockedlog"
		_, fs := memory(t, dir)
		h := blockedHandler{slog.DiscardHandler, make(chan struct{}, 100), make(chan struct{})}
		h.Handler = slog.NewTextHandler(io.Discard, &slog.HandlerOptions{Level: slog.LevelDebug})
		start := time.Now()
		s := open(t, dir, &journal{}, &store.Options{Logger: slog.New(h)})
		if took := time.Since(start); took > time.Second {
			t.Errorf("Open took %v", took)
		}
		<-h.entered
		update(t, s, "one")
		fs.Inject(faultfs.Fault{Kinds: faultfs.OpDatasync, Err: syscall.EIO})
		start = time.Now()
		_, err := s.Update(t.Context(), []byte("lost"))
		wantIs(t, err, store.ErrFailed)
		wantIs(t, s.Stats().Err, store.ErrFailed)
		check(t, s.View(func() error { return nil }))
		_, err = s.Update(t.Context(), nil)
		wantIs(t, err, store.ErrFailed)
		if took := time.Since(start); took > 0 {
			t.Errorf("a failure was told after %v", took)
		}
		wantIs(t, s.Close(), store.ErrFailed)
		if took := time.Since(start); took > 2*time.Second {
			t.Errorf("Close took %v", took)
		}
		close(h.leave)
	})
}

// While disk space is set aside, readers and those whose context ends do not wait
// for the disk.
func TestSettingSpaceAsideBlocksNoReader(t *testing.T) {
	const dir = "/frozen"
	_, fs := memory(t, dir)
	s := open(t, dir, &journal{}, &store.Options{SnapshotBytes: -1})
	update(t, s, "one")
	entered, leave := make(chan struct{}, 100), make(chan struct{})
	fs.OnOp(func(op faultfs.Op) {
		if op.Kind == faultfs.OpPreallocate {
			entered <- struct{}{}
			<-leave
		}
	})
	large := make(chan error, 1)
	go func() {
		_, err := s.Update(context.Background(), make([]byte, 100_000))
		large <- err
	}()
	<-entered
	soon(t, "View", func() { check(t, s.View(func() error { return nil })) })
	soon(t, "Stats", func() { s.Stats() })
	soon(t, "Index", func() { s.Index() })
	soon(t, "Sync", func() { check(t, s.Sync(t.Context())) })
	soon(t, "Update", func() {
		_, err := s.Update(shortly(t), []byte("not made"))
		wantIs(t, err, context.DeadlineExceeded)
	})
	close(leave)
	check(t, <-large)
	fs.OnOp(nil)
	if n := s.Index(); n != 2 {
		t.Errorf("index %d, want 2", n)
	}
	check(t, s.Close())
}

// While a large update is encoded, and so long that this is seen, nobody waits that
// only reads.
func TestALargeUpdateCostsMemoryOnce(t *testing.T) {
	const size = 16 << 20
	s := open(t, t.TempDir(), nothing{}, &store.Options{SnapshotBytes: -1})
	u := make([]byte, size)
	allocated := testing.Benchmark(func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if _, err := s.Update(context.Background(), u); err != nil {
				b.Fatal(err)
			}
		}
	}).AllocedBytesPerOp()
	if allocated > size*5/2 {
		t.Errorf("an update of %d bytes allocates %d", size, allocated)
	}
	check(t, s.Close())
}

// Updates that were withdrawn while nothing could be applied leave nothing.
func TestManyUpdatesThatGaveUpLeaveNothing(t *testing.T) {
	const dir = "/withdrawn"
	memory(t, dir)
	s := open(t, dir, &journal{}, nil)
	inView(t, s, func() {
		ctx, cancel := context.WithCancel(t.Context())
		var waiting sync.WaitGroup
		for i := range 1000 {
			waiting.Go(func() {
				_, err := s.Update(ctx, fmt.Append(nil, i))
				wantIs(t, err, context.Canceled)
			})
		}
		cancel()
		waiting.Wait()
	})
	update(t, s, "one")
	check(t, s.Close())
	wantUpdates(t, dir, "one")
}
