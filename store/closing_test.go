package store_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stateio/stateio/internal/fsys/faultfs"
	"github.com/stateio/stateio/store"
)

// slow makes each sync of a log take d.
func slow(fs *faultfs.FS, d time.Duration) {
	fs.OnOp(func(op faultfs.Op) {
		if op.Kind == faultfs.OpDatasync && strings.HasSuffix(op.Path, ".log") {
			time.Sleep(d) // in a bubble
		}
	})
}

// outcomes are what became of updates, by their content.
type outcomes struct {
	mu    sync.Mutex
	acked []string
	errs  map[string]error
}

// note notes the one result of an update.
func (o *outcomes) note(t *testing.T, u string, err error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if _, twice := o.errs[u]; twice || slices.Contains(o.acked, u) {
		t.Errorf("%s has two results", u)
	}
	if err == nil {
		o.acked = append(o.acked, u)
		return
	}
	if o.errs == nil {
		o.errs = map[string]error{}
	}
	o.errs[u] = err
}

// Close at any moment: each update has one result. It is acknowledged and
// there after reopening, or ErrClosed and not applied. Not in a bubble, whose
// time stands still while a goroutine waits for a mutex.
func TestCloseDuringUpdatesGivesEachOneResult(t *testing.T) {
	for seed := range uint64(100) {
		const dir = "/closing"
		_, fs := memory(t, dir)
		s := open(t, dir, &journal{}, &store.Options{SnapshotBytes: -1, MaxPending: 100})
		fs.OnOp(func(op faultfs.Op) {
			if op.Kind == faultfs.OpDatasync {
				yield(20)
			}
		})
		rng := rand.New(rand.NewPCG(seed, 8))
		var o outcomes
		var all sync.WaitGroup
		for w := range 8 {
			start := rng.IntN(100)
			all.Go(func() {
				yield(start)
				for i := range 5 {
					u := fmt.Sprintf("%d/%d %s", w, i, strings.Repeat("x", 30))
					_, err := s.Update(context.Background(), []byte(u))
					o.note(t, u, err)
				}
			})
		}
		for range 3 {
			start := rng.IntN(300)
			all.Go(func() {
				yield(start)
				if err := s.Close(); err != nil {
					t.Error(err)
				}
			})
		}
		all.Wait()
		for _, err := range o.errs {
			wantIs(t, err, store.ErrClosed)
		}
		m := &journal{}
		open(t, dir, m, nil).Close()
		slices.Sort(m.updates)
		slices.Sort(o.acked)
		if len(o.acked)+len(o.errs) != 40 || !slices.Equal(m.updates, o.acked) {
			t.Errorf("seed %d: %d acknowledged, %d refused, of 40; %d recovered", seed, len(o.acked), len(o.errs), len(m.updates))
		}
	}
}

// yield lets others run n times.
func yield(n int) {
	for range n {
		runtime.Gosched()
	}
}

// A disk that takes ten seconds: deadlines are kept, what was given up on is
// durable nevertheless, and updates are acknowledged in order, once.
func TestASlowDiskKeepsDeadlinesAndOrder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const dir = "/slow"
		_, fs := memory(t, dir)
		s := open(t, dir, &journal{}, nil)
		slow(fs, 10*time.Second)
		start := time.Now()
		var acks []uint64
		var mu sync.Mutex
		var waiters sync.WaitGroup
		for i := range 20 {
			ticket, err := s.Submit(fmt.Append(nil, i))
			if err != nil {
				t.Fatal(err)
			}
			waiters.Go(func() {
				if i%4 == 0 { // impatient
					ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
					defer cancel()
					wantIs(t, ticket.Wait(ctx), context.DeadlineExceeded)
					return
				}
				if err := ticket.Wait(t.Context()); err != nil {
					t.Error(err)
				}
				mu.Lock()
				defer mu.Unlock()
				acks = append(acks, s.Stats().Durable)
			})
			if i == 9 {
				synctest.Wait() // the next ones find a commit under way
			}
		}
		waiters.Wait()
		if took := time.Since(start); took != 20*time.Second || len(acks) != 15 || !slices.IsSorted(acks) {
			t.Errorf("%d were acknowledged in %v, at %v; want 15 in two commits of ten seconds", len(acks), took, acks)
		}
		s.Close()
		m := &journal{}
		open(t, dir, m, nil).Close()
		if len(m.updates) != 20 || m.updates[19] != "19" {
			t.Errorf("recovered %q", m.updates)
		}
	})
}

