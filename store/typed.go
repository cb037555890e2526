package store

import (
	"context"
	"fmt"
	"io"
	"iter"
	"time"
)

// A TypedMachine is a [Machine] whose updates are values of type U and whose
// results are of type R. What is said of Machine holds for it. Apply owns its
// update: it was decoded for this call.
type TypedMachine[U, R any] interface {
	Apply(update U) (result R, err error)
	Snapshot() (io.WriterTo, error)
	Restore(snapshot io.Reader) error
}

// A TypedTimedMachine is a [TypedMachine] with the time and index of its updates: what
// is said of [TimedMachine] holds for it. Embed [NoTypedApply] where Apply is not needed.
type TypedTimedMachine[U, R any] interface {
	TypedMachine[U, R]
	ApplyAt(at time.Time, index uint64, update U) (result R, err error)
}

// NoTypedApply is embedded by a [TypedTimedMachine] that has no use for Apply.
type NoTypedApply[U, R any] struct{}

// Apply returns an error.
func (NoTypedApply[U, R]) Apply(U) (result R, err error) { return result, errNoApply }

// A Codec turns updates into bytes and back. Both functions may be called from
// several goroutines at once. What one of them can't keep it must refuse: an
// error of either keeps an update from being applied, and stops [Open] when it
// is replayed. The function RoundTrip of package statetest tests a codec.
type Codec[U any] interface {
	// Append appends the encoding of update to dst and returns the longer slice.
	Append(dst []byte, update U) ([]byte, error)
	// Decode is its inverse. It must not keep data.
	Decode(data []byte) (U, error)
}

// Typed is a [Store] with typed updates and results. All methods of Store are
// there; its own Update, Submit, Change, SubmitChange and Updates take the place of those
// with bytes.
type Typed[U, R any] struct {
	*Store
	codec Codec[U]
}

// OpenTyped opens a store as [Open] does, with a typed machine. A nil codec
// stands for [JSON].
func OpenTyped[U, R any](dir string, m TypedMachine[U, R], codec Codec[U], opts *Options) (*Typed[U, R], error) {
	if codec == nil {
		codec = JSON[U]{}
	}
	s, err := Open(dir, Untyped(m, codec), opts)
	if err != nil {
		return nil, err
	}
	return &Typed[U, R]{s, codec}, nil
}

// Update makes an update as [Store.Update] does.
func (t *Typed[U, R]) Update(ctx context.Context, update U) (result R, err error) {
	b, err := t.codec.Append(nil, update)
	if err != nil {
		return result, fmt.Errorf("store: encoding an update: %w", err)
	}
	r, err := t.Store.Update(ctx, b)
	if err != nil {
		return result, err
	}
	result, _ = r.(R) // not so only for a nil R of an interface type
	return result, nil
}

// Submit makes an update as [Store.Submit] does.
func (t *Typed[U, R]) Submit(update U) (*TypedTicket[R], error) {
	b, err := t.codec.Append(nil, update)
	if err != nil {
		return nil, fmt.Errorf("store: encoding an update: %w", err)
	}
	ticket, err := t.Store.Submit(b)
	if err != nil {
		return nil, err
	}
	return &TypedTicket[R]{ticket}, nil
}

// A TypedTicket is a [Ticket] with a result of type R.
type TypedTicket[R any] struct{ *Ticket }

// Result returns what Apply returned.
func (t *TypedTicket[R]) Result() R {
	result, _ := t.Ticket.Result().(R) // not so only for a nil R of an interface type
	return result
}

// Change is [Store.Change] with typed updates.
func (t *Typed[U, R]) Change(ctx context.Context, change func(tx *TypedTx[U]) error) (index uint64, err error) {
	return t.Store.Change(ctx, typedChange(t.codec, change))
}

// SubmitChange is [Store.SubmitChange] with typed updates.
func (t *Typed[U, R]) SubmitChange(change func(tx *TypedTx[U]) error) (*Ticket, error) {
	return t.Store.SubmitChange(typedChange(t.codec, change))
}

