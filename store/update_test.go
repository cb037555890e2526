package store_test

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stateio/stateio/internal/fsys/faultfs"
	"github.com/stateio/stateio/internal/fsys/memfs"
	"github.com/stateio/stateio/store"
)

// memory mounts a new file system in memory at dir.
func memory(t testing.TB, dir string) (*memfs.FS, *faultfs.FS) {
	t.Helper()
	mem := memfs.New(memfs.Options{})
	fs := faultfs.New(mem)
	mount(t, dir, fs)
	return mem, fs
}

// hold makes syncs of log files wait until the returned function is called.
func hold(fs *faultfs.FS) (release func()) {
	gate := make(chan struct{})
	fs.OnOp(func(op faultfs.Op) {
		if op.Kind == faultfs.OpDatasync && strings.HasSuffix(op.Path, ".log") {
			<-gate
		}
	})
	return func() { close(gate) }
}

func wantUpdates(t testing.TB, dir string, want ...string) {
	t.Helper()
	m := &journal{}
	s := open(t, dir, m, nil)
	if !slices.Equal(m.updates, want) {
		t.Errorf("recovered %.200q, want %.200q", m.updates, want)
	}
	if s.Index() != uint64(len(want)) {
		t.Errorf("Index() = %d, want %d", s.Index(), len(want))
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}
}

func wantIs(t testing.TB, err, want error) {
	t.Helper()
	if !errors.Is(err, want) {
		t.Errorf("got error %v, want %v", err, want)
	}
	if err != nil && !strings.HasPrefix(err.Error(), "store: ") {
		t.Errorf("the message %q does not begin with the package's name", err)
	}
}

func TestUpdateReturnsWhatApplyReturns(t *testing.T) {
	const dir = "/apply"
	memory(t, dir)
	s := open(t, dir, &journal{}, nil)
	for i := range 3 {
		r, err := s.Update(t.Context(), []byte{byte('a' + i)})
		if r != i+1 || err != nil {
			t.Errorf("Update = %v, %v; want %d", r, err, i+1)
		}
		if r, err := s.Update(t.Context(), []byte("refuse")); r != nil || err != errRefused {
			t.Errorf("Update = %v, %v; want the error of Apply as it is", r, err)
		}
	}
	ticket, err := s.Submit([]byte("d"))
	if err != nil {
		t.Fatal(err)
	}
	if ticket.Index() != 4 || ticket.Result() != 4 {
		t.Errorf("ticket of index %d with result %v, want 4 and 4", ticket.Index(), ticket.Result())
	}
	for range 2 {
		if err := ticket.Wait(t.Context()); err != nil {
			t.Error(err)
		}
	}
	if st := s.Stats(); st.Durable != 4 || st.Index != 4 || st.Updates != 4 || st.UpdateErrors != 3 || st.Commits.Count != st.Batches {
		t.Errorf("stats: %+v", st)
	}
	s.Close()
	wantUpdates(t, dir, "a", "b", "c", "d")
}

func TestUpdateDoesNotKeepTheSlice(t *testing.T) {
	const dir = "/slice"
	memory(t, dir)
	s := open(t, dir, &journal{}, nil)
	u := []byte("one")
	ticket, err := s.Submit(u)
	copy(u, "???")
	if err != nil {
		t.Fatal(err)
	}
	if err := ticket.Wait(t.Context()); err != nil {
		t.Fatal(err)
	}
	s.Close()
	wantUpdates(t, dir, "one")
}

func TestUpdateIsNotAcknowledgedBeforeTheSync(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const dir = "/ack"
		_, fs := memory(t, dir)
		s := open(t, dir, &journal{}, nil)
		release := hold(fs)
		acked := false
		go func() {
			update(t, s, "one")
			acked = true
		}()
		synctest.Wait()
		if acked {
			t.Fatal("acknowledged while the sync was under way")
		}
		if s.Index() != 1 || s.Stats().Durable != 0 {
			t.Errorf("index %d, durable %d; want 1 and 0", s.Index(), s.Stats().Durable)
		}
		release()
		synctest.Wait()
		if !acked {
			t.Fatal("not acknowledged after the sync")
		}
		s.Close()
	})
}

// While one commit is at the disk, all other updates gather in the next.
func TestUpdatesShareCommits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const dir = "/group"
		_, fs := memory(t, dir)
		s := open(t, dir, &journal{}, nil)
		release := hold(fs)
		go update(t, s, "first")
		synctest.Wait()
		for i := range 100 {
			go update(t, s, fmt.Sprint(i))
		}
		synctest.Wait()
		release()
		synctest.Wait()
		if st := s.Stats(); st.Batches != 2 || st.LargestBatch != 100 || st.Durable != 101 {
			t.Errorf("%d commits, the largest of %d updates, %d durable; want 2, 100 and 101", st.Batches, st.LargestBatch, st.Durable)
		}
		s.Close()
	})
}

