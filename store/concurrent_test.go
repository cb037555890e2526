package store_test

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/stateio/stateio/internal/fsys/faultfs"
	"github.com/stateio/stateio/store"
)

// Writers, readers, followers, snapshots, backups and checks at once: each sees
// what it should, and nothing is reported that is not there.
func TestEverythingAtOnce(t *testing.T) {
	const dir = "/everything"
	const writers, each = 8, 100
	mem, _ := memory(t, dir)
	m := &sequences{}
	s := open(t, dir, m, &store.Options{SnapshotBytes: 20_000, KeepSnapshots: 1000, PreallocateBytes: 10_000, MaxPending: 2000})
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	var work, watch sync.WaitGroup
	for w := range writers {
		work.Go(func() {
			for n := uint64(1); n <= each; n++ {
				u := make([]byte, 9+int(n)%500)
				u[0] = byte(w)
				binary.LittleEndian.PutUint64(u[1:], n)
				var err error
				if n%5 == 0 {
					var ticket *store.Ticket
					if ticket, err = s.Submit(u); err == nil {
						err = ticket.Wait(ctx)
					}
				} else {
					_, err = s.Update(ctx, u)
				}
				if err != nil {
					t.Errorf("writer %d: %v", w, err)
					return
				}
			}
		})
	}
	var followed atomic.Uint64
	watch.Go(func() {
		for u, err := range s.Updates(ctx, 1) {
			if err != nil || u.Index != followed.Add(1) {
				t.Errorf("after %d updates: %d, %v", followed.Load(), u.Index, err)
				return
			}
			if u.Index == writers*each {
				return
			}
		}
	})
	stop := make(chan struct{})
	beside := func(what string, do func() error) {
		watch.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				if err := do(); err != nil {
					t.Errorf("%s: %v", what, err)
					return
				}
			}
		})
	}
	beside("view", func() error {
		var sum uint64
		if err := s.View(func() error {
			for _, n := range m.seq {
				sum += n
			}
			return nil
		}); err != nil {
			return err
		}
		if sum > s.Index() {
			return fmt.Errorf("%d updates were seen and %d made", sum, s.Index())
		}
		return nil
	})
	beside("check", func() error {
		files, err := store.Check(ctx, dir, nil)
		for _, f := range files {
			if len(f.Damage) > 0 {
				return f.Damage[0]
			}
		}
		return err
	})
	beside("read", func() error {
		next := uint64(1)
		for u, err := range store.ReadUpdates(ctx, dir, 1) {
			if err != nil {
				return err
			}
			if u.Index != next {
				return fmt.Errorf("update %d follows %d", u.Index, next-1)
			}
			next++
		}
		return nil
	})
	beside("restore", func() error {
		index := s.Stats().Durable
		if index == 0 {
			return nil
		}
		r := &sequences{}
		err := store.RestoreAt(t.Context(), dir, r, index, nil)
		var sum uint64
		for _, n := range r.seq {
			sum += n
		}
		if err == nil && sum != index {
			err = fmt.Errorf("%d updates of %d", sum, index)
		}
		return err
	})
	beside("snapshot", func() error { return s.Snapshot(ctx) })
	work.Wait()
	close(stop)
	watch.Wait()
	if err := s.Close(); err != nil {
		t.Error(err)
	}
	if followed.Load() != writers*each {
		t.Errorf("%d updates were followed, want %d", followed.Load(), writers*each)
	}
	mount(t, dir, mem.Kill())
	again := &sequences{}
	open(t, dir, again, nil).Close()
	if again.seq != m.seq || slices.Contains(again.seq[:], 0) {
		t.Errorf("recovered %v, want %v", again.seq, m.seq)
	}
}

// A read-only look at a store never changes it.
func TestLookingChangesNothing(t *testing.T) {
	const dir = "/looking"
	_, fs := memory(t, dir)
	s := open(t, dir, &journal{}, nil)
	fill(t, s, 0, 25)
	changes := 0
	fs.OnOp(func(op faultfs.Op) {
		if op.Kind&faultfs.Changes != 0 {
			changes++
		}
	})
	if _, err := store.Check(t.Context(), dir, nil); err != nil {
		t.Error(err)
	}
	for _, err := range store.ReadUpdates(t.Context(), dir, 11) {
		if err != nil {
			t.Error(err)
		}
	}
	if err := store.RestoreAt(t.Context(), dir, &journal{}, 20, nil); err != nil {
		t.Error(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := store.Check(ctx, dir, nil); !errors.Is(err, context.Canceled) {
		t.Errorf("Check with a context that has ended: %v", err)
	}
	if changes > 0 {
		t.Errorf("%d operations changed something", changes)
	}
	fs.OnOp(nil)
	s.Close()
}
