// Command buntdb moves a file of buntdb to a map of module durable, with the times at which
// its keys end, and back.
//
//	go run ./examples/migrating/buntdb -from app.db -to data/app
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/tidwall/buntdb"

	"github.com/stateio/stateio/durable"
	"github.com/stateio/stateio/examples/migrating/internal/move"
	"github.com/stateio/stateio/store"
)

func main() { move.Main(there, back) }

func open(dir string, must bool) (*durable.Map[string, string], error) {
	return durable.OpenMap(dir, &durable.MapOptions[string, string]{
		Codec: durable.String{},
		Store: store.Options{MustExist: must},
	})
}

// there moves what one transaction of buntdb reads.
func there(ctx context.Context, from, to string) (n int, err error) {
	if _, err := os.Stat(from); err != nil {
		return 0, err // Open would make it
	}
	db, err := buntdb.Open(from)
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	err = db.View(func(tx *buntdb.Tx) error {
		return move.To(to, func(dir string) error {
			m, err := open(dir, false)
			if err != nil {
				return err
			}
			n, err = fill(ctx, m, tx)
			return errors.Join(err, m.Close())
		})
	})
	return n, err
}

func fill(ctx context.Context, m *durable.Map[string, string], from *buntdb.Tx) (n int, err error) {
	filler := move.Filler[string, string]{Map: m}
	err = each(from, func(key, value string, left time.Duration) error {
		return filler.Do(ctx, len(key)+len(value), func(tx *durable.Tx[string, string]) {
			if left > 0 {
				tx.PutTTL(key, value, left)
			} else {
				tx.Put(key, value)
			}
		})
	})
	if err = errors.Join(err, filler.Flush(ctx)); err != nil {
		return 0, err
	}
	now := m.View() // of which no key ends between two questions
	err = each(from, func(key, value string, left time.Duration) error {
		n++
		got, ok := now.Get(key)
		if !ok && left > 0 {
			return nil // it has ended meanwhile
		}
		if _, ends := now.Deadline(key); got != value || ends != (left > 0) {
			return fmt.Errorf("the map has %q of %q (with an end: %v), and buntdb %q", got, key, ends, value)
		}
		return nil
	})
	return n, err
}

// each calls do for all that is there, with the time that is left to it, or zero if
// there is no end.
func each(tx *buntdb.Tx, do func(key, value string, left time.Duration) error) error {
	var failed error
	err := tx.Ascend("", func(key, value string) bool {
		left, err := tx.TTL(key)
		switch {
		case errors.Is(err, buntdb.ErrNotFound):
			return true // it has ended since the walk began
		case err != nil:
			failed = err
		case left < 0:
			failed = do(key, value, 0)
		default:
			failed = do(key, value, max(left, 1))
		}
		return failed == nil
	})
	return errors.Join(err, failed)
}

// back makes a file of buntdb.
func back(_ context.Context, from, to string) (n int, err error) {
	m, err := open(from, true)
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, m.Close()) }()
	now := m.View() // keys that end meanwhile are in it, with their ends
	return now.Len(), move.To(to, func(path string) error {
		db, err := buntdb.Open(path)
		if err != nil {
			return err
		}
		err = db.Update(func(tx *buntdb.Tx) error { return fillBack(tx, now) })
		return errors.Join(err, db.Close())
	})
}

func fillBack(to *buntdb.Tx, from *durable.View[string, string]) error {
	for key, value := range from.All() {
		var opts *buntdb.SetOptions
		if at, ends := from.Deadline(key); ends {
			opts = &buntdb.SetOptions{Expires: true, TTL: time.Until(at)}
		}
		if _, _, err := to.Set(key, value, opts); err != nil {
			return fmt.Errorf("key %q: %w", key, err)
		}
	}
	return nil
}