// A context that ends before the update, while it waits for room, while it is
// written and after: an error says whether it was applied, and nothing waits.
func TestCancelAtAnyMoment(t *testing.T) {
	for at := range 60 {
		synctest.Test(t, func(t *testing.T) {
			const dir = "/cancel"
			_, fs := memory(t, dir)
			m := &journal{}
			s := open(t, dir, m, &store.Options{MaxPending: 60, SnapshotBytes: -1})
			slow(fs, 20*time.Millisecond)
			ctx, cancel := context.WithTimeout(t.Context(), time.Duration(at)*time.Millisecond)
			defer cancel()
			var o outcomes
			var writers sync.WaitGroup
			for w := range 6 {
				writers.Go(func() {
					u := fmt.Sprint(w, strings.Repeat("x", 40))
					_, err := s.Update(ctx, []byte(u))
					o.note(t, u, err)
				})
			}
			writers.Wait()
			if end, _ := ctx.Deadline(); time.Now().After(end) {
				t.Errorf("writers waited %v longer than their context", time.Since(end))
			}
			if err := s.Sync(t.Context()); err != nil {
				t.Error(err)
			}
			for u, err := range o.errs {
				wantIs(t, err, context.DeadlineExceeded)
				made := !strings.Contains(err.Error(), "update not made")
				if made != slices.Contains(m.updates, u) {
					t.Errorf("%v, and applied: %v", err, !made)
				}
			}
			want := slices.Clone(m.updates)
			s.Close()
			wantUpdates(t, dir, want...)
		})
	}
}

// stuck is a machine whose snapshots take until they are told to end.
type stuck struct {
	journal
	writing, release chan struct{}
}

func (m *stuck) Snapshot() (io.WriterTo, error) {
	w, err := m.journal.Snapshot()
	return stuckState{w, m}, err
}

type stuckState struct {
	io.WriterTo
	m *stuck
}

func (s stuckState) WriteTo(w io.Writer) (int64, error) {
	close(s.m.writing)
	<-s.m.release
	return s.WriterTo.WriteTo(w)
}

// Close gives a snapshot up that is being written, and waits for the machine to
// notice; who waits for the snapshot is told, and nothing of it is left.
func TestCloseGivesASnapshotUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const dir = "/giveup"
		mem, _ := memory(t, dir)
		m := &stuck{writing: make(chan struct{}), release: make(chan struct{})}
		s := open(t, dir, m, nil)
		update(t, s, "one")
		snapshot := make(chan error, 1)
		go func() { snapshot <- s.Snapshot(t.Context()) }()
		<-m.writing
		update(t, s, "two")
		closed := make(chan error, 1)
		go func() { closed <- s.Close() }()
		synctest.Wait()
		select {
		case err := <-closed:
			t.Error("Close returned while the machine wrote a snapshot:", err)
		default:
		}
		close(m.release)
		if err := <-closed; err != nil {
			t.Error(err)
		}
		wantIs(t, <-snapshot, store.ErrClosed)
		for _, name := range readFiles(t, mem, dir).names() {
			if !strings.HasSuffix(name, ".log") {
				t.Errorf("%s is left of the snapshot", name)
			}
		}
		wantUpdates(t, dir, "one", "two")
	})
}

