package main

import (
	"context"

	"github.com/stateio/stateio/durable"
	"github.com/stateio/stateio/store"
)

// All that makes the data survive is in this file: a map that is kept by package
// durable.

// keys is the state: the value of each key.
type keys struct {
	*durable.Map[string, []byte]
}

// open opens the map in dir.
func open(dir string, opts store.Options) (keys, error) {
	m, err := durable.OpenMap(dir, &durable.MapOptions[string, []byte]{Codec: durable.Bytes{}, Store: opts})
	return keys{m}, err
}

// set sets the value of key, and reports whether the key was there before.
func (k keys) set(ctx context.Context, key string, value []byte) (existed bool, err error) {
	err = k.Txn(ctx, func(tx *durable.Tx[string, []byte]) error {
		existed = tx.Has(key)
		tx.Put(key, value)
		return nil
	})
	return existed, err
}
