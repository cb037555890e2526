// Command bbolt moves the buckets of a file of bbolt to a map of module durable, and back.
//
//	go run ./examples/migrating/bbolt -from app.db -to data/app
//
// Keys of the map are the name of the bucket, a slash, and the key: one map, so that a
// transaction can still span buckets.
package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	bolt "go.etcd.io/bbolt"

	"github.com/stateio/stateio/durable"
	"github.com/stateio/stateio/examples/migrating/internal/move"
	"github.com/stateio/stateio/store"
)

func main() { move.Main(there, back) }

func open(dir string, must bool) (*durable.Map[string, []byte], error) {
	return durable.OpenMap(dir, &durable.MapOptions[string, []byte]{
		Codec: durable.Bytes{},
		Store: store.Options{MustExist: must},
	})
}

// there moves what one transaction of bbolt reads.
func there(ctx context.Context, from, to string) (n int, err error) {
	db, err := bolt.Open(from, 0o600, &bolt.Options{ReadOnly: true, Timeout: 5 * time.Second})
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	err = db.View(func(tx *bolt.Tx) error {
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

func fill(ctx context.Context, m *durable.Map[string, []byte], tx *bolt.Tx) (n int, err error) {
	filler := move.Filler[string, []byte]{Map: m}
	err = each(tx, func(key string, value []byte) error { // which is bbolt's
		return filler.Put(ctx, len(key)+len(value), key, bytes.Clone(value))
	})
	if err = errors.Join(err, filler.Flush(ctx)); err != nil {
		return 0, err
	}
	err = each(tx, func(key string, value []byte) error {
		n++
		if got, ok := m.Get(key); !ok || !bytes.Equal(got, value) {
			return fmt.Errorf("the map has %q of %q, and bbolt %q", got, key, value)
		}
		return nil
	})
	if err == nil && n != m.Len() {
		err = fmt.Errorf("the map has %d keys, and bbolt %d", m.Len(), n)
	}
	return n, err
}

// each calls do for all pairs of all buckets.
func each(tx *bolt.Tx, do func(key string, value []byte) error) error {
	return tx.ForEach(func(name []byte, b *bolt.Bucket) error {
		if bytes.Contains(name, []byte("/")) {
			return fmt.Errorf("the name of bucket %q has a slash: take another separator", name)
		}
		return b.ForEach(func(k, v []byte) error {
			if v == nil {
				return fmt.Errorf("bucket %q has a bucket %q in it: give it a prefix of its own", name, k)
			}
			return do(string(name)+"/"+string(k), v)
		})
	})
}

// back makes a file of bbolt. Buckets that were empty are gone.
func back(_ context.Context, from, to string) (n int, err error) {
	m, err := open(from, true)
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, m.Close()) }()
	return m.Len(), move.To(to, func(path string) error {
		db, err := bolt.Open(path, 0o600, &bolt.Options{Timeout: 5 * time.Second})
		if err != nil {
			return err
		}
		err = db.Update(func(tx *bolt.Tx) error {
			for key, value := range m.All() {
				name, k, ok := strings.Cut(key, "/")
				if !ok {
					return fmt.Errorf("the key %q has no bucket", key)
				}
				b, err := tx.CreateBucketIfNotExists([]byte(name))
				if err != nil {
					return err
				}
				if err := b.Put([]byte(k), value); err != nil {
					return fmt.Errorf("key %q: %w", key, err)
				}
			}
			return nil
		})
		return errors.Join(err, db.Close())
	})
}
