package durable

import (
	"cmp"

	"github.com/tidwall/btree"
)

// A ranking has a number for each of some keys, and finds the keys with the least one.
type ranking[K cmp.Ordered] struct {
	of    *btree.Map[K, int64]
	order *btree.BTreeG[ranked[K]]
}

type ranked[K cmp.Ordered] struct {
	n   int64
	key K
}

func newRanking[K cmp.Ordered]() ranking[K] {
	less := func(a, b ranked[K]) bool { return a.n < b.n || a.n == b.n && a.key < b.key }
	return ranking[K]{
		of:    btree.NewMap[K, int64](0),
		order: btree.NewBTreeGOptions(less, btree.Options{NoLocks: true}),
	}
}

// set sets the number of key, and reports whether it had none.
func (r *ranking[K]) set(key K, n int64) (isNew bool) {
	isNew = !r.remove(key)
	r.of.Set(key, n)
	r.order.Set(ranked[K]{n, key})
	return isNew
}

// remove removes key, and reports whether it had a number.
func (r *ranking[K]) remove(key K) bool {
	if r.of.Len() == 0 {
		return false
	}
	n, ok := r.of.Delete(key)
	if ok {
		r.order.Delete(ranked[K]{n, key})
	}
	return ok
}

// first returns the key with the least number.
func (r *ranking[K]) first() (ranked[K], bool) { return r.order.Min() }