// Sync within View does not wait for a snapshot that waits for View to end, nor for
// SyncInterval. Neither does Wait, when somebody flushes.
func TestSyncWithinViewDoesNotWaitForItself(t *testing.T) {
	const dir = "/syncview"
	memory(t, dir)
	s := open(t, dir, &journal{}, &store.Options{SyncInterval: time.Hour, SnapshotBytes: -1})
	update(t, s, "one")
	ticket, err := s.Submit([]byte("two"))
	check(t, err)
	snapshot := make(chan error, 1)
	check(t, s.View(func() error {
		go func() { snapshot <- s.Snapshot(context.Background()) }()
		return s.Sync(context.Background())
	}))
	check(t, <-snapshot)
	check(t, s.View(func() error { return errors.Join(s.Sync(t.Context()), ticket.Wait(t.Context())) }))
	ticket, err = s.Submit([]byte("three"))
	check(t, err)
	check(t, s.View(func() error {
		s.Flush()
		return ticket.Wait(context.Background())
	}))
	s.Close()
	wantUpdates(t, dir, "one", "two", "three")
}

// A batch of MaxPending bytes does not wait for SyncInterval, though no more may come.
func TestAFullBatchDoesNotWaitForSyncInterval(t *testing.T) {
	const dir = "/fullbatch"
	memory(t, dir)
	s := open(t, dir, &keepLast{}, &store.Options{SyncInterval: time.Hour, MaxPending: 4096, SnapshotBytes: -1})
	update(t, s, "the interval begins")
	soon(t, "one update", func() { update(t, s, strings.Repeat("x", 4096)) })
	soon(t, "many", func() {
		for range 100 {
			_, err := s.Submit(make([]byte, 1000))
			check(t, err)
		}
		update(t, s, strings.Repeat("x", 4096))
	})
	check(t, s.Close())
}

// A follower ends with its context or with the store, whatever it waits for.
func TestFollowersEndWithContextAndStore(t *testing.T) {
	for seed := range uint64(20) {
		synctest.Test(t, func(t *testing.T) {
			const dir = "/followers"
			_, fs := memory(t, dir)
			s := open(t, dir, &journal{}, &store.Options{KeepSnapshots: 100, SnapshotBytes: -1})
			slow(fs, 10*time.Millisecond)
			rng := rand.New(rand.NewPCG(seed, 2))
			var followers sync.WaitGroup
			for range 4 {
				ctx, cancel := context.WithTimeout(t.Context(), time.Duration(rng.IntN(300))*time.Millisecond)
				defer cancel()
				followers.Go(func() {
					var last uint64
					var err error
					for u, uerr := range s.Updates(ctx, 1) {
						if err = uerr; err == nil && u.Index != last+1 {
							t.Errorf("update %d followed %d", u.Index, last)
						} else if err == nil {
							last++
						}
					}
					if err != nil {
						wantIs(t, err, store.ErrClosed)
						if ctx.Err() == nil && last != s.Stats().Durable {
							t.Errorf("the store was closed after %d, and the follower ended at %d", s.Stats().Durable, last)
						}
					} else if ctx.Err() == nil {
						t.Error("the sequence ended, and its context had not")
					}
				})
			}
			for i := range 1 + rng.IntN(15) {
				update(t, s, fmt.Sprint(i))
				if rng.IntN(4) == 0 {
					if err := s.Snapshot(t.Context()); err != nil {
						t.Error(err)
					}
				}
			}
			if err := s.Close(); err != nil {
				t.Error(err)
			}
			followers.Wait()
		})
	}
}

// runBriefly is a program that is run n times, and makes an update each time.
func runBriefly(t *testing.T, dir string, n int, o *store.Options, run func(s *store.Store)) {
	t.Helper()
	for range n {
		s := openOnly(t, dir, &journal{}, o)
		run(s)
		check(t, s.Close())
	}
}

// A program that opens its store, makes an update and closes it, again and again, has a snapshot
// every 64 runs, also where Close commits the update: no Open has to replay more logs.
func TestAProgramThatRunsBrieflyGetsSnapshots(t *testing.T) {
	for name, run := range map[string]func(s *store.Store){
		"updated":   func(s *store.Store) { update(t, s, "one") },
		"submitted": func(s *store.Store) { _, err := s.Submit([]byte("one")); check(t, err) },
	} {
		t.Run(name, func(t *testing.T) {
			dir := "/brief" + name
			memory(t, dir)
			runBriefly(t, dir, 200, &store.Options{SyncInterval: time.Hour}, run)
			m := &journal{}
			s := open(t, dir, m, nil)
			if r := s.Recovery(); len(m.updates) != 200 || r.SnapshotIndex != 195 || r.Logs != 6 {
				t.Errorf("after 200 runs: %v", r)
			}
			check(t, s.Close())
		})
	}
}

