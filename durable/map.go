package durable

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"iter"
	"sync"
	"sync/atomic"
	"time"

	"github.com/stateio/stateio/store"
)

// A Map is an ordered map on the disk. Its methods may be called from any number of
// goroutines at once. What they return is the caller's.
type Map[K cmp.Ordered, V any] struct {
	store *store.Store
	m     *machine[K, V]
	turn  turn // of the transaction that runs until it is applied

	// gate is closed at the end of a transaction that others keep from being made, and
	// lets no change begin before. It is nil if there is none.
	gate atomic.Pointer[chan struct{}]

	stop    func() // ends the sweeper
	sweeper sync.WaitGroup
}

// OpenMap opens the map in the directory dir, which it makes if it is not there. Nil
// opts are the defaults. A directory holds one map, and is always to be opened with the
// same type of keys and a codec that reads what is there.
//
// Errors are those of [store.Open]; those of the codec and of a type of keys that does
// not fit, with the place in the log, if the map was made by another program.
func OpenMap[K cmp.Ordered, V any](dir string, opts *MapOptions[K, V]) (*Map[K, V], error) {
	o := opts.orDefaults()
	m := newMachine(o)
	s, err := store.Open(dir, m, &o.Store)
	if err != nil {
		return nil, err
	}
	m.opened(s.Index())
	ctx, cancel := context.WithCancel(context.Background())
	all := &Map[K, V]{store: s, m: m, turn: newTurn(), stop: cancel}
	all.sweeper.Go(func() { all.sweep(ctx) })
	return all, nil
}

// Close makes all changes durable and closes the map. Reads go on to work; changes
// return [store.ErrClosed].
func (m *Map[K, V]) Close() error {
	m.stop()
	m.sweeper.Wait()
	return m.store.Close()
}

// Store returns the store that keeps the map, for its Stats, Snapshot, Backup and
// Recovery. Updates are to be made by the methods of Map.
func (m *Map[K, V]) Store() *store.Store { return m.store }

// Sync waits until all that can be seen is on the disk. The errors are those of
// [store.Store.Sync].
func (m *Map[K, V]) Sync(ctx context.Context) error { return m.store.Sync(ctx) }

// Put sets the value of key. When it returns nil, that is on the disk. The map keeps
// neither value nor what it points to.
//
// Errors are those of the codec, one for a key that is NaN, and those of
// [store.Store.Update], which say whether the change was made: not, but for
// [store.ErrUnknown].
func (m *Map[K, V]) Put(ctx context.Context, key K, value V) error {
	return m.put(ctx, key, value, 0)
}

func (m *Map[K, V]) put(ctx context.Context, key K, value V, ttl time.Duration) error {
	b := buffers.Get().(*[]byte)
	update, err := m.m.encodePut((*b)[:0], key, value, ttl)
	if err != nil {
		return err
	}
	_, err = m.update(ctx, update)
	keep(b, update)
	return err
}

// Delete removes key, and reports whether it was there. If it was, then it is gone from
// the disk, too, when Delete returns without an error. The errors are those of Put.
func (m *Map[K, V]) Delete(ctx context.Context, key K) (existed bool, err error) {
	if m.m.keys.nan(key) {
		return false, nil
	}
	b := buffers.Get().(*[]byte)
	update := m.m.keys.append(append((*b)[:0], head(deleteKind, m.m.keys.class)), key)
	_, err = m.update(ctx, update)
	keep(b, update)
	if errors.Is(err, errAbsent) {
		return false, nil
	}
	return err == nil, err
}

// update makes an update that is no transaction.
func (m *Map[K, V]) update(ctx context.Context, update []byte) (any, error) {
	if gate := m.gate.Load(); gate != nil {
		select {
		case <-*gate:
		case <-ctx.Done():
			return nil, fmt.Errorf("durable: change not made, since a transaction was on its way: %w", ctx.Err())
		}
	}
	return m.store.Update(ctx, update)
}

// encodePut appends the update that sets key to dst.
func (m *machine[K, V]) encodePut(dst []byte, key K, value V, ttl time.Duration) ([]byte, error) {
	if m.keys.nan(key) {
		return nil, errNaN
	}
	dst = m.keys.appendPut(dst, head(kindOf(ttl), m.keys.class), key, ttl)
	dst, err := m.codec.Append(dst, value)
	if err != nil {
		return nil, fmt.Errorf("durable: encoding the value of key %v: %w", key, err)
	}
	return dst, nil
}

// buffers hold updates that are made.
var buffers = sync.Pool{New: func() any { return new([]byte) }}

// keep gives b back, which may have grown to update.
func keep(b *[]byte, update []byte) {
	if cap(update) <= 64<<10 {
		*b = update
		buffers.Put(b)
	}
}

// Get returns the value of key, and whether it is there.
func (m *Map[K, V]) Get(key K) (value V, ok bool) {
	v, ok := m.m.get(key)
	if !ok {
		return value, false
	}
	return m.m.clone.of(v), true
}

// Has reports whether key is there.
func (m *Map[K, V]) Has(key K) bool {
	_, ok := m.m.get(key)
	return ok
}

// Len returns the number of keys.
func (m *Map[K, V]) Len() int { return m.m.len() }

// View returns the map as it is now. That takes microseconds, however large it is, and
// keeps nobody waiting. What it shows may not be on the disk yet; see [Map.Sync].
func (m *Map[K, V]) View() *View[K, V] { return m.m.freeze() }

// All returns all keys and values, in order, as they are when the loop begins. Changes
// go on meanwhile, and the loop may make some.
func (m *Map[K, V]) All() iter.Seq2[K, V] {
	return func(yield func(K, V) bool) { m.View().All()(yield) }
}

// Range returns the keys from from on that are less than to, like All.
func (m *Map[K, V]) Range(from, to K) iter.Seq2[K, V] {
	return func(yield func(K, V) bool) { m.View().Range(from, to)(yield) }
}

// From returns the keys from from on, like All. See also [Prefix].
func (m *Map[K, V]) From(from K) iter.Seq2[K, V] {
	return func(yield func(K, V) bool) { m.View().From(from)(yield) }
}

// Backward returns all keys and values, the last one first, like All.
func (m *Map[K, V]) Backward() iter.Seq2[K, V] {
	return func(yield func(K, V) bool) { m.View().Backward()(yield) }
}

// Before returns the keys less than to, the last one first, like All.
func (m *Map[K, V]) Before(to K) iter.Seq2[K, V] {
	return func(yield func(K, V) bool) { m.View().Before(to)(yield) }
}