// Writers that a commit has woken are in the next one, however fast the disk is.
func TestWritersThatWereWokenShareTheNextCommit(t *testing.T) {
	t.Run("one of them leads", func(t *testing.T) {
		shareCommits(t, func(*testing.T) context.Context { return context.Background() })
	})
	t.Run("the committer leads", func(t *testing.T) { shareCommits(t, (*testing.T).Context) }) // which can end
}

// A writer that the scheduler interrupts on its way to the next commit misses it.
// Each sync therefore lasts until all writers are there: then it misses one, and
// does not go on alone from there, with a commit of its own for each of the others.
func shareCommits(t *testing.T, context func(*testing.T) context.Context) {
	// With more processors, those that were just woken on another may come late.
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1))
	ctx := context(t)
	const dir, writers, each = "/woken", 50, 100
	_, fs := memory(t, dir)
	s := open(t, dir, nothing{}, nil)
	var writing, inUpdate atomic.Int64
	fs.OnOp(func(op faultfs.Op) {
		if op.Kind == faultfs.OpDatasync && strings.HasSuffix(op.Path, ".log") {
			for inUpdate.Load() != writing.Load() {
				runtime.Gosched()
			}
			runtime.Gosched() // lets those run that were interrupted within Update
		}
	})
	var wg sync.WaitGroup
	writing.Store(writers)
	for range writers {
		wg.Go(func() {
			for range each {
				inUpdate.Add(1)
				if _, err := s.Update(ctx, []byte("one")); err != nil {
					t.Error(err)
				}
				inUpdate.Add(-1)
			}
			writing.Add(-1)
		})
	}
	wg.Wait()
	if st := s.Stats(); st.Updates != writers*each || st.Batches > each+each/4 {
		t.Errorf("%d updates of each of %d writers were %d, in %d commits", each, writers, st.Updates, st.Batches)
	}
	check(t, s.Close())
}

func TestAContextEndsTheWaitAndNotTheUpdate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const dir = "/ctx"
		_, fs := memory(t, dir)
		s := open(t, dir, &journal{}, nil)
		release := hold(fs)
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		start := time.Now()
		_, err := s.Update(ctx, []byte("one"))
		wantIs(t, err, context.DeadlineExceeded)
		if took := time.Since(start); took != time.Second {
			t.Errorf("the deadline of a second came after %v", took)
		}
		ticket, err := s.Submit([]byte("two"))
		if err != nil {
			t.Fatal(err)
		}
		wantIs(t, ticket.Wait(ctx), context.DeadlineExceeded)
		wantIs(t, s.Sync(ctx), context.DeadlineExceeded)
		_, err = s.Update(ctx, []byte("not made"))
		wantIs(t, err, context.DeadlineExceeded)
		release()
		if err := s.Sync(t.Context()); err != nil {
			t.Error(err)
		}
		if err := ticket.Wait(t.Context()); err != nil {
			t.Error(err)
		}
		s.Close()
		wantUpdates(t, dir, "one", "two")
	})
}

// An update waits if more than MaxPending bytes would be pending with it, and does
// not if just as many would be.
func TestMaxPendingIsExact(t *testing.T) {
	for _, tt := range []struct {
		max, first, second int
		waits              bool
	}{
		{entryLen + 60 + 30, 60, 30, false},
		{entryLen + 60 + 29, 60, 30, true},
		{10, 60, 30, true},
		{10, 60, 0, true},
	} {
		synctest.Test(t, func(t *testing.T) {
			const dir = "/exact"
			_, fs := memory(t, dir)
			s := open(t, dir, &journal{}, &store.Options{MaxPending: tt.max})
			release := hold(fs)
			go update(t, s, "so that the next ones wait")
			synctest.Wait()
			for _, n := range []int{tt.first, tt.second} {
				go func() {
					if _, err := s.Submit(make([]byte, n)); err != nil {
						t.Error(err)
					}
				}()
				synctest.Wait()
			}
			if waits := s.Index() == 2; waits != tt.waits {
				t.Errorf("with MaxPending %d and %d bytes in the log, one of %d waits: %v", tt.max, entryLen+tt.first, tt.second, waits)
			}
			release()
			synctest.Wait()
			if s.Index() != 3 {
				t.Errorf("index %d when there was room again, want 3", s.Index())
			}
			check(t, s.Close())
		})
	}
}

