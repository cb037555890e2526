package durable

import (
	"cmp"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"
	"unsafe"

	"github.com/tidwall/btree"

	"github.com/stateio/stateio/store"
)

// A cell holds a value in a tree. It hides the value's methods: the tree calls those
// that are named Copy.
type cell[V any] struct{ v V }

// A tree is a B-tree that is copied in no time: nodes are shared, and copied when they
// are changed. To copy it changes it. To read it does not.
type tree[K cmp.Ordered, V any] = btree.Map[K, cell[V]]

// nodeBytes is how large a node of a tree becomes. A node is copied when it is changed
// for the first time after the tree was copied; to scan large ones takes half the time of
// small ones, with a million keys.
const nodeBytes = 8 << 10

// maxHashed is the size of the largest values that are also found by a hash table. Those
// in it are there twice.
const maxHashed = 64

func newTree[K cmp.Ordered, V any]() *tree[K, V] {
	type item struct {
		_ K
		_ cell[V]
	}
	// A node has up to twice its degree of items.
	return btree.NewMap[K, cell[V]](int(min(128, max(4, nodeBytes/2/unsafe.Sizeof(item{})))))
}

// machine is the state machine of a map. A value in its trees is never changed, only
// replaced.
type machine[K cmp.Ordered, V any] struct {
	store.NoApply
	keys  keyCodec[K]
	codec store.Codec[V]
	clone cloner[V]

	// mu guards what follows. It is held for moments, and never while code of the user
	// runs but functions of indexes.
	mu      sync.RWMutex
	tree    *tree[K, V]
	hash    map[K]cell[V] // the same for Get, which a tree makes look at a key for each level; or nil
	index   uint64        // of the last update, if located
	located bool          // not so after a snapshot was restored: the keeper knows its index
	indexes []indexer[K, V]
	txn     *conflicts[K, V] // of the transaction that runs, or nil

	deadlines deadlines[K]
	sooner    chan struct{} // see deadlines

	// history is by what transactions are judged that say what they have read. It is nil
	// in the machine of a store, which has seen what was changed while a transaction ran.
	history *history[K]

	// strict is set before the first update, if other machines apply the same ones.
	strict bool

	// frozen has a copy of the tree, or is nil if there is none that is like it. It is set
	// under mu.
	frozen atomic.Pointer[View[K, V]]
}

func newMachine[K cmp.Ordered, V any](o MapOptions[K, V]) *machine[K, V] {
	sooner := make(chan struct{}, 1)
	return &machine[K, V]{
		keys: newKeyCodec[K](), codec: o.Codec, clone: newCloner(o.Clone, o.Codec),
		tree: newTree[K, V](), hash: newHash[K, V](0), deadlines: newDeadlines[K](sooner), sooner: sooner,
	}
}

// CheckType implements [store.TypeChecker].
func (m *machine[K, V]) CheckType() error { return checkType(m.codec, "values") }

// newHash returns an empty hash table for about n keys, or nil if there is to be none.
func newHash[K cmp.Ordered, V any](n int) map[K]cell[V] {
	if unsafe.Sizeof(cell[V]{}) > maxHashed {
		return nil
	}
	return make(map[K]cell[V], n)
}

// errAbsent refuses to delete what is not there, and errConflict a transaction that
// has read what is different now.
var (
	errAbsent   = errors.New("durable: no such key")
	errConflict = errors.New("durable: what the transaction has read has changed")
)

// ApplyAt implements [store.TimedMachine].
func (m *machine[K, V]) ApplyAt(at time.Time, index uint64, update []byte) (any, error) {
	err := m.apply(at, index, update)
	if err != nil && m.strict && !isRefusal(err) {
		panic(&unreadableError{index, err})
	}
	return nil, err
}

func (m *machine[K, V]) apply(at time.Time, index uint64, update []byte) error {
	k, body, err := m.keys.parseHead(update)
	if err != nil {
		return err
	}
	switch k {
	case batchKind, txnKind:
		return m.applyMany(at, index, k, body, nil)
	case readKind:
		r, body, err := m.keys.parseReads(body)
		if err != nil {
			return err
		}
		return m.applyMany(at, index, k, body, r)
	case expireKind:
		return m.applyExpire(at, index, body)
	}
	return m.applyOne(at, index, k, body)
}

