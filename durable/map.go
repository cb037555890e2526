package durable

import (
	"cmp"
	"context"
	"encoding/binary"
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
	keeper store.Keeper
	store  *store.Store // the keeper, if it is one; else nil
	m      *machine[K, V]
	turn   turn // of the transaction that runs until it is applied, on a store; see also txnon.go

	// gate is closed at the end of a transaction that others keep from being made, and
	// lets no change begin before. It is nil if there is none.
	gate atomic.Pointer[chan struct{}]

	stop  func()        // ends the sweeper
	swept chan struct{} // closed when it has ended
}

// OpenMap opens the map in the directory dir, which it makes if it is not there. Nil
// opts are the defaults. A directory holds one map, and is always to be opened with the
// same type of keys and a codec that reads what is there.
//
// Errors are those of [store.Open]; one that names a field of V, or of what that holds, which the
// default codec would leave out in silence: see [store.JSON]; those of the codec and of a type of keys that does
// not fit, with the place in the log, if the map was made by another program. A directory
// of a [Value] is refused, and not changed.
func OpenMap[K cmp.Ordered, V any](dir string, opts *MapOptions[K, V]) (*Map[K, V], error) {
	o := opts.orDefaults()
	m := newMachine(o)
	s, err := store.Open(dir, m, &o.Store)
	if err != nil {
		return nil, opening(err)
	}
	return newMap(m, s), nil
}

// newMap returns the map of a machine whose state k keeps.
func newMap[K cmp.Ordered, V any](m *machine[K, V], k store.Keeper) *Map[K, V] {
	ctx, cancel := context.WithCancel(context.Background())
	all := &Map[K, V]{keeper: k, m: m, turn: newTurn(), stop: cancel, swept: make(chan struct{})}
	if all.store, _ = k.(*store.Store); all.store != nil {
		m.opened(k.Index())
	}
	go func() {
		defer close(all.swept)
		all.sweep(ctx)
	}()
	return all
}

// Close makes all changes durable and closes the map, with what keeps it. Reads go on to
// work; changes return [store.ErrClosed]. The error is that of the keeper's Close. A map is
// closed by its own methods, and not by those of its keeper: what deletes the keys whose
// time has come ends by itself only if the keeper says, by a method Done as a store and a
// node have, that it is closed.
func (m *Map[K, V]) Close() error { return m.CloseContext(context.Background()) }

// CloseContext is Close for a caller that does not wait longer than ctx: after that the
// error is that of ctx, no change is made any more, and closing goes on. From within the
// map's own machine, such as in a function of an index, nothing is closed, and the error is
// [store.ErrReentrant].
func (m *Map[K, V]) CloseContext(ctx context.Context) error {
	err := m.keeper.CloseContext(ctx)
	if errors.Is(err, store.ErrReentrant) {
		return err
	}
	m.stop()
	select {
	case <-m.swept: // at once, unless the keeper is still closing
	case <-ctx.Done():
	}
	return err
}

// Keeper returns what keeps the map: its store, or what the function passed to
// [OpenMapOn] has returned. Updates are to be made by the methods of Map, and it is to be
// closed by those.
func (m *Map[K, V]) Keeper() store.Keeper { return m.keeper }

// Store returns the store that keeps the map, for its Stats, Snapshot, Backup and
// Recovery, and nil if something else keeps it: see [Map.Keeper]. Updates are to be made by
// the methods of Map, and it is to be closed by those.
func (m *Map[K, V]) Store() *store.Store { return m.store }

// Sync waits until all that can be seen is on the disk; on a cluster, also until every
// change can be seen that was acknowledged, on whichever node, before the call. The errors
// are those of the keeper's Sync.
func (m *Map[K, V]) Sync(ctx context.Context) error { return m.keeper.Sync(ctx) }

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
	update, err := m.m.encodePut((*b)[:0], key, value, ttl, m.asked(ttl))
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

// update makes an update, when no transaction keeps it from beginning.
func (m *Map[K, V]) update(ctx context.Context, update []byte) (any, error) {
	for gate := m.gate.Load(); gate != nil; gate = m.gate.Load() { // another one may be closed by then
		select {
		case <-*gate:
		case <-ctx.Done():
			return nil, fmt.Errorf("durable: change not made, since a transaction was on its way: %w", ctx.Err())
		}
	}
	if m.m.strict {
		// What can't be read must not come into the log of several nodes.
		if _, err := m.m.changesOf(update, nil); err != nil {
			return nil, err
		}
	}
	return m.keeper.Update(ctx, update)
}

// encodePut appends the update that sets key to dst.
func (m *machine[K, V]) encodePut(dst []byte, key K, value V, ttl time.Duration, asked int64) ([]byte, error) {
	if m.keys.nan(key) {
		return nil, errNaN
	}
	dst = m.keys.appendPut(dst, head(kindOf(ttl), m.keys.class), key, ttl)
	if ttl > 0 {
		dst = binary.AppendVarint(dst, asked)
	}
	dst, err := m.codec.Append(dst, value)
	if err != nil {
		return nil, fmt.Errorf("durable: encoding the value of key %s: %w", shown(key), err)
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
// keeps nobody waiting. What it shows may not be on the disk yet, and may lack what other
// nodes of a cluster have acknowledged; see [Map.Sync] and [Map.Latest].
func (m *Map[K, V]) View() *View[K, V] {
	v, _ := m.m.freezeAt(m.keeper) // after an error, Index is 0
	return v
}

// Latest returns the map with every change that was acknowledged before the call, on
// whichever node of a cluster: what is read of it is linearizable. On a store, View does the
// same, but for what is not on the disk yet when Latest is called: for that it waits. The
// errors are those of [Map.Sync]: without a majority it waits until ctx ends.
func (m *Map[K, V]) Latest(ctx context.Context) (*View[K, V], error) {
	if err := m.keeper.Sync(ctx); err != nil {
		return nil, err
	}
	return m.m.freezeAt(m.keeper)
}

// All returns all keys and values, in order, as they are when the loop begins. Changes
// go on meanwhile, and the loop may make some.
func (m *Map[K, V]) All() iter.Seq2[K, V] {
	return func(yield func(K, V) bool) { m.m.freeze().All()(yield) }
}

// Range returns the keys from from on that are less than to, like All.
func (m *Map[K, V]) Range(from, to K) iter.Seq2[K, V] {
	return func(yield func(K, V) bool) { m.m.freeze().Range(from, to)(yield) }
}

// From returns the keys from from on, like All. See also [Prefix].
func (m *Map[K, V]) From(from K) iter.Seq2[K, V] {
	return func(yield func(K, V) bool) { m.m.freeze().From(from)(yield) }
}

// Backward returns all keys and values, the last one first, like All.
func (m *Map[K, V]) Backward() iter.Seq2[K, V] {
	return func(yield func(K, V) bool) { m.m.freeze().Backward()(yield) }
}

// Before returns the keys less than to, the last one first, like All.
func (m *Map[K, V]) Before(to K) iter.Seq2[K, V] {
	return func(yield func(K, V) bool) { m.View().Before(to)(yield) }
}