// A caller that waits for room is told when the store fails.
func TestAFailureEndsTheWaitForRoom(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const dir = "/noroom"
		_, fs := memory(t, dir)
		s := open(t, dir, &journal{}, &store.Options{MaxPending: 100})
		fs.Inject(faultfs.Fault{Kinds: faultfs.OpDatasync, Err: syscall.EIO})
		release := hold(fs)
		go func() { _, _ = s.Update(t.Context(), []byte("so that the next ones wait")) }()
		synctest.Wait()
		_, err := s.Submit(make([]byte, 50))
		check(t, err)
		outcome := make(chan error, 1)
		go func() {
			_, err := s.Submit(make([]byte, 50))
			outcome <- err
		}()
		synctest.Wait()
		start := time.Now()
		release()
		wantIs(t, <-outcome, store.ErrFailed)
		if waited := time.Since(start); waited > 0 {
			t.Errorf("it was told after %v", waited)
		}
		wantIs(t, s.Close(), store.ErrFailed)
	})
}

// The store goes on telling why it failed first.
func TestTheFirstFailureIsTold(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const dir = "/first"
		_, fs := memory(t, dir)
		s := open(t, dir, &journal{}, nil)
		release := hold(fs)
		fs.Inject(faultfs.Fault{Kinds: faultfs.OpDatasync, Err: syscall.EIO})
		_, err := s.Submit([]byte("at the disk"))
		check(t, err)
		synctest.Wait()
		func() {
			defer func() { _ = recover() }()
			_, _ = s.Submit([]byte("panic"))
		}()
		release()
		synctest.Wait()
		for _, err := range []error{s.Stats().Err, s.Close()} {
			if !errors.Is(err, store.ErrFailed) || !strings.Contains(err.Error(), "panic in Apply") {
				t.Errorf("got error %v, want that of the panic", err)
			}
		}
	})
}

// The errors of a store whose Apply has panicked say with what and where, and do not have
// the whole stack, which may be long: each later update has them again.
func TestAPanicIsToldByItsInnermostCalls(t *testing.T) {
	const dir = "/innermost"
	memory(t, dir)
	s := open(t, dir, &deepPanic{}, nil)
	func() {
		defer func() { _ = recover() }()
		_, _ = s.Update(t.Context(), []byte("u"))
	}()
	for range 2 {
		_, err := s.Update(t.Context(), []byte("later"))
		wantIs(t, err, store.ErrFailed)
		if text := err.Error(); !strings.Contains(text, "panic in Apply: deep down\n") || !strings.Contains(text, ".deep(") || strings.Count(text, "\n") > 15 {
			t.Errorf("the error is\n%s", text)
		}
	}
	_ = s.Close()
}

type deepPanic struct{ journal }

func (*deepPanic) Apply([]byte) (any, error) { return deep(100), nil }

//go:noinline
func deep(n int) int {
	if n == 0 {
		panic("deep down")
	}
	return deep(n-1) + 1
}

func TestMaxPendingMakesUpdatesWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const dir = "/pending"
		_, fs := memory(t, dir)
		s := open(t, dir, &journal{}, &store.Options{MaxPending: 1000})
		release := hold(fs)
		ten := strings.Repeat("x", 300)
		submitted := 0
		go func() {
			for range 10 {
				if _, err := s.Submit([]byte(ten)); err != nil {
					t.Error(err)
				}
				submitted++
			}
		}()
		synctest.Wait()
		if submitted == 10 || s.Index() > 6 || s.Stats().Pending > 3000 {
			t.Errorf("%d updates of 300 bytes were taken while nothing could be written", submitted)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		before := s.Index()
		_, err := s.Update(ctx, []byte(ten))
		wantIs(t, err, context.DeadlineExceeded)
		if s.Index() != before {
			t.Error("an update was applied that waited for room until its context ended")
		}
		release()
		synctest.Wait()
		if submitted != 10 {
			t.Errorf("%d updates were taken, want 10", submitted)
		}
		s.Close()
	})
}

func TestSyncIntervalSpacesCommits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const dir = "/interval"
		memory(t, dir)
		s := open(t, dir, &journal{}, &store.Options{SyncInterval: time.Second})
		start := time.Now()
		for range 5 {
			var wg sync.WaitGroup
			for range 20 {
				wg.Go(func() { update(t, s, "u") })
			}
			wg.Wait()
		}
		// The first update does not wait for the others.
		st := s.Stats()
		if st.Batches > 6 || st.Durable != 100 {
			t.Errorf("%d commits of %d updates, want at most 6 of 100", st.Batches, st.Durable)
		}
		if took := time.Since(start); took != time.Duration(st.Batches-1)*time.Second {
			t.Errorf("%d commits took %v", st.Batches, took)
		}
		// The interval is that from one commit to the next.
		for _, idle := range []time.Duration{time.Second / 4, time.Second, time.Hour} {
			time.Sleep(idle) // of the bubble
			start := time.Now()
			update(t, s, "u")
			if took := time.Since(start); took != max(0, time.Second-idle) {
				t.Errorf("%v after a commit, the next took %v", idle, took)
			}
		}
		s.Close()
	})
}

