package durable

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"iter"
	"time"
)

// A Tx is a transaction: the map as it was when that began, with its own changes. It
// is used by one goroutine at a time, and within the function passed to [Map.Txn]
// only. What it returns is the caller's.
type Tx[K cmp.Ordered, V any] struct {
	m     *machine[K, V]
	reads *conflicts[K, V]
	ops   batchWriter[K]
	own   map[K]change[K, V] // the last one of each key
	tree  *tree[K, V]        // with its own changes; nil until it is needed
	value []byte             // encoded; to be used again
	err   error              // the first one of Put
	ended bool
}

// Txn calls f, and makes the changes that f has made to tx, all at once: when Txn
// returns nil, all of them are on the disk, and after a crash all of them are found or
// none.
//
// Transactions are serializable: one takes effect as if nobody had changed anything
// since it began. They run one after the other. Put and Delete go on meanwhile; if one
// of them changes what the transaction has read, f is called again, with a new tx, so
// it should do nothing but compute. After some times, changes wait for it. f must not
// change the map but by tx, nor call Txn: it would wait for itself.
//
// On a cluster transactions run concurrently, on all nodes, and take what they have
// read with them to the place in the log where they are made: f is called again if that
// is not as it was. Of those in conflict, one always succeeds. After some times,
// changes of this Map wait for one, but those of other nodes do not: if they change
// what it reads all the time, it may be tried until ctx ends, and fail with the error
// of that.
//
// If f returns an error, nothing is changed, and Txn returns that error as it is. So
// that a decision not to change anything holds, all that f may have seen is on the disk
// first, also if f has made no changes. Other errors are those of Put, and say whether
// the changes were made.
func (m *Map[K, V]) Txn(ctx context.Context, f func(tx *Tx[K, V]) error) error {
	if m.store == nil {
		return m.txnOn(ctx, f)
	}
	if err := m.turn.take(ctx); err != nil {
		return err
	}
	holding := true
	defer func() {
		if holding { // else Apply has let go of it
			m.turn.give()
		}
	}()
	for try := 0; ; try++ {
		if try == patience {
			defer m.closeGate()()
		}
		tx := m.begin()
		applied, err := m.try(ctx, tx, f)
		holding = !applied
		if !errors.Is(err, errConflict) {
			return err
		}
		if err := ctx.Err(); err != nil {
			return fmt.Errorf("durable: transaction not made, since others changed what it reads: %w", err)
		}
	}
}

// patience is how many times a transaction is tried before others wait for it.
const patience = 4

// closeGate keeps changes from beginning, until open is called.
func (m *Map[K, V]) closeGate() (open func()) {
	gate := make(chan struct{})
	m.gate.Store(&gate)
	return func() {
		// This transaction may only have waited for the disk: the next one runs by then, and may
		// have closed a gate of its own.
		m.gate.CompareAndSwap(&gate, nil)
		close(gate)
	}
}

// begin returns a transaction of which the machine notes conflicts.
func (m *Map[K, V]) begin() *Tx[K, V] {
	mach := m.m
	tx := newTx(mach, &conflicts[K, V]{keys: map[K]struct{}{}, give: m.turn.give})
	tx.ops.reset(txnKind)
	mach.mu.Lock()
	defer mach.mu.Unlock()
	mach.txn = tx.reads
	return tx
}

// newTx returns a transaction that notes in reads what it reads.
func newTx[K cmp.Ordered, V any](m *machine[K, V], reads *conflicts[K, V]) *Tx[K, V] {
	tx := &Tx[K, V]{m: m, own: map[K]change[K, V]{}, reads: reads}
	tx.ops.keys = m.keys
	return tx
}

// try calls f and makes the changes. It reports whether they were applied.
func (m *Map[K, V]) try(ctx context.Context, tx *Tx[K, V], f func(*Tx[K, V]) error) (applied bool, err error) {
	defer func() {
		tx.ended = true
		applied = m.m.endTxn(tx.reads)
	}()
	err = f(tx)
	tx.ended = true
	switch {
	case err == nil && tx.err != nil:
		return false, tx.err
	case err != nil || tx.ops.n == 0:
		if serr := m.store.Sync(ctx); serr != nil {
			return false, ungrounded(err, serr)
		}
		return false, err
	case m.m.conflicting(tx.reads):
		return false, errConflict
	}
	tx.ops.end(time.Now())
	_, err = m.store.Update(ctx, tx.ops.buf)
	return false, err
}

// ungrounded says that what a transaction has decided does not count, since what it has
// seen may not be durable.
func ungrounded(err, serr error) error {
	if err == nil {
		return fmt.Errorf("durable: what the transaction has read may not be on the disk, or not be the latest: %w", serr)
	}
	return fmt.Errorf("durable: the transaction ended with an error, %v, and what it has read may not be on the disk, or not be the latest: %w", err, serr) //nolint:errorlint // that error does not count
}

// conflicting reports whether what a transaction has read has changed.
func (m *machine[K, V]) conflicting(c *conflicts[K, V]) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return c.any()
}

