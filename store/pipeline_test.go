package store_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stateio/stateio/internal/fsys/faultfs"
	"github.com/stateio/stateio/store"
)

// What waits for readers is applied at once when they leave, not one update for
// each reader.
func TestReadersDoNotStarveWriters(t *testing.T) {
	const dir, writers = "/starve", 64
	memory(t, dir)
	m := &journal{}
	s := open(t, dir, m, &store.Options{SnapshotBytes: -1})
	var all sync.WaitGroup
	seen := 0
	inView(t, s, func() {
		for i := range writers {
			all.Go(func() { update(t, s, fmt.Sprint(i)) })
		}
		for s.Waiting() < writers {
			yield(1)
		}
		all.Go(func() {
			check(t, s.View(func() error { seen = len(m.updates); return nil }))
		})
		yield(1000)
	})
	all.Wait()
	// The second View came when all had been queued. It may have come to its turn
	// before them, or after all of them.
	if seen != 0 && seen != writers {
		t.Errorf("a View between saw %d of %d updates", seen, writers)
	}
	if st := s.Stats(); st.Batches > 3 {
		t.Errorf("%d updates that were applied at once took %d commits", writers, st.Batches)
	}
	check(t, s.Close())
}

// With SyncInterval, whoever wants what was applied to be durable has it at once:
// Sync, Backup, Close, Flush, and a batch that is full.
func TestWhatIsWantedDurableDoesNotWaitForSyncInterval(t *testing.T) {
	for name, want := range map[string]func(t *testing.T, s *store.Store, ticket *store.Ticket) error{
		"Sync": func(t *testing.T, s *store.Store, _ *store.Ticket) error { return s.Sync(t.Context()) },
		"Backup": func(t *testing.T, s *store.Store, _ *store.Ticket) error {
			_, err := s.Backup(t.Context(), io.Discard)
			return err
		},
		"Snapshot":  func(t *testing.T, s *store.Store, _ *store.Ticket) error { return s.Snapshot(t.Context()) },
		"WaitIndex": func(t *testing.T, s *store.Store, _ *store.Ticket) error { return s.WaitIndex(t.Context(), 2) },
		"ViewDurable": func(t *testing.T, s *store.Store, _ *store.Ticket) error {
			return s.ViewDurable(t.Context(), func() error { return nil })
		},
		"Flush": func(t *testing.T, s *store.Store, ticket *store.Ticket) error {
			s.Flush()
			return ticket.Wait(t.Context())
		},
		"Close": func(_ *testing.T, s *store.Store, _ *store.Ticket) error { return s.Close() },
		"a full batch": func(_ *testing.T, s *store.Store, _ *store.Ticket) error {
			for range 5 {
				if _, err := s.Submit(make([]byte, 1000)); err != nil {
					return err
				}
			}
			return nil
		},
		"a shorter interval": func(t *testing.T, s *store.Store, ticket *store.Ticket) error {
			s.SetSyncInterval(0)
			return ticket.Wait(t.Context())
		},
	} {
		synctest.Test(t, func(t *testing.T) {
			dir := "/wanted"
			memory(t, dir)
			s := open(t, dir, &journal{}, &store.Options{SyncInterval: time.Hour, MaxPending: 2000})
			update(t, s, "so that the next one waits for an hour")
			ticket, err := s.Submit([]byte("two"))
			check(t, err)
			synctest.Wait()
			if s.Stats().Durable != 1 {
				t.Fatal("the second update did not wait")
			}
			start := time.Now()
			check(t, want(t, s, ticket))
			if took := time.Since(start); took > 0 {
				t.Errorf("%s: it took %v", name, took)
			}
			if s.Stats().Durable < 2 {
				t.Errorf("%s: the second update is not durable", name)
			}
			_ = s.Close()
		})
	}
}

