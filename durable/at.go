package durable

import (
	"cmp"
	"context"

	"github.com/stateio/stateio/store"
)

// MapAt returns the map in the directory dir as it was right after update index. It
// changes nothing on the disk and takes no lock, so it works while a program has
// the map open. Nil opts are the defaults; of them, Codec and Clone count.
//
// The errors are those of [store.RestoreAt]: [store.ErrNotRetained] if that state is no
// longer kept, or not there yet, and that of ctx.
func MapAt[K cmp.Ordered, V any](ctx context.Context, dir string, index uint64, opts *MapOptions[K, V]) (*View[K, V], error) {
	m := newMachine(opts.orDefaults())
	if err := store.RestoreAt(ctx, dir, m, index, nil); err != nil {
		return nil, opening(err)
	}
	m.opened(index)
	return m.freeze(), nil
}

// NewMachine returns the state machine of a map, with nothing in it, for what takes one:
// package statetest with logs of the program's own, or a store that is not of this
// package. For a node of a cluster, use [OpenMapOn]: this machine refuses an update that it
// can't read, where a node has to stop. Of opts, Codec and Clone count.
func NewMachine[K cmp.Ordered, V any](opts *MapOptions[K, V]) store.Machine {
	return newMachine(opts.orDefaults()).withHistory()
}

// withHistory has a machine judge transactions by what they say that they have read.
func (m *machine[K, V]) withHistory() *machine[K, V] {
	m.history = newHistory(m.keys)
	return m
}
