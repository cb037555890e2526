// Command original moves a state file of package stateio, or of the original in
// github.com/grailbio/base, to a store, and back.
//
//	go run ./examples/migrating/original -from balance.state -to data/balance
//
// A program that keeps its state file has less to do: see docs/MIGRATING.md.
package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"

	"github.com/stateio/stateio"
	"github.com/stateio/stateio/examples/migrating/internal/move"
	"github.com/stateio/stateio/store"
)

func main() { move.Main(there, back) }

// balances is the state. The updates are those that the program has written before, and
// Apply is the loop that has replayed them; Snapshot writes what was the snapshot.
type balances map[string]int

type update struct {
	Account string
	Amount  int
}

var errOverdrawn = errors.New("there is not as much in the account")

// Apply adds an amount to an account.
func (b balances) Apply(data []byte) (any, error) {
	var u update
	if err := json.Unmarshal(data, &u); err != nil {
		return nil, err
	}
	if b[u.Account]+u.Amount < 0 {
		return nil, errOverdrawn
	}
	b[u.Account] += u.Amount
	return b[u.Account], nil
}

// Snapshot captures the balances.
func (b balances) Snapshot() (io.WriterTo, error) {
	captured := maps.Clone(b)
	return store.WriterFunc(func(w io.Writer) error { return json.NewEncoder(w).Encode(captured) }), nil
}

// Restore replaces the balances.
func (b balances) Restore(r io.Reader) error {
	var restored map[string]int
	if err := json.NewDecoder(r).Decode(&restored); err != nil {
		return err
	}
	clear(b)
	maps.Copy(b, restored)
	return nil
}

// there imports the file, and compares what both restore.
func there(ctx context.Context, from, to string) (n int, err error) {
	f, err := os.Open(from)
	if err != nil {
		return 0, err
	}
	defer f.Close()
	want, err := restoreFile(f)
	if err != nil {
		return 0, err
	}
	return len(want), move.To(to, func(dir string) error {
		info, err := f.Stat()
		if err != nil {
			return err
		}
		if err := store.Import(dir, f, info.Size()); err != nil {
			return err
		}
		got := balances{}
		if _, err := store.Load(ctx, dir, got); err != nil {
			return err
		}
		if !maps.Equal(got, want) {
			return fmt.Errorf("the store has %v, and the file %v", got, want)
		}
		return nil
	})
}

// restoreFile is how the program has begun until now.
func restoreFile(f *os.File) (balances, error) {
	snapshot, _, updates, err := stateio.RestoreFile(f)
	if err != nil {
		return nil, err
	}
	b := balances{}
	if snapshot != nil {
		if err := b.Restore(bytes.NewReader(snapshot)); err != nil {
			return nil, err
		}
	}
	for data, err := range updates.All() {
		if err != nil {
			return nil, err
		}
		if _, err := b.Apply(data); err != nil {
			return nil, err
		}
	}
	return b, nil
}

// back makes a state file with one snapshot.
func back(ctx context.Context, from, to string) (n int, err error) {
	b := balances{}
	if _, err := store.Load(ctx, from, b); err != nil {
		return 0, err
	}
	return len(b), move.To(to, func(path string) (err error) {
		f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o666)
		if err != nil {
			return err
		}
		defer func() { err = errors.Join(err, f.Close()) }()
		w, err := stateio.NewFileWriter(f)
		if err != nil {
			return err
		}
		captured, err := b.Snapshot()
		if err != nil {
			return err
		}
		var state bytes.Buffer
		if _, err := captured.WriteTo(&state); err != nil {
			return err
		}
		if err := w.Snapshot(state.Bytes()); err != nil {
			return err
		}
		got, err := restoreFile(f)
		if err == nil && !maps.Equal(got, b) {
			err = fmt.Errorf("the file has %v, and the store %v", got, b)
		}
		return err
	})
}
