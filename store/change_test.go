package store_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/stateio/stateio/internal/fsys/faultfs"
	"github.com/stateio/stateio/internal/storefs"
	"github.com/stateio/stateio/store"
)

// note makes a change of m that adds these updates.
func note(m *journal, updates ...string) func(tx *store.Tx) error {
	return func(tx *store.Tx) error {
		for _, u := range updates {
			if err := tx.Append([]byte(u)); err != nil {
				return err
			}
		}
		m.updates = append(m.updates, updates...)
		return nil
	}
}

// What a change logs is replayed in its order, among updates of others, and Updates tells
// each by itself.
func TestChangesAreReplayed(t *testing.T) {
	const dir = "/change"
	memory(t, dir)
	m := &journal{}
	s := open(t, dir, m, nil)
	index, err := s.Change(t.Context(), note(m, "a", "", "b"))
	if err != nil || index != 3 {
		t.Errorf("the change has index %d, %v, want 3", index, err)
	}
	update(t, s, "c")
	ticket, err := s.SubmitChange(note(m, "d"))
	check(t, err)
	if err := ticket.Wait(t.Context()); err != nil || ticket.Index() != 5 || ticket.Result() != nil {
		t.Errorf("the ticket has index %d, %v", ticket.Index(), err)
	}
	check(t, s.Snapshot(t.Context()))
	var callers sync.WaitGroup
	for i := range 20 {
		callers.Go(func() {
			if i%2 == 0 {
				update(t, s, fmt.Sprint(i))
				return
			}
			if _, err := s.Change(t.Context(), note(m, fmt.Sprint(i), fmt.Sprint(i), strings.Repeat("x", 40_000*(i%4)))); err != nil {
				t.Error(err)
			}
		})
	}
	callers.Wait()
	var got []string
	for u, err := range store.ReadUpdates(t.Context(), dir, 1) {
		check(t, err)
		got = append(got, string(u.Data))
		if u.Index != uint64(len(got)) || u.Time.IsZero() {
			t.Errorf("update %d is told as %d of %v", len(got), u.Index, u.Time)
		}
	}
	if !slices.Equal(got, m.updates) || len(got) != 5+10+30 {
		t.Errorf("%d updates were logged, and %d made", len(got), len(m.updates))
	}
	// One may begin in the middle of a group.
	for u, err := range store.ReadUpdates(t.Context(), dir, 2) {
		if err != nil || u.Index != 2 || len(u.Data) > 0 {
			t.Errorf("update %+v, %v", u, err)
		}
		break
	}
	check(t, s.Close())
	wantUpdates(t, dir, m.updates...)
}

// After a crash all updates of a change are there, or none: wherever the log is cut.
func TestAChangeIsThereAsAWholeOrNotAtAll(t *testing.T) {
	const dir = "/atomic"
	mem, _ := memory(t, dir)
	m := &journal{}
	s := open(t, dir, m, &store.Options{PreallocateBytes: 1})
	update(t, s, "before")
	before := len(bytes.TrimRight(readFiles(t, mem, dir)[log0], "\x00"))
	_, err := s.Change(t.Context(), note(m, "one", "two", strings.Repeat("three", 10_000)))
	check(t, err)
	log := bytes.TrimRight(readFiles(t, mem, dir)[log0], "\x00")
	s.Close()
	for cut := before; cut <= len(log); cut += 1 + (cut-before)/50 {
		unmount := storefs.Mount(dir, files{log0: log[:cut]}.mem(t, dir))
		got := &journal{}
		check(t, open(t, dir, got, nil).Close())
		if n := len(got.updates); n != 1 && (n != 4 || cut < len(log)) {
			t.Errorf("cut to %d bytes of %d, %d updates are there", cut, len(log), n)
		}
		unmount()
	}
}

