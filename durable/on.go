package durable

import (
	"cmp"

	"github.com/stateio/stateio/store"
)

// OpenMapOn opens a map that open keeps: it is called with the map's machine, and returns
// what keeps the state of that, such as a node of a cluster.
//
//	users, err := durable.OpenMapOn[string, User](nil, func(m store.Machine) (store.Keeper, error) {
//		return cluster.Open("data/users", m, &cluster.Options{ID: "a", Listen: "10.0.0.1:7000", TLS: tls})
//	})
//
// All nodes open such a map, with the same type of keys, and codecs that read what any of
// them writes. The keeper is the map's: [Map.Close] closes it. Of opts, nil for the
// defaults, Codec and Clone count. With a function that returns a *store.Store this is
// [OpenMap].
//
// On a cluster, a map is what it is on a store, but for these:
//
//   - A change is made, when Put, Delete or Txn returns nil, on the disks of a majority, and
//     is seen by readers of this Map. Readers on other nodes see it a moment later.
//   - Get, Range, View, Index and the others that take no context read the state of this
//     node. It never goes back, and all of it is on the disks of a majority. It may lack what
//     other nodes have acknowledged: for all of that call [Map.Latest] in place of View, or
//     Sync before.
//   - What Txn reads is the latest, as [Map.Txn] says: transactions are linearizable.
//   - Watch has the updates that the node keeps in memory.
//   - Errors are those of the keeper. The outcome of a change is open after
//     [store.ErrUnknown] only.
//
// A machine that meets an update that it can't read panics, since it would differ from
// those of other nodes from there on: upgrade the program on all nodes before one uses what
// is new, such as another encoding of values. With the default codec a field that a release
// adds to V is such a thing, with the first Put: let the release before have a codec that
// reads it (store.JSON with AllowUnknownFields). Values that the codec can't read back are
// refused before they come into the log.
//
// Errors are those of open, and those of its Keeper that OpenMap has of its store. While
// the keeper's View runs, or a method of the machine, the map must not be used.
func OpenMapOn[K cmp.Ordered, V any](opts *MapOptions[K, V], open func(store.Machine) (store.Keeper, error)) (*Map[K, V], error) {
	m := newMachine(opts.orDefaults()).withHistory()
	m.strict = true
	k, err := openKeeper(m, open)
	if err != nil {
		return nil, err
	}
	if _, ok := k.(*store.Store); ok {
		m.alone()
	}
	return newMap(m, k), nil
}

// alone makes m the machine of a store, which nobody else has.
func (m *machine[K, V]) alone() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.history, m.strict = nil, false
}

// OpenValueOn opens a value that open keeps, as [OpenMapOn] does a map, and what is said
// there holds. initial must be the same on all nodes, and is no part of what they keep.
// Updates run one after the other, on whichever node: one that another node was faster than
// is made again, so that f is called again, with what that has made. f should do nothing but
// compute.
func OpenValueOn[T any](initial T, opts *ValueOptions[T], open func(store.Machine) (store.Keeper, error)) (*Value[T], error) {
	m, err := newValueMachine(initial, opts.orDefaults())
	if err != nil {
		return nil, err
	}
	m.strict = true
	k, err := openKeeper(m, open)
	if err != nil {
		return nil, err
	}
	if _, ok := k.(*store.Store); ok {
		m.strict = false
	}
	return newValue(m, k), nil
}