// SnapshotBytes may be changed while the store is open.
func TestSnapshotBytesMayBeChanged(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const dir = "/changed"
		memory(t, dir)
		s := open(t, dir, &journal{}, &store.Options{SnapshotBytes: -1})
		for range 10 {
			update(t, s, strings.Repeat("x", 1000))
		}
		synctest.Wait()
		if n := s.Stats().Snapshots; n > 0 {
			t.Errorf("%d snapshots were made", n)
		}
		s.SetSnapshotBytes(5000)
		update(t, s, "one")
		synctest.Wait()
		if n := s.Stats().Snapshots; n != 1 {
			t.Errorf("%d snapshots were made, want 1", n)
		}
		check(t, s.Close())
	})
}

// All that want a snapshot while one is made share the next one, and a context that
// has ended wants none.
func TestSnapshotsThatAreWantedTogetherAreOne(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const dir = "/together"
		memory(t, dir)
		m := &stuck{writing: make(chan struct{}), release: make(chan struct{})}
		s := open(t, dir, m, &store.Options{SnapshotBytes: -1})
		ended, cancel := context.WithCancel(t.Context())
		cancel()
		for range 500 {
			wantIs(t, s.Snapshot(ended), context.Canceled)
		}
		update(t, s, "one")
		first := make(chan error, 1)
		go func() { first <- s.Snapshot(t.Context()) }()
		<-m.writing
		update(t, s, "two")
		m.writing = make(chan struct{})
		rest := make(chan error, 500)
		for i := range cap(rest) {
			go func() {
				ctx, cancel := context.WithTimeout(t.Context(), time.Duration(i%3)*time.Minute)
				defer cancel()
				rest <- s.Snapshot(ctx)
			}()
		}
		time.Sleep(90 * time.Second) // of the bubble
		close(m.release)
		check(t, <-first)
		told := map[string]int{}
		for range cap(rest) {
			if err := <-rest; err == nil {
				told["made"]++
			} else if errors.Is(err, context.DeadlineExceeded) {
				told["gave up"]++
			} else {
				t.Error(err)
			}
		}
		if n := s.Stats().Snapshots; n != 2 || told["made"] != 166 || told["gave up"] != 334 {
			t.Errorf("%d snapshots were made, want 2; %v", n, told)
		}
		check(t, s.Close())
	})
}

// A store whose state is that of its newest snapshot writes none, also when it was
// opened again.
func TestAStateThatDidNotChangeIsNotWrittenAgain(t *testing.T) {
	const dir = "/unchanged"
	mem, fs := memory(t, dir)
	s := open(t, dir, &journal{}, nil)
	update(t, s, "one")
	check(t, s.Snapshot(t.Context()))
	check(t, s.Close())
	before := readFiles(t, mem, dir)
	for range 3 {
		s := open(t, dir, &journal{}, nil)
		fs.OnOp(func(op faultfs.Op) {
			if op.Kind&(faultfs.OpCreate|faultfs.OpWrite) != 0 {
				t.Errorf("%v", op)
			}
		})
		for range 3 {
			check(t, s.Snapshot(t.Context()))
		}
		fs.OnOp(nil)
		if _, err := s.Update(t.Context(), []byte("refuse")); !errors.Is(err, errRefused) {
			t.Error(err)
		}
		check(t, s.Snapshot(t.Context()))
		check(t, s.Close())
	}
	if after := readFiles(t, mem, dir); !slices.Equal(before.names(), after.names()) {
		t.Errorf("%q has become %q", before.names(), after.names())
	}
}

// idleState is a state whose WriteTo waits for something else than the disk.
type idleState struct{ pieces int }

func (s idleState) WriteTo(w io.Writer) (n int64, err error) {
	for range s.pieces {
		time.Sleep(2 * time.Second) // in a bubble
		k, err := w.Write(make([]byte, 1<<20+200<<10))
		if n += int64(k); err != nil {
			return n, err
		}
	}
	return n, nil
}