// The updates of a change are one entry, with the length of each: all of that is no longer
// than MaxUpdate, since a reader takes no longer entry. One update alone has no length there.
func TestTheUpdatesOfAChangeAndTheirLengthsFitMaxUpdate(t *testing.T) {
	const (
		dir  = "/fits"
		most = 1000
	)
	memory(t, dir)
	m := &journal{}
	s := open(t, dir, m, &store.Options{MaxUpdate: most})
	var want []string
	for _, sizes := range [][]int{{most}, {most + 1}, {981, 16}, {982, 16}, {most - 2, 0}, {most - 3, 0}, {0, most - 3}, {0, most - 2}, {most, 0}} {
		updates, all := make([]string, len(sizes)), 0
		for i, n := range sizes {
			updates[i] = strings.Repeat("x", n)
			all += n
			if len(sizes) > 1 {
				all += len(binary.AppendUvarint(nil, uint64(n)))
			}
		}
		_, err := s.Change(t.Context(), note(m, updates...))
		if fits := all <= most; fits != (err == nil) || !fits && !errors.Is(err, store.ErrTooLarge) {
			t.Errorf("updates of %d bytes, which take %d of %d: %v", sizes, all, most, err)
		}
		if err == nil {
			want = append(want, updates...)
		}
	}
	check(t, s.Close())
	wantUpdates(t, dir, want...)
}

// A change that fails logs nothing, and one that logs nothing has no index of its own.
func TestAChangeThatFailsOrIsEmpty(t *testing.T) {
	const dir = "/nochange"
	memory(t, dir)
	m := &journal{}
	s := open(t, dir, m, &store.Options{MaxUpdate: 100})
	update(t, s, "one")
	_, err := s.Change(t.Context(), func(tx *store.Tx) error {
		check(t, tx.Append([]byte("not logged")))
		if tx.Index() != 3 || tx.Time().IsZero() {
			t.Errorf("the next update has index %d and time %v", tx.Index(), tx.Time())
		}
		return errRefused
	})
	if !errors.Is(err, errRefused) {
		t.Errorf("got %v", err)
	}
	_, err = s.Change(t.Context(), note(m, strings.Repeat("x", 60), strings.Repeat("y", 60)))
	wantIs(t, err, store.ErrTooLarge)
	var kept *store.Tx
	index, err := s.Change(t.Context(), func(tx *store.Tx) error { kept = tx; return nil })
	if err != nil || index != 1 {
		t.Errorf("an empty change has index %d, %v", index, err)
	}
	if kept.Append(nil) == nil {
		t.Error("a Tx can be used after its change")
	}
	ticket, err := s.SubmitChange(func(*store.Tx) error { return nil })
	check(t, err)
	if err := ticket.Wait(t.Context()); err != nil || ticket.Index() != 1 {
		t.Errorf("index %d, %v", ticket.Index(), err)
	}
	_, err = s.Change(t.Context(), func(*store.Tx) error {
		_, err := s.Update(t.Context(), []byte("within"))
		return err
	})
	wantIs(t, err, store.ErrReentrant)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err = s.Change(ctx, note(m, "late"))
	wantIs(t, err, context.Canceled)
	if _, err := s.Change(t.Context(), nil); err == nil {
		t.Error("a change that is nil is made")
	}
	check(t, s.Close())
	_, err = s.Change(t.Context(), note(m, "closed"))
	wantIs(t, err, store.ErrClosed)
	_, err = s.SubmitChange(note(m, "closed"))
	wantIs(t, err, store.ErrClosed)
	wantUpdates(t, dir, "one")
}

// A full disk refuses what is appended, before the state is changed.
func TestAChangeOnAFullDisk(t *testing.T) {
	const dir = "/fullchange"
	mem, _ := memory(t, dir)
	m := &journal{}
	s := open(t, dir, m, &store.Options{PreallocateBytes: 1, SnapshotBytes: -1})
	update(t, s, "one")
	mem.SetQuota(mem.Used())
	big := strings.Repeat("x", 100_000)
	_, err := s.Change(t.Context(), note(m, big, "small"))
	wantIs(t, err, store.ErrNoSpace)
	if len(m.updates) != 1 {
		t.Error("the change was made nevertheless")
	}
	mem.SetQuota(0)
	_, err = s.Change(t.Context(), note(m, big, "small"))
	check(t, err)
	check(t, s.Close())
	wantUpdates(t, dir, "one", big, "small")
}

