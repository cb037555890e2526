package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"

	"github.com/stateio/stateio/store"
)

// isDir reports whether path is a directory: the commands that take a state file
// take a store there.
func isDir(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.IsDir()
}

// forStores returns an error for a path that is no directory, where a command needs one, mostly
// of a store: the command line is wrong if something else is there. If nothing can be told of
// what is there, as of a volume that is not mounted, the error is that.
func forStores(path, why string) error {
	info, err := os.Stat(path)
	if err == nil && !info.IsDir() {
		return usageError{fmt.Errorf(why, path)}
	}
	return absent(err)
}

// A storeJournal is the journal of a store. It knows no state: it appends what
// the program that uses the store would have appended.
type storeJournal struct {
	dir     string
	s       *store.Store
	m       *blindMachine
	durable int // updates of this run
	pending int // applied and not known to be durable
}

// openStore opens the store in a directory.
func openStore(dir string) (*storeJournal, error) {
	m := &blindMachine{}
	s, err := store.Open(dir, m, &store.Options{
		SnapshotBytes: -1,      // there is no state to take one of
		KeepSnapshots: 1 << 30, // what to drop is not for us to say
		MaxUpdate:     1 << 30,
		FileMode:      modeOf(dir),
		Logger:        slog.New(slog.DiscardHandler),
	})
	if err != nil {
		return nil, adviseStore(err, dir)
	}
	return &storeJournal{dir: dir, s: s, m: m}, nil
}

// modeOf returns the permissions for new files of the store in a directory: those that the newest
// log has, as the program that uses the store has made it. Zero: there is none.
func modeOf(dir string) (mode fs.FileMode) {
	files, err := store.Files(dir)
	if err != nil {
		return 0 // Open says what is wrong
	}
	for _, f := range files {
		if info, err := os.Stat(f.Path); err == nil && !f.Snapshot {
			mode = info.Mode().Perm() | 0o600
		}
	}
	return mode
}

func (j *storeJournal) add(update []byte) error {
	if _, err := j.s.Submit(update); err != nil {
		return j.failed(err)
	}
	j.pending++
	return nil
}

func (j *storeJournal) commit() error {
	if err := j.s.Sync(context.Background()); err != nil {
		return j.failed(err)
	}
	j.durable += j.pending
	j.pending = 0
	return nil
}

// failed returns the error that says how much of this run is durable.
func (j *storeJournal) failed(err error) error {
	// What was applied before may be durable all the same, or become so now.
	if j.pending > 0 && j.s.Sync(context.Background()) == nil {
		j.durable += j.pending
		j.pending = 0
	}
	if j.pending == 0 {
		return fmt.Errorf("%w. The first %s of this run are durable, what follows was not kept", err, count(j.durable, "update"))
	}
	return fmt.Errorf("%w. The first %s of this run are durable, up to %d more may be: look with stateio log",
		err, count(j.durable, "update"), j.pending)
}

func (j *storeJournal) snapshot(state []byte) error {
	j.m.state = bytes.NewReader(state)
	if err := j.s.Snapshot(context.Background()); err != nil {
		return err
	}
	if j.m.state != nil {
		return fmt.Errorf("%s has a snapshot after update %d, the last one, already: nothing was changed", j.dir, j.s.Index())
	}
	return nil
}

func (j *storeJournal) close() error { return j.s.Close() }

func (j *storeJournal) progress() (durable, pending int) { return j.durable, j.pending }

func (j *storeJournal) name() string { return j.dir }

// A blindMachine is a store's machine without the state.
type blindMachine struct {
	state *bytes.Reader // for the next snapshot; nil: there is none
}

func (*blindMachine) Apply([]byte) (any, error) { return nil, nil }

func (*blindMachine) Restore(io.Reader) error { return nil }

func (m *blindMachine) Snapshot() (io.WriterTo, error) {
	if m.state == nil {
		return nil, errors.New("the state is not known here")
	}
	state := m.state
	m.state = nil
	return state, nil
}

// A replayMachine passes on what a store restores.
type replayMachine struct {
	state  func(io.Reader) error
	update func([]byte) error
}

func (m *replayMachine) Apply(update []byte) (any, error) { return nil, m.update(update) }

func (m *replayMachine) Restore(snapshot io.Reader) error { return m.state(snapshot) }

func (*replayMachine) Snapshot() (io.WriterTo, error) {
	return nil, errors.New("this machine is only restored")
}

// lastIndex returns the index of the last update in a store, which may be in
// use.
func lastIndex(ctx context.Context, dir string) (uint64, error) {
	files, err := store.Files(dir)
	if err != nil {
		return 0, err
	}
	last := uint64(0)
	for _, f := range files {
		if !f.Snapshot {
			last = f.First - 1 // of the newest log
		}
	}
	for u, err := range store.ReadUpdates(ctx, dir, last+1) {
		if err != nil {
			return 0, err
		}
		last = u.Index
	}
	return last, nil
}
