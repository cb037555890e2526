package main

import (
	"context"

	"github.com/stateio/stateio/cluster"
	"github.com/stateio/stateio/durable"
	"github.com/stateio/stateio/store"
)

// All that makes the data survive is in this file: a map that is kept by package
// durable, in a store here, or on several nodes.

// keys is the state: the value of each key.
type keys struct {
	*durable.Map[string, []byte]
	node *cluster.Node // nil: the map is in a store
}

// open opens the map in dir.
func open(dir string, opts store.Options) (keys, error) {
	m, err := durable.OpenMap(dir, &durable.MapOptions[string, []byte]{Codec: durable.Bytes{}, Store: opts})
	return keys{Map: m}, err
}

// mapOptions are those of the map on a node.
func mapOptions() *durable.MapOptions[string, []byte] {
	return &durable.MapOptions[string, []byte]{Codec: durable.Bytes{}}
}

// openNode opens the map in dir as a node of a cluster.
func openNode(dir string, opts *cluster.Options) (keys, error) {
	var node *cluster.Node
	m, err := durable.OpenMapOn(mapOptions(), func(m store.Machine) (store.Keeper, error) {
		var err error
		node, err = cluster.Open(dir, m, opts)
		return node, err
	})
	return keys{m, node}, err
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

// now returns the map with every change that was answered, on whichever node.
func (k keys) now(ctx context.Context) (*durable.View[string, []byte], error) {
	if k.node != nil {
		return k.Latest(ctx)
	}
	return k.View(), nil // without waiting for the disk, as a PUT under way does
}

// failed returns a channel that is closed when nothing can be kept any more. An error that is
// store.ErrFailed says that of a store; a node goes on once it can restore what it was sent.
func (k keys) failed() <-chan struct{} {
	if k.node != nil {
		return k.node.Failed()
	}
	return k.Store().Failed()
}

// newest returns the index of the last change that a watch has.
func (k keys) newest() uint64 {
	if k.node != nil {
		return k.node.Index()
	}
	return k.Store().Stats().Durable
}
