package store_test

import (
	"context"
	"slices"
	"syscall"
	"testing"
	"time"

	"github.com/stateio/stateio/internal/fsys/faultfs"
	"github.com/stateio/stateio/internal/fsys/memfs"
	"github.com/stateio/stateio/internal/storefs"
	"github.com/stateio/stateio/store"
)

// hesitant is a journal whose Apply waits when it is told to.
type hesitant struct {
	journal
	entered, leave chan struct{}
}

func (m *hesitant) Apply(u []byte) (any, error) {
	if string(u) == "slow" {
		close(m.entered)
		<-m.leave
	}
	return m.journal.Apply(u)
}

// When a commit fails while the next update is being applied, that update is not
// acknowledged either: the log has a hole before it.
func TestACommitThatFailsDuringApplyFailsThatUpdateToo(t *testing.T) {
	for name, submit := range map[string]func(s *store.Store) error{
		"update": func(s *store.Store) error {
			_, err := s.Update(t.Context(), []byte("slow"))
			return err
		},
		"ticket": func(s *store.Store) error {
			ticket, err := s.Submit([]byte("slow"))
			if err != nil {
				return err
			}
			return ticket.Wait(t.Context())
		},
	} {
		t.Run(name, func(t *testing.T) { failDuringApply(t, submit) })
	}
}

func failDuringApply(t *testing.T, submit func(s *store.Store) error) {
	const dir = "/meanwhile"
	mem, fs := memory(t, dir)
	m := &hesitant{entered: make(chan struct{}), leave: make(chan struct{})}
	s := open(t, dir, m, nil)
	update(t, s, "durable")
	outcome := make(chan error)
	fs.OnOp(func(op faultfs.Op) {
		if op.Kind != faultfs.OpDatasync {
			return
		}
		fs.OnOp(nil)
		go func() { outcome <- submit(s) }()
		<-m.entered
	})
	fs.Inject(faultfs.Fault{Kinds: faultfs.OpDatasync, Revert: true})
	_, err := s.Update(t.Context(), []byte("lost"))
	wantIs(t, err, store.ErrFailed)
	close(m.leave)
	wantIs(t, <-outcome, store.ErrFailed)
	if s.Index() != 3 || s.Stats().Durable != 1 {
		t.Errorf("index %d, durable %d; want 3 and 1", s.Index(), s.Stats().Durable)
	}
	wantIs(t, s.Sync(t.Context()), store.ErrFailed)
	wantIs(t, s.Close(), store.ErrFailed)
	mount(t, dir, mem.Kill())
	wantUpdates(t, dir, "durable")
}

// Whatever fails while a snapshot is made with updates still pending: after a crash
// at any operation that follows, the store opens, with all that was acknowledged
// and nothing after a hole.
func TestASnapshotThatFailsWithUpdatesPending(t *testing.T) {
	const dir = "/pending"
	for i := range 4 {
		for n := int64(1); ; n++ {
			fault := faultfs.Fault{N: n, Err: syscall.EIO, Forever: i%2 == 1, Revert: i >= 2}
			outcomes := failSnapshot(t, dir, fault)
			if len(outcomes) == 0 {
				break
			}
			for _, o := range outcomes {
				unmount := storefs.Mount(dir, o.state)
				m := &journal{}
				s, err := store.Open(dir, m, quiet(nil))
				if err != nil {
					t.Fatalf("operation %d failed: %v", n, err)
				}
				if k := len(m.updates); k < o.acknowledged || k > len(pending) || !slices.Equal(m.updates, pending[:k]) {
					t.Fatalf("operation %d failed: %q are there, and %d were acknowledged", n, m.updates, o.acknowledged)
				}
				s.Close()
				unmount()
			}
		}
	}
}

var pending = []string{"durable", "pending", "too", "after"}

// An outcome is what a crash leaves, and what had been acknowledged before.
type outcome struct {
	state        *memfs.FS
	acknowledged int
}

// failSnapshot makes a store with an update and two that are pending, a snapshot
// with a fault, another update and a snapshot. It returns what crashes leave at the
// operations after the fault; nothing if it was not hit.
func failSnapshot(t *testing.T, dir string, f faultfs.Fault) (outcomes []outcome) {
	mem, fs := memory(t, dir)
	s := open(t, dir, &journal{}, &store.Options{SyncInterval: time.Hour, SnapshotBytes: -1, PreallocateBytes: 4096})
	update(t, s, pending[0])
	check(t, s.Snapshot(t.Context()))
	var tickets []*store.Ticket
	submit := func(updates ...string) {
		for _, u := range updates {
			if ticket, err := s.Submit([]byte(u)); err == nil {
				tickets = append(tickets, ticket)
			}
		}
	}
	submit(pending[1:3]...)
	now, cancel := context.WithCancel(t.Context())
	cancel() // to wait for nothing
	fault := fs.Inject(f)
	crash := func() {
		acknowledged := 1
		for _, ticket := range tickets {
			if ticket.Wait(now) == nil {
				acknowledged++
			}
		}
		for state := range mem.CrashStates() {
			outcomes = append(outcomes, outcome{state, acknowledged})
		}
	}
	fs.OnOp(func(op faultfs.Op) {
		if fault.Hits() > 0 && op.Kind&(faultfs.OpSync|faultfs.OpDatasync|faultfs.OpSyncDir|faultfs.OpRemove) != 0 {
			crash()
		}
	})
	_ = s.Snapshot(t.Context())
	hit := fault.Hits() > 0
	submit(pending[3])
	_ = s.Snapshot(t.Context())
	fs.OnOp(nil)
	if crash(); !hit {
		outcomes = nil
	}
	s.Close()
	return outcomes
}