// That a batch is full is no reason to apply what there is no space for.
func TestAChangeThatOverfillsABatchNeedsSpace(t *testing.T) {
	const dir = "/fullbatch"
	mem, fs := memory(t, dir)
	m := &journal{}
	s := open(t, dir, m, &store.Options{PreallocateBytes: 1, SnapshotBytes: -1, MaxPending: 1000})
	update(t, s, "one")
	reached, gate := make(chan struct{}), make(chan struct{})
	fs.OnOp(func(op faultfs.Op) {
		if op.Kind == faultfs.OpDatasync {
			fs.OnOp(nil)
			close(reached)
			<-gate
		}
	})
	_, err := s.Submit([]byte("on its way"))
	check(t, err)
	<-reached
	_, err = s.Submit([]byte("begins a batch"))
	check(t, err)
	mem.SetQuota(mem.Used())
	_, err = s.Change(t.Context(), func(tx *store.Tx) error {
		defer close(gate)
		if err := tx.Append(make([]byte, 100_000)); err != nil {
			return err
		}
		m.updates = append(m.updates, string(make([]byte, 100_000)))
		return nil
	})
	wantIs(t, err, store.ErrNoSpace)
	mem.SetQuota(0)
	check(t, s.Close())
	wantUpdates(t, dir, "one", "on its way", "begins a batch")
}

// A panic in a change fails the store, like one in Apply, and goes on in its caller.
func TestAPanicInAChange(t *testing.T) {
	const dir = "/panicchange"
	memory(t, dir)
	s := open(t, dir, &journal{}, nil)
	func() {
		defer func() {
			if v := recover(); v != "told to" {
				t.Errorf("recovered %v", v)
			}
		}()
		_, _ = s.Change(t.Context(), func(*store.Tx) error { panic("told to") })
	}()
	_, err := s.Update(t.Context(), nil)
	wantIs(t, err, store.ErrFailed)
	_ = s.Close()
}

// When a commit fails, a change that waited for it is unknown.
func TestAChangeWhoseCommitFails(t *testing.T) {
	const dir = "/failchange"
	_, fs := memory(t, dir)
	m := &journal{}
	s := open(t, dir, m, nil)
	fs.Inject(faultfs.Fault{Kinds: faultfs.OpDatasync, Err: errors.New("broken")})
	_, err := s.Change(t.Context(), note(m, "a", "b"))
	var unknown *store.UnknownError
	if !errors.As(err, &unknown) || unknown.Index != 2 || !errors.Is(err, store.ErrFailed) {
		t.Errorf("got %v", err)
	}
	_ = s.Close()
}

// Failed tells of a failure when it comes, and of nothing else.
func TestFailed(t *testing.T) {
	const dir = "/failed"
	_, fs := memory(t, dir)
	s := open(t, dir, &journal{}, nil)
	update(t, s, "one")
	failed := s.Failed()
	select {
	case <-failed:
		t.Error("a store that works has failed")
	default:
	}
	fs.Inject(faultfs.Fault{Kinds: faultfs.OpDatasync, Err: errors.New("broken")})
	_, err := s.Update(t.Context(), []byte("two"))
	wantIs(t, err, store.ErrFailed)
	<-failed
	wantIs(t, s.Stats().Err, store.ErrFailed)
	_ = s.Close()

	other, err := store.OpenMemory(&journal{}, quiet(nil))
	check(t, err)
	check(t, other.Close())
	select {
	case <-other.Failed():
		t.Error("a store that was closed has failed")
	default:
	}
}

// Each call that would wait for itself is told so, not only the first.
func TestManyCallsWithinAChangeAreReported(t *testing.T) {
	s, err := store.OpenMemory(&journal{}, quiet(nil))
	check(t, err)
	_, err = s.Change(t.Context(), func(tx *store.Tx) error {
		for range 5 {
			_, err := s.Update(t.Context(), []byte("within"))
			wantIs(t, err, store.ErrReentrant)
			_, err = s.Submit([]byte("within"))
			wantIs(t, err, store.ErrReentrant)
			_, err = s.Change(t.Context(), note(&journal{}, "within"))
			wantIs(t, err, store.ErrReentrant)
		}
		return nil
	})
	check(t, err)
	check(t, s.Close())
}

// A Tx that is kept says what it said.
func TestATxAfterItsChange(t *testing.T) {
	s, err := store.OpenMemory(&journal{}, quiet(nil))
	check(t, err)
	var kept *store.Tx
	_, err = s.Change(t.Context(), func(tx *store.Tx) error { kept = tx; return tx.Append([]byte("a")) })
	check(t, err)
	if kept.Index() != 2 || kept.Time().IsZero() {
		t.Errorf("index %d, time %v", kept.Index(), kept.Time())
	}
	check(t, s.Close())
}
