package durable

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"sync"
	"time"

	"github.com/stateio/stateio/store"
)

// A Value is one Go value on the disk, such as a configuration or the few things that
// a program has to remember. Each update writes all of it: for many things, use a
// [Map]. Its methods may be called from any number of goroutines at once.
type Value[T any] struct {
	keeper store.Keeper
	store  *store.Store // the keeper, if it is one; else nil
	m      *valueMachine[T]
	turn   turn // of the update that runs until it is applied
}

// OpenValue opens the value in the directory dir, which it makes if it is not there.
// Until the first update, the value is initial. That is not kept, in a snapshot or a backup
// either: if a later version of the program passes another one, that counts. Nil opts are
// the defaults.
//
// Errors are those of [store.Open] and of the codec; the default one refuses a T with fields that
// it would leave out in silence: see [store.JSON]. A directory of a [Map] is refused, and
// not changed.
func OpenValue[T any](dir string, initial T, opts *ValueOptions[T]) (*Value[T], error) {
	o := opts.orDefaults()
	m, err := newValueMachine(initial, o)
	if err != nil {
		return nil, err
	}
	s, err := store.Open(dir, m, &o.Store)
	if err != nil {
		return nil, opening(err)
	}
	return newValue(m, s), nil
}

// newValue returns the value of a machine whose state k keeps.
func newValue[T any](m *valueMachine[T], k store.Keeper) *Value[T] {
	v := &Value[T]{keeper: k, m: m, turn: newTurn()}
	if v.store, _ = k.(*store.Store); v.store != nil {
		m.opened(k.Index())
	}
	return v
}

// Close makes all updates durable and closes the value, with what keeps it. Get goes on to
// work; an Update that changes the value returns [store.ErrClosed].
func (v *Value[T]) Close() error { return v.keeper.Close() }

// CloseContext is Close for a caller that does not wait longer than ctx: after that the
// error is that of ctx, no update is made any more, and closing goes on.
func (v *Value[T]) CloseContext(ctx context.Context) error { return v.keeper.CloseContext(ctx) }

// Keeper returns what keeps the value: its store, or what the function passed to
// [OpenValueOn] has returned. Updates are to be made by Update.
func (v *Value[T]) Keeper() store.Keeper { return v.keeper }

// Store returns the store that keeps the value, for its Stats, Snapshot, Backup and
// Recovery, and nil if something else keeps it: see [Value.Keeper]. Updates are to be made
// by Update.
func (v *Value[T]) Store() *store.Store { return v.store }

// Sync waits until what Get returns is on the disk; on a cluster, also until Get returns
// the latest value that was acknowledged, on whichever node, before the call. The errors are
// those of the keeper's Sync.
func (v *Value[T]) Sync(ctx context.Context) error { return v.keeper.Sync(ctx) }

// Get returns the value. It is a copy, the caller's, and may be a moment ahead of the
// disk; on a cluster it is on the disks of a majority, and may lack what other nodes have
// acknowledged: see Sync.
func (v *Value[T]) Get() T { return v.m.clone.of(v.m.get()) }

// Update calls f with a copy of the value, and makes what f has left there the value.
// When Update returns nil, that is on the disk. Updates run one after the other, so that
// each sees what the one before it has made. f must not call Update of the same value: it
// would wait for itself. It must not keep its argument either.
//
// If f returns an error, nothing is changed, and Update returns that error as it is. So
// that a decision not to change anything holds, all that f has seen is on the disk first.
// Other errors are those of the codec and of [store.Store.Update], which say whether the
// update was made: not, but for [store.ErrUnknown].
func (v *Value[T]) Update(ctx context.Context, f func(*T) error) error {
	if err := v.turn.take(ctx); err != nil {
		return err
	}
	if v.store == nil {
		defer v.turn.give()
		return v.updateOn(ctx, f)
	}
	turn := &applied{give: v.turn.give}
	defer v.m.noteApplied(turn)
	for {
		now, kept, restored := v.m.getSince()
		update, err := v.next(now, kept, []byte{valuePlain}, f)
		if err != nil || update == nil {
			if serr := v.store.Sync(ctx); serr != nil {
				return ungrounded(err, serr)
			}
			return err
		}
		turn.restored = restored
		v.m.setNext(turn)
		if _, err = v.store.Update(ctx, update); !errors.Is(err, errConflict) {
			return err
		}
	}
}