// endTxn ends the noting of conflicts, and reports whether the transaction was applied.
func (m *machine[K, V]) endTxn(c *conflicts[K, V]) (applied bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.txn == c {
		m.txn = nil
	}
	return c.applied
}

// Get returns the value of key, and whether it is there.
func (tx *Tx[K, V]) Get(key K) (value V, ok bool) {
	c, ok := tx.get(key)
	if !ok {
		return value, false
	}
	return tx.m.clone.of(c.v), true
}

// Has reports whether key is there.
func (tx *Tx[K, V]) Has(key K) bool {
	_, ok := tx.get(key)
	return ok
}

func (tx *Tx[K, V]) get(key K) (cell[V], bool) {
	if tx.m.keys.nan(key) {
		return cell[V]{}, false
	}
	if c, ok := tx.own[key]; ok {
		return cell[V]{c.value}, !c.delete
	}
	tx.reads.keys[key] = struct{}{}
	tx.m.mu.RLock()
	defer tx.m.mu.RUnlock()
	if t := tx.reads.tree; t != nil {
		return t.Get(key)
	}
	return tx.m.find(key)
}

// all returns the state of the map with the changes of the transaction.
func (tx *Tx[K, V]) all() *tree[K, V] {
	if tx.tree == nil {
		tx.m.mu.Lock()
		tx.reads.keep(tx.m.tree)
		tx.tree = tx.reads.tree.Copy() // under mu: transactions on a cluster share it
		tx.m.mu.Unlock()
		for _, c := range tx.own {
			c.in(tx.tree)
		}
	}
	return tx.tree
}

// change notes c, which was encoded.
func (tx *Tx[K, V]) change(c change[K, V]) {
	tx.own[c.key] = c
	if tx.tree != nil {
		c.in(tx.tree)
	}
}

// Len returns the number of keys. A transaction that calls it has read all of them.
func (tx *Tx[K, V]) Len() int {
	tx.reads.spans = append(tx.reads.spans, &span[K]{all: true})
	return tx.all().Len()
}

// Put sets the value of key. The transaction fails with an error of [Map.Put] if it
// can't be encoded. Put panics after the end of the transaction.
func (tx *Tx[K, V]) Put(key K, value V) { tx.put(key, value, 0) }

func (tx *Tx[K, V]) put(key K, value V, ttl time.Duration) {
	tx.mustRun()
	if tx.err != nil {
		return
	}
	if tx.m.keys.nan(key) {
		tx.err = errNaN
		return
	}
	var err error
	if tx.value, err = tx.m.codec.Append(tx.value[:0], value); err != nil {
		tx.err = fmt.Errorf("durable: encoding the value of key %s: %w", shown(key), err)
		return
	}
	c, err := tx.m.decode(op[K]{key: key, value: tx.value, ttl: ttl})
	if err != nil {
		tx.err = err
		return
	}
	tx.ops.put(key, tx.value, ttl)
	tx.change(c)
}

// Delete removes key, and reports whether it was there. It panics after the end of the
// transaction.
func (tx *Tx[K, V]) Delete(key K) (existed bool) {
	tx.mustRun()
	if _, ok := tx.get(key); !ok {
		return false
	}
	tx.ops.delete(key)
	tx.change(change[K, V]{key: key, delete: true})
	return true
}

func (tx *Tx[K, V]) mustRun() {
	if tx.ended {
		panic("durable: a Tx was changed after the function passed to Txn had returned")
	}
}

// All returns all keys and values, in order, as they are when the loop begins. The loop
// may make changes.
func (tx *Tx[K, V]) All() iter.Seq2[K, V] {
	return func(yield func(K, V) bool) {
		s := &span[K]{all: true}
		tx.scan(s, yield, func(v *View[K, V], yield func(K, V) bool) { v.All()(yield) })
	}
}

// Range returns the keys from from on that are less than to, like All.
func (tx *Tx[K, V]) Range(from, to K) iter.Seq2[K, V] {
	return func(yield func(K, V) bool) {
		s := &span[K]{from: from, to: to}
		tx.scan(s, yield, func(v *View[K, V], yield func(K, V) bool) { v.Range(from, to)(yield) })
	}
}

// From returns the keys from from on, like All. See also [Prefix].
func (tx *Tx[K, V]) From(from K) iter.Seq2[K, V] {
	return func(yield func(K, V) bool) {
		s := &span[K]{from: from, open: true}
		tx.scan(s, yield, func(v *View[K, V], yield func(K, V) bool) { v.From(from)(yield) })
	}
}

// scan calls yield for what each returns of the state as it is now, and notes s as read.
// A loop that ends early has read no further than to where it ended.
func (tx *Tx[K, V]) scan(s *span[K], yield func(K, V) bool, each func(*View[K, V], func(K, V) bool)) {
	tx.reads.spans = append(tx.reads.spans, s)
	each(&View[K, V]{m: tx.m, tree: tx.all().Copy()}, func(key K, value V) bool {
		if yield(key, value) {
			return true
		}
		s.last, s.ended = key, true
		return false
	})
}
