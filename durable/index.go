package durable

import (
	"cmp"
	"iter"

	"github.com/tidwall/btree"
)

// An Index finds keys of a [Map] by what a function says of their values. It is in
// memory only, and follows the map. Its methods may be called from any number of
// goroutines at once.
type Index[I, K cmp.Ordered, V any] struct {
	m     *machine[K, V]
	terms func(K, V) []I

	// Guarded by m.mu.
	entries *btree.BTreeG[entry[I, K]]
	frozen  *indexView[I, K, V] // a copy since the last change of the map, or nil
	edits   []edit[I, K]        // that commit makes
}

// An edit adds an entry to an index, or removes it.
type edit[I, K cmp.Ordered] struct {
	entry[I, K]
	add bool
}

// An entry says that the function of an index has returned term for key.
type entry[I, K cmp.Ordered] struct {
	term I
	key  K
}

// An indexView is an index and its map at one moment.
type indexView[I, K cmp.Ordered, V any] struct {
	entries *btree.BTreeG[entry[I, K]]
	view    *View[K, V]
}

// An indexer is an Index of any I. Its methods are called with mu locked.
//
// What an update changes is prepared first, for all of its changes, and then made: only what
// prepares calls the user, and may panic.
type indexer[K cmp.Ordered, V any] interface {
	begin()
	prepare(c change[K, V], old V, had bool)
	commit()
	rebuild(t *tree[K, V]) (commit func())
}

// NewIndex makes an index of m. For each key and value, terms returns by what they are
// to be found: one term, or several, or nil for none. It is called for all that is in
// the map now, while readers and changes wait, and then whenever something changes. It
// must return the same for the same key and value, must not use the map, and should be
// quick. It may change its arguments, which are copies. A panic in it is one of
// [store.Machine]'s Apply, and fails the map, also when a key is deleted whose time has
// come, where there is no caller for it to go on to; on a cluster, it ends the process. A map
// that has failed stays as it was before the update, all of it, and can be read.
//
//	byMail := durable.NewIndex(users, func(_ string, u User) []string { return u.Mails })
//	for name, u := range byMail.Get("ann@example.com") { ... }
func NewIndex[I, K cmp.Ordered, V any](m *Map[K, V], terms func(key K, value V) []I) *Index[I, K, V] {
	x := &Index[I, K, V]{m: m.m, terms: terms}
	x.m.mu.Lock()
	defer x.m.mu.Unlock()
	x.rebuild(x.m.tree)()
	x.m.indexes = append(x.m.indexes, x)
	return x
}

// rebuild makes the index of t. It is in use once commit is called.
func (x *Index[I, K, V]) rebuild(t *tree[K, V]) (commit func()) {
	less := func(a, b entry[I, K]) bool {
		if c := cmp.Compare(a.term, b.term); c != 0 {
			return c < 0
		}
		return a.key < b.key
	}
	entries := btree.NewBTreeGOptions(less, btree.Options{NoLocks: true})
	t.Scan(func(key K, c cell[V]) bool {
		for _, term := range x.terms(key, x.m.clone.of(c.v)) {
			entries.Set(entry[I, K]{term, key})
		}
		return true
	})
	return func() { x.entries, x.frozen = entries, nil }
}

func (x *Index[I, K, V]) begin() { x.edits = x.edits[:0] }

func (x *Index[I, K, V]) prepare(c change[K, V], old V, had bool) {
	if had {
		for _, term := range x.terms(c.key, x.m.clone.of(old)) {
			x.edits = append(x.edits, edit[I, K]{entry: entry[I, K]{term, c.key}})
		}
	}
	if !c.delete {
		for _, term := range x.terms(c.key, x.m.clone.of(c.value)) {
			x.edits = append(x.edits, edit[I, K]{entry[I, K]{term, c.key}, true})
		}
	}
}

func (x *Index[I, K, V]) commit() {
	x.frozen = nil // which would hold on to what the map has changed since
	for _, e := range x.edits {
		if e.add {
			x.entries.Set(e.entry)
		} else {
			x.entries.Delete(e.entry)
		}
	}
	clear(x.edits) // which may hold a lot of memory
	if cap(x.edits) > 1024 {
		x.edits = nil
	}
}

// Get returns the keys for which the index has term, in order, with their values, as
// they are when the loop begins.
func (x *Index[I, K, V]) Get(term I) iter.Seq2[K, V] {
	return x.from(term, func(t I) bool { return cmp.Compare(t, term) == 0 })
}

// Range returns the keys for which the index has a term from from on that is less than
// to, in the order of the terms, and of the keys for each term. A key with several such
// terms is returned for each of them.
func (x *Index[I, K, V]) Range(from, to I) iter.Seq2[K, V] {
	return x.from(from, func(t I) bool { return cmp.Less(t, to) })
}

// from returns the keys for terms from from on, as long as within says so.
func (x *Index[I, K, V]) from(from I, within func(I) bool) iter.Seq2[K, V] {
	return func(yield func(K, V) bool) {
		now := x.freeze()
		each := func(e entry[I, K]) bool {
			if !within(e.term) {
				return false
			}
			c, _ := now.view.tree.Get(e.key)
			return yield(e.key, x.m.clone.of(c.v))
		}
		least, _, _ := now.view.tree.Min()
		now.entries.Ascend(entry[I, K]{from, least}, each)
	}
}

// freeze returns the index and the map as they are now.
func (x *Index[I, K, V]) freeze() *indexView[I, K, V] {
	x.m.mu.Lock()
	defer x.m.mu.Unlock()
	v := x.m.freezeLocked()
	if x.frozen == nil || x.frozen.view != v {
		x.frozen = &indexView[I, K, V]{x.entries.Copy(), v}
	}
	return x.frozen
}
