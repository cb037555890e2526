// Command wal moves a log of tidwall/wal to a store, and back.
//
//	go run ./examples/migrating/wal -from app.wal -to data/app
//
// The log must be whole: where its beginning was cut off with TruncateFront, the program
// has a state of its own up to there, which store.Create takes.
package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"

	"github.com/tidwall/wal"

	"github.com/stateio/stateio/examples/migrating/internal/move"
	"github.com/stateio/stateio/store"
)

func main() { move.Main(there, back) }

// lines is the state: all that was logged. Its Apply is the loop that has replayed the
// log, and the statement after each Write.
type lines struct {
	store.JSONState[[]string]
}

// Apply adds a line.
func (l *lines) Apply(update []byte) (any, error) {
	if len(update) == 0 {
		return nil, errors.New("an empty line")
	}
	l.State = append(l.State, string(update))
	return len(l.State), nil
}

// there makes an update of each entry, with the same index.
func there(ctx context.Context, from, to string) (n int, err error) {
	if _, err := os.Stat(from); err != nil {
		return 0, err // wal.Open would make it
	}
	log, err := wal.Open(from, nil)
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, log.Close()) }()
	first, err := log.FirstIndex()
	if err != nil {
		return 0, err
	}
	last, err := log.LastIndex()
	if err != nil {
		return 0, err
	}
	if last == 0 {
		return 0, fmt.Errorf("there is no entry of a log in %s", from)
	}
	if first > 1 {
		return 0, fmt.Errorf("the log begins with entry %d: the state before it is elsewhere; make the store of that with store.Create, and make updates of the entries after it", first)
	}
	return int(last), move.To(to, func(dir string) error {
		// Every update is kept, so that there is a way back.
		s, err := store.Open(dir, &lines{}, &store.Options{SnapshotBytes: -1})
		if err != nil {
			return err
		}
		err = submit(ctx, s, log, last)
		if err = errors.Join(err, s.Close()); err != nil {
			return err
		}
		return compare(ctx, dir, log)
	})
}

// submit makes all updates without waiting for one, and then for all.
func submit(ctx context.Context, s *store.Store, log *wal.Log, last uint64) error {
	for i := s.Index() + 1; i <= last; i++ {
		data, err := log.Read(i)
		if err != nil {
			return fmt.Errorf("reading entry %d: %w", i, err)
		}
		if _, err := s.Submit(data); err != nil {
			return fmt.Errorf("entry %d: %w", i, err)
		}
		if s.Index() != i {
			return fmt.Errorf("entry %d was refused by the machine: it has to take all that was ever logged", i)
		}
	}
	return s.Sync(ctx)
}

// compare reads both logs.
func compare(ctx context.Context, dir string, log *wal.Log) error {
	for u, err := range store.ReadUpdates(ctx, dir, 1) {
		if err != nil {
			return err
		}
		data, err := log.Read(u.Index)
		if err != nil {
			return fmt.Errorf("reading entry %d: %w", u.Index, err)
		}
		if !bytes.Equal(data, u.Data) {
			return fmt.Errorf("update %d is %q, and the entry %q", u.Index, u.Data, data)
		}
	}
	return nil
}

// back writes a log of all updates. With snapshots, a store removes those before them:
// then the error says from which index on there are updates.
func back(ctx context.Context, from, to string) (n int, err error) {
	err = move.To(to, func(dir string) (err error) {
		log, err := wal.Open(dir, &wal.Options{NoSync: true})
		if err != nil {
			return err
		}
		defer func() { err = errors.Join(err, log.Sync(), log.Close()) }()
		for u, err := range store.ReadUpdates(ctx, from, 1) {
			if err != nil {
				return err
			}
			if u.State {
				return fmt.Errorf("update %d is a whole state, which has replaced what is before, and a log of entries has no such thing", u.Index)
			}
			if err := log.Write(u.Index, u.Data); err != nil {
				return fmt.Errorf("update %d: %w", u.Index, err)
			}
			n++
		}
		return nil
	})
	return n, err
}
