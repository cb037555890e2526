package durable

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"sync"

	"github.com/stateio/stateio/store"
)

// A Value is one Go value on the disk, such as a configuration or the few things that
// a program has to remember. Each update writes all of it: for many things, use a
// [Map]. Its methods may be called from any number of goroutines at once.
type Value[T any] struct {
	store *store.Store
	m     *valueMachine[T]
	turn  turn // of the update that runs until it is applied
}

// OpenValue opens the value in the directory dir, which it makes if it is not there.
// Until the first update, the value is initial, which is not kept: if a later version of
// the program passes another one, that counts. Nil opts are the defaults.
//
// Errors are those of [store.Open] and of the codec.
func OpenValue[T any](dir string, initial T, opts *ValueOptions[T]) (*Value[T], error) {
	o := opts.orDefaults()
	m, err := newValueMachine(initial, o)
	if err != nil {
		return nil, err
	}
	s, err := store.Open(dir, m, &o.Store)
	if err != nil {
		return nil, err
	}
	return &Value[T]{store: s, m: m, turn: newTurn()}, nil
}

// Close makes all updates durable and closes the value. Get goes on to work; Update
// returns [store.ErrClosed].
func (v *Value[T]) Close() error { return v.store.Close() }

// Store returns the store that keeps the value, for its Stats, Snapshot, Backup and
// Recovery. Updates are to be made by Update.
func (v *Value[T]) Store() *store.Store { return v.store }

// Sync waits until what Get returns is on the disk. The errors are those of
// [store.Store.Sync].
func (v *Value[T]) Sync(ctx context.Context) error { return v.store.Sync(ctx) }

// Get returns the value. It is a copy, the caller's, and may be a moment ahead of the
// disk.
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
	turn := &applied{give: v.turn.give}
	defer v.m.noteApplied(turn)
	update, err := v.next(f)
	if err != nil || update == nil {
		if serr := v.store.Sync(ctx); serr != nil {
			return ungrounded(err, serr)
		}
		return err
	}
	v.m.setNext(turn)
	_, err = v.store.Update(ctx, update)
	return err
}

// next returns the update that f makes, nil if it changes nothing.
func (v *Value[T]) next(f func(*T) error) ([]byte, error) {
	now := v.m.get()
	next := v.m.clone.of(now)
	if err := f(&next); err != nil {
		return nil, err
	}
	update, err := v.m.codec.Append([]byte{valueVersion}, next)
	if err != nil {
		return nil, fmt.Errorf("durable: encoding the value: %w", err)
	}
	if was, err := v.m.codec.Append([]byte{valueVersion}, now); err == nil && bytes.Equal(was, update) && v.store.Index() > 0 {
		return nil, nil
	}
	return update, nil
}

// valueMachine is the state machine of a value. Updates and snapshots are a byte,
// valueVersion, and the encoded value.
type valueMachine[T any] struct {
	codec store.Codec[T]
	clone cloner[T]

	mu    sync.RWMutex // held for moments
	value T            // never changed in place, only replaced
	next  *applied     // of the Update that is next
}

const valueVersion = 1

// applied is the turn of one Update.
type applied struct {
	given bool   // Apply has let go of the turn
	give  func() // lets go of it
}

func newValueMachine[T any](initial T, o ValueOptions[T]) (*valueMachine[T], error) {
	b, err := o.Codec.Append(nil, initial)
	if err == nil {
		initial, err = o.Codec.Decode(b)
	}
	if err != nil {
		return nil, fmt.Errorf("durable: encoding the initial value: %w", err)
	}
	m := &valueMachine[T]{codec: o.Codec, clone: newCloner(o.Clone, o.Codec), value: initial}
	return m, m.clone.check(initial)
}

func (m *valueMachine[T]) get() T {
	m.mu.RLock()
	defer m.mu.RUnlock()
	return m.value
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

// Apply implements [store.Machine].
func (m *valueMachine[T]) Apply(update []byte) (any, error) {
	v, err := m.decode(update)
	if err != nil {
		return nil, err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.value = v
	if m.next != nil {
		m.next.given = true
		m.next.give()
		m.next = nil
	}
	return nil, nil
}

func (m *valueMachine[T]) decode(b []byte) (v T, err error) {
	switch {
	case len(b) == 0:
		return v, errors.New("durable: the update is empty: no value has made it")
	case b[0] != valueVersion:
		return v, fmt.Errorf("durable: the value is of version %d, and this program knows version %d: it was made by a newer one, use that, or it is none", b[0], valueVersion)
	}
	if v, err = m.codec.Decode(b[1:]); err != nil {
		return v, fmt.Errorf("durable: decoding the value: %w", err)
	}
	return v, m.clone.check(v)
}

// Snapshot implements [store.Machine].
func (m *valueMachine[T]) Snapshot() (io.WriterTo, error) {
	return capturedValue[T]{m.get(), m.codec}, nil
}

// A capturedValue is a value that is to be written.
type capturedValue[T any] struct {
	value T
	codec store.Codec[T]
}

// WriteTo writes the value.
func (c capturedValue[T]) WriteTo(w io.Writer) (int64, error) {
	b, err := c.codec.Append([]byte{valueVersion}, c.value)
	if err != nil {
		return 0, fmt.Errorf("durable: encoding the value: %w", err)
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
	v, err := m.decode(b)
	if err != nil {
		return err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.value = v
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
