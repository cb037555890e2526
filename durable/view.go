package durable

import (
	"cmp"
	"iter"
	"strings"

	"github.com/tidwall/btree"
)

// A View is the state of a map at a moment. It never changes, so what several of its
// methods return fits together. It holds on to the memory of what the map has changed
// since. Its methods may be called from any number of goroutines at once. What they
// return is the caller's.
type View[K cmp.Ordered, V any] struct {
	m     *machine[K, V]
	tree  *tree[K, V]          // which nobody changes, nor copies
	ends  *btree.Map[K, int64] // the deadlines; nor this
	index uint64

	located bool // index is known
}

// Index returns the index of the last update in the view, and 0 if that is not known
// since the keeper of the map has failed: [Map.Latest] says why. To follow the map from
// there, Watch it from the next one on.
func (v *View[K, V]) Index() uint64 { return v.index }

// Len returns the number of keys.
func (v *View[K, V]) Len() int { return v.tree.Len() }

// Get returns the value of key, and whether it is there.
func (v *View[K, V]) Get(key K) (value V, ok bool) {
	if v.m.keys.nan(key) {
		return value, false
	}
	c, ok := v.tree.Get(key)
	if !ok {
		return value, false
	}
	return v.m.clone.of(c.v), true
}

// Has reports whether key is there.
func (v *View[K, V]) Has(key K) bool {
	if v.m.keys.nan(key) {
		return false
	}
	_, ok := v.tree.Get(key)
	return ok
}

// All returns all keys and values, in order.
func (v *View[K, V]) All() iter.Seq2[K, V] {
	return func(yield func(K, V) bool) { v.tree.Scan(v.m.yielder(yield)) }
}

// Range returns the keys from from on that are less than to, in order, with their
// values.
func (v *View[K, V]) Range(from, to K) iter.Seq2[K, V] {
	return func(yield func(K, V) bool) {
		if !(from < to) { //nolint:staticcheck // not from >= to, which is false for NaN, too
			return
		}
		each := v.m.yielder(yield)
		v.tree.Ascend(from, func(key K, c cell[V]) bool { return key < to && each(key, c) })
	}
}

// From returns the keys from from on, in order, with their values.
func (v *View[K, V]) From(from K) iter.Seq2[K, V] {
	return func(yield func(K, V) bool) {
		if !v.m.keys.nan(from) {
			v.tree.Ascend(from, v.m.yielder(yield))
		}
	}
}

// Backward returns all keys and values, the last one first.
func (v *View[K, V]) Backward() iter.Seq2[K, V] {
	return func(yield func(K, V) bool) { v.tree.Reverse(v.m.yielder(yield)) }
}

// Before returns the keys less than to, the last one first, with their values.
func (v *View[K, V]) Before(to K) iter.Seq2[K, V] {
	return func(yield func(K, V) bool) {
		if v.m.keys.nan(to) {
			return
		}
		each := v.m.yielder(yield)
		v.tree.Descend(to, func(key K, c cell[V]) bool { return key == to || each(key, c) })
	}
}

// yielder returns a function that calls yield with copies of values.
func (m *machine[K, V]) yielder(yield func(K, V) bool) func(K, cell[V]) bool {
	if m.clone.copy == nil {
		return func(key K, c cell[V]) bool { return yield(key, c.v) }
	}
	return func(key K, c cell[V]) bool { return yield(key, m.clone.copy(c.v)) }
}

// Prefix returns the keys of a [Map], [View] or [Tx] that begin with prefix, in order,
// with their values.
func Prefix[K ~string, V any](m interface{ From(K) iter.Seq2[K, V] }, prefix K) iter.Seq2[K, V] {
	return func(yield func(K, V) bool) {
		for key, value := range m.From(prefix) {
			if !strings.HasPrefix(string(key), string(prefix)) || !yield(key, value) {
				return
			}
		}
	}
}