// A WriteTo that takes its time is not made to take more.
func TestPausesAreForTheDiskOnly(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const dir = "/pauses"
		memory(t, dir)
		m := &troubled{}
		m.snapshot = func() (io.WriterTo, error) { return idleState{3}, nil }
		s := open(t, dir, m, &store.Options{SnapshotBytes: -1})
		ctx, cancel := context.WithCancel(t.Context())
		var writer sync.WaitGroup
		writer.Go(func() {
			for ctx.Err() == nil {
				update(t, s, "one")
				time.Sleep(5 * time.Millisecond) // of the bubble
			}
		})
		start := time.Now()
		check(t, s.Snapshot(t.Context()))
		if took := time.Since(start); took != 6*time.Second {
			t.Errorf("a WriteTo that takes 6 s has taken %v", took)
		}
		cancel()
		writer.Wait()
		check(t, s.Close())
	})
}

// A WriteTo that does not return is given up by Close. What it writes later gets an
// error and changes nothing, and its state is closed when it returns.
func TestCloseGivesUpAWriteToThatDoesNotReturn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const dir = "/neverending"
		mem, _ := memory(t, dir)
		m := &troubled{}
		leave, late := make(chan struct{}), make(chan error, 1)
		closed := 0
		m.snapshot = func() (io.WriterTo, error) {
			return captured{func(w io.Writer) error {
				<-leave
				_, err := w.Write(make([]byte, 1<<20))
				late <- err
				return err
			}, &closed}, nil
		}
		s := open(t, dir, m, &store.Options{SnapshotBytes: -1})
		update(t, s, "one")
		snapshot := make(chan error, 1)
		go func() { snapshot <- s.Snapshot(t.Context()) }()
		synctest.Wait()
		start := time.Now()
		check(t, s.Close())
		if took := time.Since(start); took > 5*time.Second {
			t.Errorf("Close took %v", took)
		}
		wantIs(t, <-snapshot, store.ErrClosed)
		before := readFiles(t, mem, dir)
		if closed > 0 {
			t.Error("the state was closed while WriteTo ran")
		}
		close(leave)
		if err := <-late; err == nil {
			t.Error("WriteTo wrote after the store was closed")
		}
		synctest.Wait()
		if closed != 1 {
			t.Errorf("the state was closed %d times", closed)
		}
		if after := readFiles(t, mem, dir); !slices.Equal(before.names(), after.names()) {
			t.Errorf("%q has become %q", before.names(), after.names())
		}
		wantUpdates(t, dir, "one")
	})
}

// One update writes about as much as it takes, not what large stores set aside.
func TestOneUpdateWritesLittle(t *testing.T) {
	const dir = "/wear"
	_, fs := memory(t, dir)
	written := int64(0)
	fs.OnOp(func(op faultfs.Op) {
		if op.Kind == faultfs.OpWrite {
			written += op.Len
		}
	})
	for gen := range 3 {
		written = 0
		s := open(t, dir, &journal{}, nil)
		update(t, s, "one line")
		check(t, s.Close())
		if written > 40_000 {
			t.Errorf("generation %d: opening, one update and closing write %d bytes", gen, written)
		}
	}
}

// A log sets the more aside the longer it gets, up to PreallocateBytes.
func TestALogSetsMoreAsideAsItGrows(t *testing.T) {
	const dir = "/growing"
	_, fs := memory(t, dir)
	var pieces []int64
	fs.OnOp(func(op faultfs.Op) {
		if op.Kind == faultfs.OpPreallocate {
			pieces = append(pieces, op.Len)
		}
	})
	s := open(t, dir, &journal{}, &store.Options{SnapshotBytes: -1, PreallocateBytes: 100_000})
	for range 400 {
		update(t, s, strings.Repeat("x", 1000))
	}
	want := []int64{16 << 10, 32 << 10, 64 << 10, 100_000, 100_000, 100_000}
	if len(pieces) < len(want) || !slices.Equal(pieces[:len(want)], want) {
		t.Errorf("%d bytes are set aside, want %d", pieces, want)
	}
	check(t, s.Close())
}

