package durable

import (
	"cmp"
	"context"
	"fmt"
	"iter"
	"strings"

	"github.com/stateio/stateio/store"
)

// A Change is one that was made to a [Map]. It is the caller's.
type Change[K cmp.Ordered, V any] struct {
	Index   uint64 // of the update that made it, 1 for the first one ever
	Key     K
	Value   V    // the new one; the zero value if the key was deleted
	Deleted bool // the key was deleted
	More    bool // the same update has made the next change, too
}

// Watch returns the changes of the keys for which match returns true, from update from
// on, in the order in which they were made and when they are on the disk, and then
// those that are made, until ctx ends: then it ends, without an error. A nil match
// stands for all keys; see [HasPrefix] and [Between]. A from of 0 means 1, the first
// update ever.
//
// To see a map and all that becomes of it, take a View, and Watch from the next index:
//
//	v := m.View()
//	for key, value := range v.All() { ... }
//	for c, err := range m.Watch(ctx, v.Index()+1, nil) { ... }
//
// An error ends the sequence: [store.ErrNotRetained] if the next update is no longer
// there, because from is too old, the caller was too slow, this node of a cluster was
// away and was sent the state, or [store.Store.Replace] has installed one: begin with a
// View again. Otherwise the errors are those of the keeper's Updates and of the codec.
// The sequence can be used again, and starts anew.
func (m *Map[K, V]) Watch(ctx context.Context, from uint64, match func(K) bool) iter.Seq2[Change[K, V], error] {
	return func(yield func(Change[K, V], error) bool) {
		for u, err := range m.keeper.Updates(ctx, from) {
			var changes []Change[K, V]
			switch {
			case err != nil:
			case u.State:
				err = fmt.Errorf("update %d has replaced the whole map: begin with a View again: %w", u.Index, store.ErrNotRetained)
			default:
				changes, err = m.m.changesOf(u.Data, match)
			}
			if err != nil {
				yield(Change[K, V]{Index: u.Index}, fmt.Errorf("durable: watching a map: %w", err))
				return
			}
			for i, c := range changes {
				c.Index, c.More = u.Index, i < len(changes)-1
				if !yield(c, nil) {
					return
				}
			}
		}
	}
}

// changesOf returns what an update has changed of the keys that match.
func (m *machine[K, V]) changesOf(update []byte, match func(K) bool) ([]Change[K, V], error) {
	var changes []Change[K, V]
	err := m.keys.ops(update, func(o op[K]) error {
		if match != nil && !match(o.key) {
			return nil
		}
		c, err := m.decode(o)
		changes = append(changes, Change[K, V]{Key: c.key, Value: c.value, Deleted: c.delete})
		return err
	})
	return changes, err
}

// HasPrefix returns a function for [Map.Watch] that matches the keys that begin with
// prefix.
func HasPrefix[K ~string](prefix K) func(K) bool {
	return func(key K) bool { return strings.HasPrefix(string(key), string(prefix)) }
}

// Between returns a function for [Map.Watch] that matches the keys from from on that
// are less than to.
func Between[K cmp.Ordered](from, to K) func(K) bool {
	return func(key K) bool { return from <= key && key < to }
}