// applyOne makes the change of a put or delete.
func (m *machine[K, V]) applyOne(at time.Time, index uint64, k kind, body []byte) error {
	o, err := m.keys.parseOne(k, body)
	if err != nil {
		return err
	}
	c, err := m.decode(o)
	if err != nil {
		return err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if c.delete {
		if _, ok := m.find(c.key); !ok {
			return errAbsent
		}
	}
	m.make([]change[K, V]{c}, later(at, o.asked))
	m.changed(index)
	return nil
}

// A change is an op with its value decoded.
type change[K cmp.Ordered, V any] struct {
	key    K
	value  V
	delete bool
	ttl    time.Duration // 0: for ever
}

// in makes the change in t.
func (c change[K, V]) in(t *tree[K, V]) {
	if c.delete {
		t.Delete(c.key)
	} else {
		t.Set(c.key, cell[V]{c.value})
	}
}

// decode returns the change that o stands for.
func (m *machine[K, V]) decode(o op[K]) (change[K, V], error) {
	c := change[K, V]{key: o.key, delete: o.delete, ttl: o.ttl}
	if o.delete {
		return c, nil
	}
	var err error
	if c.value, err = m.codec.Decode(o.value); err != nil {
		return c, fmt.Errorf("durable: decoding the value of key %s: %w", shown(o.key), err)
	}
	return c, m.clone.check(c.value)
}

// applyMany makes all changes of a batch, or none; with r, if what was read is as it was.
// In the log of a store it was, and there is no history to tell.
func (m *machine[K, V]) applyMany(at time.Time, index uint64, k kind, body []byte, r *reads[K]) error {
	var changes []change[K, V]
	asked, err := m.keys.parseMany(body, func(o op[K]) error {
		c, err := m.decode(o)
		changes = append(changes, c)
		return err
	})
	if err != nil {
		return err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	var t *conflicts[K, V]
	if k == txnKind {
		t, m.txn = m.txn, nil
	}
	if t != nil && t.any() {
		return errConflict
	}
	if r != nil && m.history != nil {
		if err := m.history.judge(index, r); err != nil {
			return err
		}
	}
	m.make(changes, later(at, asked))
	m.changed(index)
	if t != nil {
		t.done()
	}
	return nil
}

// make makes the changes of one update, all of them or, if the function of an index panics,
// none. Times to live count from at. The caller holds mu.
func (m *machine[K, V]) make(changes []change[K, V], at time.Time) {
	if len(m.indexes) > 0 {
		m.prepare(changes)
	}
	for _, c := range changes {
		m.change(c, at)
	}
	for _, x := range m.indexes {
		x.commit()
	}
}

// prepare finds out what the changes are for the indexes, which calls their functions.
func (m *machine[K, V]) prepare(changes []change[K, V]) {
	for _, x := range m.indexes {
		x.begin()
	}
	var before map[K]change[K, V] // the last one of each key
	if len(changes) > 1 {
		before = make(map[K]change[K, V], len(changes))
	}
	for _, c := range changes {
		old, had := m.find(c.key)
		if b, ok := before[c.key]; ok {
			old.v, had = b.value, !b.delete
		}
		for _, x := range m.indexes {
			x.prepare(c, old.v, had)
		}
		if before != nil {
			before[c.key] = c
		}
	}
}

// change makes one change in all but the indexes. The caller holds mu.
func (m *machine[K, V]) change(c change[K, V], at time.Time) {
	if m.txn != nil {
		m.txn.keep(m.tree)
		m.txn.written = append(m.txn.written, c.key)
	}
	if m.history != nil {
		m.history.note(c.key)
	}
	c.in(m.tree)
	switch {
	case c.delete:
		delete(m.hash, c.key)
	case m.hash != nil:
		m.hash[c.key] = cell[V]{c.value}
	}
	if c.ttl > 0 {
		m.deadlines.set(c.key, after(at, c.ttl))
	} else {
		m.deadlines.remove(c.key)
	}
}

// changed says that an update was applied. The caller holds mu.
func (m *machine[K, V]) changed(index uint64) {
	m.index, m.located = index, true
	m.frozen.Store(nil)
	if m.history != nil {
		m.history.applied()
	}
}

// freeze returns the state as it is now, which later changes leave alone. States that
// are alike are shared.
func (m *machine[K, V]) freeze() *View[K, V] {
	if v := m.frozen.Load(); v != nil {
		return v
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.freezeLocked()
}

// freezeLocked is freeze for a caller that holds mu.
func (m *machine[K, V]) freezeLocked() *View[K, V] {
	v := m.frozen.Load()
	if v == nil {
		v = &View[K, V]{m: m, tree: m.tree.Copy(), ends: m.deadlines.copy(), index: m.index, located: m.located}
		m.frozen.Store(v)
	}
	return v
}

// opened says that the machine has the state after update index.
func (m *machine[K, V]) opened(index uint64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.located {
		return
	}
	m.index, m.located = index, true
	m.frozen.Store(nil)
}

// freezeAt is freeze, and sees that the index of the view is known. An error is that of k,
// and comes with a view of which it is not.
func (m *machine[K, V]) freezeAt(k store.Keeper) (*View[K, V], error) {
	for {
		v := m.freeze()
		if v.located {
			return v, nil
		}
		// While nothing is applied, the keeper's index is that of the state.
		if err := k.ViewLocal(func() error { m.opened(k.Index()); return nil }); err != nil {
			return v, err
		}
	}
}

// get returns the value as it is kept.
func (m *machine[K, V]) get(key K) (V, bool) {
	if m.keys.nan(key) {
		var zero V
		return zero, false
	}
	m.mu.RLock()
	defer m.mu.RUnlock()
	c, ok := m.find(key)
	return c.v, ok
}

// find returns the value of key. The caller holds mu or its read lock.
func (m *machine[K, V]) find(key K) (cell[V], bool) {
	if m.hash != nil {
		c, ok := m.hash[key]
		return c, ok
	}
	return m.tree.Get(key)
}

// len returns the number of keys.
func (m *machine[K, V]) len() int {
	m.mu.RLock()
	defer m.mu.RUnlock()
	return m.tree.Len()
}
