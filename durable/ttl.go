package durable

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math"
	"time"

	"github.com/tidwall/btree"

	"github.com/stateio/stateio/store"
)

// PutTTL sets the value of key as Put does, and has the key deleted when ttl has passed
// since then, by the clock of the store, which is in the log and never goes back. A later
// Put of the key takes that back.
//
// A key is deleted within moments of its time, by a transaction of the map's own that
// readers and Watch see like any other: until then it is there. What falls due while the
// map is not open is deleted when it is. The error is that of Put, or says that ttl is not
// positive.
func (m *Map[K, V]) PutTTL(ctx context.Context, key K, value V, ttl time.Duration) error {
	if ttl <= 0 {
		return errTTL(ttl)
	}
	return m.put(ctx, key, value, ttl)
}

// PutTTL sets the value of key as [Map.PutTTL] does; the time begins with the end of the
// transaction. The transaction fails with an error if ttl is not positive.
func (tx *Tx[K, V]) PutTTL(key K, value V, ttl time.Duration) {
	if ttl <= 0 && tx.err == nil {
		tx.err = errTTL(ttl)
	}
	tx.put(key, value, ttl)
}

func errTTL(ttl time.Duration) error {
	return fmt.Errorf("durable: a time to live of %v: it must be positive", ttl)
}

// Deadline returns when key will be deleted, and whether there is such a time.
func (m *Map[K, V]) Deadline(key K) (at time.Time, ok bool) {
	n, ok := m.m.deadline(key)
	if !ok {
		return at, false
	}
	return time.Unix(0, n), true
}

// deadlines are the times, in nanoseconds since 1970, at which keys are to be deleted.
type deadlines[K cmp.Ordered] struct {
	of    *btree.Map[K, int64]
	order *btree.BTreeG[deadline[K]]
	first chan struct{} // has a token when there is a new first one
}

type deadline[K cmp.Ordered] struct {
	at  int64
	key K
}

func newDeadlines[K cmp.Ordered]() deadlines[K] {
	less := func(a, b deadline[K]) bool { return a.at < b.at || a.at == b.at && a.key < b.key }
	return deadlines[K]{
		of:    btree.NewMap[K, int64](0),
		order: btree.NewBTreeGOptions(less, btree.Options{NoLocks: true}),
		first: make(chan struct{}, 1),
	}
}

// set sets the deadline of key.
func (d *deadlines[K]) set(key K, at int64) {
	d.remove(key)
	d.of.Set(key, at)
	d.order.Set(deadline[K]{at, key})
	if first, _ := d.order.Min(); first.key == key {
		select {
		case d.first <- struct{}{}:
		default: // there is one already
		}
	}
}

// remove removes the deadline of key, if it has one.
func (d *deadlines[K]) remove(key K) {
	if d.of.Len() == 0 {
		return
	}
	if at, ok := d.of.Delete(key); ok {
		d.order.Delete(deadline[K]{at, key})
	}
}

// after returns the time ttl after at.
func after(at time.Time, ttl time.Duration) int64 {
	n := at.UnixNano()
	if n > math.MaxInt64-int64(ttl) {
		return math.MaxInt64
	}
	return n + int64(ttl)
}

// deadline returns the deadline of key.
func (m *machine[K, V]) deadline(key K) (int64, bool) {
	if m.keys.nan(key) {
		return 0, false
	}
	m.mu.RLock()
	defer m.mu.RUnlock()
	return m.deadlines.of.Get(key)
}

// sweepBatch is how many keys are deleted at a time.
const sweepBatch = 1000

// due returns keys that are to be deleted by now, and when to look again.
func (m *machine[K, V]) due(now int64) (keys []K, next int64) {
	m.mu.RLock()
	defer m.mu.RUnlock()
	next = math.MaxInt64
	m.deadlines.order.Scan(func(d deadline[K]) bool {
		if d.at > now || len(keys) == sweepBatch {
			next = d.at
			return false
		}
		keys = append(keys, d.key)
		return true
	})
	return keys, next
}

// sweep deletes the keys that are due, until the map is closed.
func (m *Map[K, V]) sweep(ctx context.Context) {
	const (
		atMost = time.Hour   // until the next look, since clocks are set
		retry  = time.Second // after an error, such as that of a full disk
	)
	for {
		keys, next := m.m.due(time.Now().UnixNano())
		wait := min(atMost, time.Duration(next-time.Now().UnixNano()))
		if len(keys) > 0 {
			switch err := m.expire(ctx, keys); {
			case errors.Is(err, store.ErrFailed) || errors.Is(err, store.ErrClosed) || ctx.Err() != nil:
				return
			case err != nil:
				wait = retry
			}
		}
		timer := time.NewTimer(wait)
		select {
		case <-timer.C:
		case <-m.m.deadlines.first:
		case <-ctx.Done():
			timer.Stop()
			return
		}
		timer.Stop()
	}
}

// expire deletes those of keys that are still due. One that is put meanwhile is in
// conflict with that.
func (m *Map[K, V]) expire(ctx context.Context, keys []K) error {
	return m.Txn(ctx, func(tx *Tx[K, V]) error {
		now := time.Now().UnixNano()
		for _, key := range keys {
			if !tx.Has(key) {
				continue
			}
			if at, ok := m.m.deadline(key); ok && at <= now {
				tx.Delete(key)
			}
		}
		return nil
	})
}