// Where overwriting needs space, as on a file system that copies on write, a commit
// may find none. It waits for some, nobody is told, no update is applied meanwhile,
// and all goes on when there is space.
func TestACommitWaitsForSpace(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const dir = "/cow"
		_, fs := memory(t, dir)
		m := &journal{}
		s := open(t, dir, m, &store.Options{SnapshotBytes: -1})
		update(t, s, "one")
		fs.Inject(faultfs.Fault{Kinds: faultfs.OpWrite, Path: "*.log", Short: 10, Err: syscall.ENOSPC, Forever: true})
		outcome := make(chan error, 3)
		for _, u := range []string{"two", "three"} {
			go func() {
				_, err := s.Update(context.Background(), []byte(u))
				outcome <- err
			}()
			synctest.Wait()
		}
		go func() { outcome <- s.Sync(t.Context()) }()
		time.Sleep(time.Minute) // of the bubble
		if len(outcome) > 1 {
			t.Errorf("%d were told while there was no space: %v", len(outcome), <-outcome)
		}
		applied := s.Index()
		_, err := s.Update(t.Context(), []byte("refused"))
		wantIs(t, err, store.ErrNoSpace)
		if s.Index() != applied {
			t.Error("an update was applied while a commit waited for space")
		}
		_, err = s.Update(shortly(t), []byte("refused"))
		wantIs(t, err, store.ErrNoSpace)
		check(t, s.View(func() error { return nil }))
		if err := s.Stats().Err; err != nil {
			t.Error(err)
		}
		fs.Heal()
		var refused int
		for range cap(outcome) {
			if err := <-outcome; errors.Is(err, store.ErrNoSpace) {
				refused++
			} else if err != nil {
				t.Error(err)
			}
		}
		update(t, s, "four")
		if len(m.updates)+refused != 4 {
			t.Errorf("%d updates are applied and %d refused", len(m.updates), refused)
		}
		check(t, s.Close())
		wantUpdates(t, dir, m.updates...)
	})
}

// A commit that waits for space fails the store if that is closed: nobody else will
// write what was applied.
func TestCloseEndsTheWaitForSpace(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const dir = "/cowclose"
		_, fs := memory(t, dir)
		s := open(t, dir, &journal{}, &store.Options{SnapshotBytes: -1})
		update(t, s, "one")
		fs.Inject(faultfs.Fault{Kinds: faultfs.OpWrite, Path: "*.log", Err: syscall.ENOSPC, Forever: true})
		ticket, err := s.Submit([]byte("two"))
		check(t, err)
		synctest.Wait()
		closed := s.Close()
		wantIs(t, closed, store.ErrFailed)
		err = ticket.Wait(t.Context())
		wantIs(t, err, store.ErrUnknown)
		wantIs(t, err, store.ErrFailed)
		if errors.Is(closed, store.ErrNoSpace) || errors.Is(err, store.ErrNoSpace) {
			t.Errorf("an update that was applied is said not to be: Close: %v; Wait: %v", closed, err)
		}
		fs.Heal()
		wantUpdates(t, dir, "one")
	})
}

// keepLast is a machine with a small state.
type keepLast struct{ last []byte }

func (m *keepLast) Apply(u []byte) (any, error) {
	m.last = append(m.last[:0], u...)
	return nil, nil
}

func (m *keepLast) Snapshot() (io.WriterTo, error) { return journalState{string(m.last)}, nil }
func (m *keepLast) Restore(io.Reader) error        { return nil }

