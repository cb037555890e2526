package engine

import (
	"context"
	"io"
	"log/slog"

	"github.com/stateio/stateio/store"
)

// Store is package store.
var Store = Engine{
	Name: "store",
	What: "Update of package store, an empty Apply",
	Logs: []string{"*.log"},
	Open: func(dir string, o Options) (DB, error) {
		options := &store.Options{Logger: slog.New(slog.DiscardHandler)}
		if o.KeepLog {
			options.SnapshotBytes = -1
		}
		m := &Stateless{Replay: o.Replay}
		s, err := store.Open(dir, m, options)
		if err != nil {
			return nil, err
		}
		m.Replay = nil // no updates come before Open has returned s
		return storeDB{s}, nil
	},
}

// OfStore returns a store as a DB.
func OfStore(s *store.Store) DB { return storeDB{s} }

// storeDB is a store as a DB: it is no Reader, as Open reads all.
type storeDB struct{ *store.Store }

func (s storeDB) Write(update []byte) error {
	_, err := s.Update(context.Background(), update)
	return err
}

func (s storeDB) WriteAll(updates [][]byte) error {
	for _, update := range updates {
		if _, err := s.Submit(update); err != nil {
			return err
		}
	}
	return nil
}

// Stateless is a machine without a state: what is left is the cost of the store.
type Stateless struct {
	Replay func(update []byte) error // gets each update, if not nil
}

// Apply calls Replay.
func (m *Stateless) Apply(update []byte) (any, error) {
	if m.Replay == nil {
		return nil, nil
	}
	return nil, m.Replay(update)
}

// Snapshot returns nothing.
func (m *Stateless) Snapshot() (io.WriterTo, error) { return m, nil }

// WriteTo writes nothing.
func (m *Stateless) WriteTo(io.Writer) (int64, error) { return 0, nil }

// Restore reads nothing.
func (m *Stateless) Restore(io.Reader) error { return nil }