func typedChange[U any](codec Codec[U], change func(tx *TypedTx[U]) error) func(*Tx) error {
	if change == nil {
		return nil
	}
	return func(tx *Tx) error { return change(&TypedTx[U]{tx, codec}) }
}

// A TypedTx is a [Tx] for updates of type U.
type TypedTx[U any] struct {
	*Tx
	codec Codec[U]
}

// Append adds an update, as [Tx.Append] does. An error of the codec, which also decodes
// what it has encoded, says that it is not added.
func (tx *TypedTx[U]) Append(update U) error {
	b, err := tx.codec.Append(nil, update)
	if err != nil {
		return fmt.Errorf("store: encoding an update: %w", err)
	}
	if _, err := tx.codec.Decode(b); err != nil { // what Open would say, when nothing is lost yet
		return fmt.Errorf("store: decoding an update: %w", err)
	}
	return tx.Tx.Append(b)
}

// A TypedUpdate is an [Update] of type U.
type TypedUpdate[U any] struct {
	Index uint64
	Time  time.Time
	Value U
	State []byte // of an [Update] that is a whole state: its Data; Value is the zero value
}

// Updates is [Store.Updates] with typed updates. One that can't be decoded ends the
// sequence with the error of the codec.
func (t *Typed[U, R]) Updates(ctx context.Context, from uint64) iter.Seq2[TypedUpdate[U], error] {
	return func(yield func(TypedUpdate[U], error) bool) {
		for u, err := range t.Store.Updates(ctx, from) {
			typed := TypedUpdate[U]{Index: u.Index, Time: u.Time}
			switch {
			case err != nil:
			case u.State:
				typed.State = u.Data
			default:
				if typed.Value, err = t.codec.Decode(u.Data); err != nil {
					err = fmt.Errorf("store: decoding update %d: %w", u.Index, err)
				}
			}
			if !yield(typed, err) || err != nil {
				return
			}
		}
	}
}

// Untyped returns the [Machine] that m is, for what takes one: RestoreAt, and
// package statetest. A nil codec stands for [JSON].
func Untyped[U, R any](m TypedMachine[U, R], codec Codec[U]) Machine {
	if m == nil {
		return nil
	}
	if codec == nil {
		codec = JSON[U]{}
	}
	u := untyped[U, R]{m, codec}
	if timed, ok := m.(TypedTimedMachine[U, R]); ok {
		return untypedTimed[U, R]{u, timed}
	}
	return u
}

type untyped[U, R any] struct {
	TypedMachine[U, R]
	codec Codec[U]
}

// typed returns the machine that m stands for.
func (m untyped[U, R]) typed() any { return m.TypedMachine }

// CheckUpdate implements UpdateChecker.
func (m untyped[U, R]) CheckUpdate(update []byte) error {
	if _, err := m.codec.Decode(update); err != nil {
		return fmt.Errorf("store: decoding an update: %w", err)
	}
	return nil
}

// Apply implements Machine. The machine sees what was decoded when it is made
// first, too, so that a codec which loses something loses it at once.
func (m untyped[U, R]) Apply(update []byte) (any, error) {
	return m.decoded(update, m.TypedMachine.Apply)
}

// decoded calls apply with the decoded update.
func (m untyped[U, R]) decoded(update []byte, apply func(U) (R, error)) (any, error) {
	u, err := m.codec.Decode(update)
	if err != nil {
		return nil, fmt.Errorf("store: decoding an update: %w", err)
	}
	r, err := apply(u)
	if err != nil {
		return nil, err
	}
	return r, nil
}

type untypedTimed[U, R any] struct {
	untyped[U, R]
	timed TypedTimedMachine[U, R]
}

// ApplyAt implements TimedMachine.
func (m untypedTimed[U, R]) ApplyAt(at time.Time, index uint64, update []byte) (any, error) {
	return m.decoded(update, func(u U) (R, error) { return m.timed.ApplyAt(at, index, u) })
}