// A run that makes no update writes no snapshot when it ends, and neither does one whose
// snapshots fail more than one.
func TestCloseMakesNoSnapshotForNothing(t *testing.T) {
	const dir = "/brieflyread"
	memory(t, dir)
	runBriefly(t, dir, 64, nil, func(s *store.Store) { update(t, s, "one") })
	tries := 0
	fails := func() (io.WriterTo, error) {
		tries++
		return nil, errors.New("it can't be captured")
	}
	s := open(t, dir, &troubled{snapshot: fails}, nil)
	if check(t, s.Close()); tries != 0 {
		t.Errorf("%d snapshots were tried without an update", tries)
	}
	s = open(t, dir, &troubled{snapshot: fails}, nil)
	update(t, s, "one")
	eventually(t, "the snapshot has failed", func() bool { return s.Stats().SnapshotsFailed == 1 })
	update(t, s, "two")
	if check(t, s.Close()); tries != 1 {
		t.Errorf("%d snapshots were tried after one that has failed", tries)
	}
}

// Close waits for the snapshot of such a program up to a minute, and no longer than its context.
func TestCloseWaitsForASnapshotThatIsDueNotForEver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const dir = "/briefly"
		memory(t, dir)
		runBriefly(t, dir, 64, nil, func(s *store.Store) { update(t, s, "one") })
		endless := func() (io.WriterTo, error) {
			return store.WriterFunc(func(w io.Writer) (err error) {
				for err == nil {
					time.Sleep(time.Second)
					_, err = w.Write([]byte("a state without end"))
				}
				return err
			}), nil
		}
		for _, limit := range []time.Duration{10 * time.Second, 2 * time.Minute} {
			opts, lines := logged(store.Options{})
			s := open(t, dir, &troubled{snapshot: endless}, opts)
			update(t, s, "one more")
			ctx, cancel := context.WithTimeout(t.Context(), limit)
			defer cancel()
			start := time.Now()
			if err := s.CloseContext(ctx); limit < time.Minute {
				wantIs(t, err, context.DeadlineExceeded)
			} else {
				check(t, err)
			}
			<-s.Done()
			if took, want := time.Since(start), min(limit, time.Minute); took < want || took > want+2*time.Second {
				t.Errorf("Close has taken %v, with %v", took, limit)
			}
			if l := lines(); !strings.Contains(l, "closing gave up a snapshot") {
				t.Errorf("what the operator is told: %s", l)
			}
		}
	})
}

// Close waits for a snapshot that is due, and callers whose updates are pending do not: what is
// wanted durable by Close is at once, whatever SyncInterval says.
func TestWhatIsPendingDoesNotWaitForASnapshotThatIsDue(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const dir = "/brieflypending"
		memory(t, dir)
		runBriefly(t, dir, 64, nil, func(s *store.Store) { update(t, s, "one") })
		slowly := func() (io.WriterTo, error) {
			return store.WriterFunc(func(w io.Writer) error {
				time.Sleep(30 * time.Second)
				return nil
			}), nil
		}
		s := open(t, dir, &troubled{snapshot: slowly}, &store.Options{SyncInterval: time.Hour})
		update(t, s, "one more") // begins the snapshot
		synctest.Wait()
		start, took := time.Now(), make(chan time.Duration, 1)
		go func() {
			update(t, s, "the last")
			took <- time.Since(start)
		}()
		synctest.Wait()
		check(t, s.Close())
		if took := <-took; took > time.Second {
			t.Errorf("the update took %v, and Close %v", took, time.Since(start))
		}
	})
}