// next returns the update that f makes of the value now, with head before the value; nil if
// it changes nothing, and the value is kept.
func (v *Value[T]) next(now T, kept bool, head []byte, f func(*T) error) ([]byte, error) {
	next := v.m.clone.of(now)
	if err := f(&next); err != nil {
		return nil, err
	}
	update, err := v.m.codec.Append(head, next)
	if err != nil {
		return nil, fmt.Errorf("durable: encoding the value: %w", err)
	}
	if was, err := v.m.codec.Append(nil, now); err == nil && kept && bytes.Equal(was, update[len(head):]) {
		return nil, nil
	}
	return update, nil
}

// updateOn is Update on a keeper that is no store. An update says in which state it was
// computed, and is refused in any other, and then computed again. What f has seen without
// changing it counts as in [Map.Txn].
func (v *Value[T]) updateOn(ctx context.Context, f func(*T) error) error {
	synced := false // since the call
	for try := 0; ; try++ {
		if err := ctx.Err(); err != nil {
			return fmt.Errorf("durable: update not made, since others were faster, %d times: %w", try, err)
		}
		now, kept, index, err := v.m.getAt(v.keeper)
		if err != nil {
			return fmt.Errorf("durable: update not made: %w", err)
		}
		head := binary.AppendUvarint([]byte{valueSince}, index)
		update, err := v.next(now, kept, head, f)
		if err != nil || update == nil {
			if synced {
				return err
			}
			if serr := v.keeper.Sync(ctx); serr != nil {
				return ungrounded(err, serr)
			}
			if _, _, i, lerr := v.m.getAt(v.keeper); lerr == nil && i == index {
				return err
			}
			synced = true
			continue
		}
		// What can't be read must not come into the log of several nodes.
		if _, err := v.m.decode(update[len(head):]); err != nil {
			return err
		}
		if _, err := v.keeper.Update(ctx, update); !errors.Is(err, errConflict) {
			return err
		}
	}
}

// valueMachine is the state machine of a value. The bytes of its updates and snapshots are
// described in valueformat.go.
type valueMachine[T any] struct {
	store.NoApply
	codec  store.Codec[T]
	clone  cloner[T]
	strict bool // see machine

	initial T // never changed, in place neither

	mu      sync.RWMutex // held for moments
	value   T            // never changed in place, only replaced; the initial one, unless kept
	kept    bool         // an update has set the value
	index   uint64       // of the last update, if located
	located bool         // see machine
	next    *applied     // of the Update that is next

	restored int // states that were restored
}

// applied is the turn of one Update.
type applied struct {
	given bool   // Apply has let go of the turn
	give  func() // lets go of it

	restored int // of the machine, when the value was read
}

// CheckType implements [store.TypeChecker].
func (m *valueMachine[T]) CheckType() error { return checkType(m.codec, "the value") }

func newValueMachine[T any](initial T, o ValueOptions[T]) (*valueMachine[T], error) {
	b, err := o.Codec.Append(nil, initial)
	if err == nil {
		initial, err = o.Codec.Decode(b)
	}
	if err != nil {
		return nil, fmt.Errorf("durable: encoding the initial value: %w", err)
	}
	m := &valueMachine[T]{codec: o.Codec, clone: newCloner(o.Clone, o.Codec), initial: initial, value: initial}
	return m, m.clone.check(initial)
}

func (m *valueMachine[T]) get() T {
	m.mu.RLock()
	defer m.mu.RUnlock()
	return m.value
}

// getSince returns the value, whether an update has set it, and how many states were
// restored up to then.
func (m *valueMachine[T]) getSince() (value T, kept bool, restored int) {
	m.mu.RLock()
	defer m.mu.RUnlock()
	return m.value, m.kept, m.restored
}

