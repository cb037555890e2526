// Command raft moves the state of a cluster of hashicorp/raft to a store of one machine, and
// back.
//
//	go run ./examples/migrating/raft -from raft-dir -to data/app
//
// It takes the newest snapshot of a raft.FileSnapshotStore. What was logged after that is
// left out, so make one (raft.Snapshot) when the last command was applied.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"

	"github.com/hashicorp/raft"

	"github.com/stateio/stateio/examples/migrating/internal/move"
	"github.com/stateio/stateio/raftfsm"
	"github.com/stateio/stateio/store"
)

func main() { move.Main(there, back) }

// words is the FSM, as it was in the cluster: it counts words.
type words struct{ count map[string]int }

func (w *words) Apply(l *raft.Log) any {
	w.count[string(l.Data)]++
	return w.count[string(l.Data)]
}

func (w *words) Snapshot() (raft.FSMSnapshot, error) { return captured(maps.Clone(w.count)), nil }

func (w *words) Restore(r io.ReadCloser) error {
	defer func() { _ = r.Close() }() // opened for reading
	w.count = map[string]int{}
	return json.NewDecoder(r).Decode(&w.count)
}

// captured are the words of a snapshot.
type captured map[string]int

func (c captured) Persist(sink raft.SnapshotSink) error {
	if err := json.NewEncoder(sink).Encode(c); err != nil {
		return errors.Join(err, sink.Cancel())
	}
	return sink.Close()
}

func (captured) Release() {}

// there makes a store that begins with the newest snapshot.
func there(ctx context.Context, from, to string) (n int, err error) {
	if _, err := os.Stat(from); err != nil {
		return 0, err // NewFileSnapshotStore would make it
	}
	id, err := newest(from)
	if err != nil {
		return 0, err
	}
	want := &words{}
	if err := restore(id, from, want); err != nil {
		return 0, err
	}
	return len(want.count), move.To(to, func(dir string) error {
		snapshots, err := raft.NewFileSnapshotStore(from, 1, io.Discard)
		if err != nil {
			return err
		}
		_, r, err := snapshots.Open(id)
		if err != nil {
			return err
		}
		err = store.Create(dir, store.WriterFunc(func(w io.Writer) error {
			_, err := io.Copy(w, r)
			return err
		}), nil)
		if err = errors.Join(err, r.Close()); err != nil {
			return err
		}
		got := &words{}
		if _, err := store.Load(ctx, dir, raftfsm.Machine(got)); err != nil {
			return err
		}
		if !maps.Equal(got.count, want.count) {
			return fmt.Errorf("the store has %v, and the snapshot %v", got.count, want.count)
		}
		return nil
	})
}

// newest returns the newest snapshot of a directory.
func newest(dir string) (id string, err error) {
	snapshots, err := raft.NewFileSnapshotStore(dir, 1, io.Discard)
	if err != nil {
		return "", err
	}
	list, err := snapshots.List()
	if err != nil {
		return "", err
	}
	if len(list) == 0 {
		return "", fmt.Errorf("there is no snapshot in %s: make one with raft.Snapshot", dir)
	}
	return list[0].ID, nil
}

// restore gives a snapshot to an FSM.
func restore(id, dir string, fsm raft.FSM) error {
	snapshots, err := raft.NewFileSnapshotStore(dir, 1, io.Discard)
	if err != nil {
		return err
	}
	_, r, err := snapshots.Open(id) // which checks the sum of it
	if err != nil {
		return err
	}
	return fsm.Restore(r)
}

// back makes a snapshot of what is in the store. A new cluster takes it by raft.Restore.
func back(ctx context.Context, from, to string) (n int, err error) {
	fsm := &words{count: map[string]int{}}
	index, err := store.Load(ctx, from, raftfsm.Machine(fsm))
	if err != nil {
		return 0, err
	}
	return len(fsm.count), move.To(to, func(dir string) error {
		snapshots, err := raft.NewFileSnapshotStore(dir, 1, io.Discard)
		if err != nil {
			return err
		}
		_, transport := raft.NewInmemTransport("")
		sink, err := snapshots.Create(raft.SnapshotVersionMax, max(index, 1), 1, raft.Configuration{}, 1, transport)
		if err != nil {
			return err
		}
		captured, err := fsm.Snapshot()
		if err != nil {
			return errors.Join(err, sink.Cancel())
		}
		return captured.Persist(sink)
	})
}