// A log that fills the disk starts the snapshots that make room, while they can
// still be written: with a small state, no update is ever refused.
func TestALogThatFillsTheDiskMakesRoom(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const dir = "/filling"
		mem, _ := memory(t, dir)
		mem.SetQuota(3_000_000)
		s := open(t, dir, &keepLast{}, &store.Options{PreallocateBytes: 256 << 10})
		u := make([]byte, 1000)
		for i := range 20_000 {
			if _, err := s.Update(t.Context(), u); err != nil {
				t.Fatalf("update %d, %d bytes used: %v", i, mem.Used(), err)
			}
			if i%100 == 0 {
				synctest.Wait() // a snapshot is faster than a disk's worth of updates
			}
		}
		if n := s.Stats().Snapshots; n < 5 {
			t.Errorf("%d snapshots were made", n)
		}
		check(t, s.Close())
	})
}

// The space that is left for a snapshot is not taken by updates while it is made, however
// fast they come: the store always gets room again.
func TestUpdatesDoNotTakeTheSpaceOfASnapshotThatIsMade(t *testing.T) {
	for round := range 6 {
		dir := fmt.Sprint("/taking", round)
		mem, _ := memory(t, dir)
		mem.SetQuota(3 << 20)
		s := open(t, dir, &keepLast{}, nil)
		u := make([]byte, 1000)
		put := func() error {
			if round%2 == 0 {
				_, err := s.Update(t.Context(), u)
				return err
			}
			_, err := s.Change(t.Context(), func(tx *store.Tx) error { return tx.Append(u) })
			return err
		}
		for range 8000 {
			err := put()
			if err == nil {
				continue
			}
			wantIs(t, err, store.ErrNoSpace)
			eventually(t, "there is space again", func() bool { return put() == nil })
		}
		check(t, s.Close())
	}
}

// A log that is as large as a file may be is lack of space: the snapshot that starts begins
// a new one. The store neither fails nor loses anything.
func TestALogThatIsAsLargeAsAFileMayBe(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const dir = "/toolarge"
		_, fs := memory(t, dir)
		s := open(t, dir, &journal{}, &store.Options{PreallocateBytes: 64 << 10})
		var want []string
		add := func() error {
			u := fmt.Sprintf("%01000d", len(want))
			_, err := s.Update(t.Context(), []byte(u))
			if err == nil {
				want = append(want, u)
			}
			return err
		}
		check(t, add())
		fs.Inject(faultfs.Fault{Kinds: faultfs.OpPreallocate, Path: "00000000000000000000.log*", Err: syscall.EFBIG, Forever: true})
		var err error
		for err == nil && len(want) < 1000 {
			err = add()
		}
		if err != nil { // or the snapshot was there in time
			wantIs(t, err, store.ErrNoSpace)
			wantIs(t, err, syscall.EFBIG)
		}
		synctest.Wait()
		if n := s.Stats().Snapshots; n == 0 {
			t.Error("no snapshot was made")
		}
		for range 100 {
			check(t, add())
		}
		check(t, s.Close())
		wantUpdates(t, dir, want...)
	})
}

// When there was no space for a snapshot, it is tried again when there is, without
// being asked for.
func TestASnapshotIsTriedAgainWhenSpaceReturns(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const dir = "/returns"
		mem, _ := memory(t, dir)
		mem.SetQuota(1_000_000)
		s := open(t, dir, &journal{}, &store.Options{PreallocateBytes: 64 << 10, KeepSnapshots: 1})
		u := make([]byte, 1000)
		for s.Stats().SnapshotsFailed == 0 { // the state takes as much as the log
			if _, err := s.Update(t.Context(), u); err != nil {
				wantIs(t, err, store.ErrNoSpace)
			}
			synctest.Wait()
		}
		made := s.Stats().Snapshots
		mem.SetQuota(8_000_000)
		for range 1000 {
			update(t, s, string(u))
			synctest.Wait()
			if s.Stats().Snapshots > made {
				break
			}
		}
		if st := s.Stats(); st.Snapshots == made || st.SnapshotError != nil {
			t.Errorf("no snapshot was made after space returned: %v", st.SnapshotError)
		}
		check(t, s.Close())
	})
}