// opened says that the machine has the state after update index.
func (m *valueMachine[T]) opened(index uint64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.index, m.located = index, true
}

// getAt returns the value, whether an update has set it, and the index of the last update.
// The error is that of k.
func (m *valueMachine[T]) getAt(k store.Keeper) (value T, kept bool, index uint64, err error) {
	for {
		m.mu.RLock()
		value, kept, index, located := m.value, m.kept, m.index, m.located
		m.mu.RUnlock()
		if located {
			return value, kept, index, nil
		}
		// While nothing is applied, the keeper's index is that of the state.
		if err := k.ViewLocal(func() error { m.opened(k.Index()); return nil }); err != nil {
			return value, kept, 0, err
		}
	}
}

// setNext says that the next update gives back the turn.
func (m *valueMachine[T]) setNext(t *applied) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.next = t
}

// noteApplied gives the turn back, unless Apply has.
func (m *valueMachine[T]) noteApplied(t *applied) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.next == t {
		m.next = nil
	}
	if !t.given {
		t.give()
	}
}

// ApplyAt implements [store.TimedMachine].
func (m *valueMachine[T]) ApplyAt(_ time.Time, index uint64, update []byte) (any, error) {
	v, err := m.read(index, update)
	if err != nil && m.strict && !isRefusal(err) {
		panic(&unreadableError{index, err})
	}
	if err != nil {
		return nil, err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.next != nil && m.next.restored != m.restored {
		m.next = nil
		return nil, errConflict // the store's Replace has installed another value since
	}
	m.value, m.kept, m.index, m.located = v, true, index, true
	if m.next != nil {
		m.next.given = true
		m.next.give()
		m.next = nil
	}
	return nil, nil
}

// read returns the value that update, which is to be that of index, sets.
func (m *valueMachine[T]) read(index uint64, update []byte) (v T, err error) {
	u, err := parseValueUpdate(update)
	if err != nil {
		return v, err
	}
	if v, err = m.decode(u.value); err == nil && u.conditional && u.since != index-1 {
		err = errConflict
	}
	return v, err
}

func (m *valueMachine[T]) decode(b []byte) (v T, err error) {
	if v, err = m.codec.Decode(b); err != nil {
		return v, fmt.Errorf("durable: decoding the value: %w", err)
	}
	return v, m.clone.check(v)
}

// Snapshot implements [store.Machine].
func (m *valueMachine[T]) Snapshot() (io.WriterTo, error) {
	value, kept, _ := m.getSince()
	return capturedValue[T]{value, kept, m.codec}, nil
}

// A capturedValue is a value that is to be written.
type capturedValue[T any] struct {
	value T
	kept  bool
	codec store.Codec[T]
}

// WriteTo writes the value, if an update has set it.
func (c capturedValue[T]) WriteTo(w io.Writer) (int64, error) {
	b := append([]byte(valueMagic), noValue)
	if c.kept {
		var err error
		b[len(valueMagic)] = keptValue
		if b, err = c.codec.Append(b, c.value); err != nil {
			return 0, fmt.Errorf("durable: encoding the value: %w", err)
		}
	}
	n, err := w.Write(b)
	return int64(n), err
}

// Restore implements [store.Machine].
func (m *valueMachine[T]) Restore(snapshot io.Reader) error {
	b, err := io.ReadAll(snapshot)
	if err != nil {
		return fmt.Errorf("durable: reading a snapshot: %w", err)
	}
	b, kept, err := parseValueSnapshot(b)
	if err != nil {
		return err
	}
	v := m.initial
	if kept {
		if v, err = m.decode(b); err != nil {
			return err
		}
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.value, m.kept, m.index, m.located = v, kept, 0, false
	m.restored++
	return nil
}

// NewValueMachine returns the state machine of a value, for what takes one: package
// statetest with logs of the program's own, or a store that is not of this package. It
// panics if initial can't be encoded. Of opts, Codec and Clone count.
func NewValueMachine[T any](initial T, opts *ValueOptions[T]) store.Machine {
	m, err := newValueMachine(initial, opts.orDefaults())
	if err != nil {
		panic(err)
	}
	return m
}
