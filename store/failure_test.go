package store_test

import (
	"testing"

	"github.com/stateio/stateio/internal/fsys"
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
	fs.OnOp(func(op fsys.Op) {
		if op.Kind != fsys.OpDatasync {
			return
		}
		fs.OnOp(nil)
		go func() { outcome <- submit(s) }()
		<-m.entered
	})
	fs.Inject(fsys.Fault{Kinds: fsys.OpDatasync, Revert: true})
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