func TestCloseWaitsForWhatIsPending(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const dir = "/close"
		_, fs := memory(t, dir)
		s := open(t, dir, &journal{}, nil)
		release := hold(fs)
		var acked, refused int
		var mu sync.Mutex
		for i := range 10 {
			go func() {
				_, err := s.Update(t.Context(), fmt.Append(nil, i))
				mu.Lock()
				defer mu.Unlock()
				if err == nil {
					acked++
				} else {
					wantIs(t, err, store.ErrClosed)
					refused++
				}
			}()
		}
		synctest.Wait()
		var closed atomic.Int64
		for range 3 {
			go func() {
				if err := s.Close(); err != nil {
					t.Error(err)
				}
				closed.Add(1)
			}()
		}
		synctest.Wait()
		if closed.Load() > 0 {
			t.Error("Close returned while a commit was under way")
		}
		_, err := s.Update(t.Context(), []byte("late"))
		wantIs(t, err, store.ErrClosed)
		release()
		synctest.Wait()
		if acked+refused != 10 || closed.Load() != 3 || int(s.Index()) != acked {
			t.Errorf("%d acknowledged, %d refused, index %d, %d calls of Close returned", acked, refused, s.Index(), closed.Load())
		}
		wantIs(t, s.Sync(t.Context()), nil)
		_, err = s.Submit(nil)
		wantIs(t, err, store.ErrClosed)
		wantIs(t, s.Snapshot(t.Context()), store.ErrClosed)
		_, err = s.Backup(t.Context(), nil)
		wantIs(t, err, store.ErrClosed)
		if err := s.View(func() error { return errRefused }); err != errRefused {
			t.Errorf("View of a closed store: %v", err)
		}
	})
}

func TestAPanicInApplyFailsTheStoreAndGoesOn(t *testing.T) {
	const dir = "/panic"
	memory(t, dir)
	s := open(t, dir, &journal{}, nil)
	update(t, s, "one")
	func() {
		defer func() {
			if v := recover(); v != "told to" {
				t.Errorf("recovered %v, want what Apply panicked with", v)
			}
		}()
		_, _ = s.Update(t.Context(), []byte("panic"))
	}()
	_, err := s.Update(t.Context(), []byte("two"))
	wantIs(t, err, store.ErrFailed)
	if err := s.View(func() error { return nil }); err != nil {
		t.Error(err)
	}
	wantIs(t, s.Stats().Err, store.ErrFailed)
	wantIs(t, s.Close(), store.ErrFailed)
	wantIs(t, s.Close(), store.ErrFailed)
	wantUpdates(t, dir, "one")
}

// caller is a machine whose Apply calls the store.
type caller struct {
	journal
	call func() error
	err  error
}

func (c *caller) Apply(u []byte) (any, error) {
	if c.call != nil {
		c.err = c.call()
	}
	return c.journal.Apply(u)
}

func TestCallingTheStoreWithinApplyOrViewIsReported(t *testing.T) {
	synctest.Test(t, testReentrant)
}

func testReentrant(t *testing.T) {
	const dir = "/reentrant"
	memory(t, dir)
	m := &caller{}
	s := open(t, dir, m, nil)
	for name, call := range map[string]func() error{
		"Update":   func() error { _, err := s.Update(t.Context(), nil); return err },
		"Submit":   func() error { _, err := s.Submit(nil); return err },
		"Snapshot": func() error { return s.Snapshot(t.Context()) },
		"Backup":   func() error { _, err := s.Backup(t.Context(), nil); return err },
		"Close":    s.Close,
		"View":     func() error { return s.View(func() error { return nil }) },
	} {
		m.call = call
		update(t, s, name)
		wantIs(t, m.err, store.ErrReentrant)
		m.call = nil
		if name == "View" || name == "Backup" {
			continue // in View, they have nothing to wait for
		}
		wantIs(t, s.View(call), store.ErrReentrant)
	}
	s.Close()
}

func TestUpdatesTooLargeAreRefused(t *testing.T) {
	const dir = "/large"
	memory(t, dir)
	s := open(t, dir, &journal{}, &store.Options{MaxUpdate: 100_000})
	big := strings.Repeat("b", 100_000)
	update(t, s, big)
	_, err := s.Update(t.Context(), []byte(big+"x"))
	wantIs(t, err, store.ErrTooLarge)
	update(t, s, "")
	s.Close()
	wantUpdates(t, dir, big, "")
}

func TestUpdateAllocatesNothing(t *testing.T) {
	s := open(t, t.TempDir(), nothing{}, &store.Options{SnapshotBytes: -1})
	u := make([]byte, 128)
	if n := testing.AllocsPerRun(200, func() {
		if _, err := s.Update(context.Background(), u); err != nil {
			t.Fatal(err)
		}
	}); n > 0 {
		t.Errorf("%v allocations per update", n)
	}
}
