package main

import (
	"context"
	"io"
	"log/slog"

	"github.com/stateio/stateio/store"
)

var storeEngine = engine{
	name:       "store",
	what:       "Update of package store, an empty Apply",
	concurrent: true,
	open: func(dir string, _ int) (writer, error) {
		s, err := store.Open(dir, stateless{}, &store.Options{Logger: slog.New(slog.DiscardHandler)})
		if err != nil {
			return nil, err
		}
		return storeWriter{s}, nil
	},
}

type storeWriter struct{ *store.Store }

func (s storeWriter) Write(update []byte) error {
	_, err := s.Update(context.Background(), update)
	return err
}

// stateless is a machine without a state: what is left is the cost of the store.
type stateless struct{}

func (stateless) Apply([]byte) (any, error)        { return nil, nil }
func (stateless) Snapshot() (io.WriterTo, error)   { return stateless{}, nil }
func (stateless) WriteTo(io.Writer) (int64, error) { return 0, nil }
func (stateless) Restore(io.Reader) error          { return nil }
