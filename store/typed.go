package store

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
)

// A TypedMachine is a [Machine] whose updates are values of type U and whose
// results are of type R. What is said of Machine holds for it. Apply owns its
// update: it was decoded for this call.
type TypedMachine[U, R any] interface {
	Apply(update U) (result R, err error)
	Snapshot() (io.WriterTo, error)
	Restore(snapshot io.Reader) error
}

// A Codec turns updates into bytes and back. Both functions may be called from
// several goroutines at once.
type Codec[U any] interface {
	// Append appends the encoding of update to dst and returns the longer slice.
	Append(dst []byte, update U) ([]byte, error)
	// Decode is its inverse. It must not keep data.
	Decode(data []byte) (U, error)
}

// JSON is the Codec that [OpenTyped] uses by default, by package encoding/json.
type JSON[U any] struct{}

// Append implements Codec.
func (JSON[U]) Append(dst []byte, update U) ([]byte, error) {
	b, err := json.Marshal(update)
	return append(dst, b...), err
}

// Decode implements Codec.
func (JSON[U]) Decode(data []byte) (update U, err error) {
	err = json.Unmarshal(data, &update)
	return update, err
}

// Typed is a [Store] with typed updates and results. All methods of Store are
// there; its own Update and Submit take the place of those with bytes.
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

// Submit makes an update as [Store.Submit] does. The ticket's Result is of
// type R.
func (t *Typed[U, R]) Submit(update U) (*Ticket, error) {
	b, err := t.codec.Append(nil, update)
	if err != nil {
		return nil, fmt.Errorf("store: encoding an update: %w", err)
	}
	return t.Store.Submit(b)
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
	return untyped[U, R]{m, codec}
}

type untyped[U, R any] struct {
	TypedMachine[U, R]
	codec Codec[U]
}

// Apply implements Machine. The machine sees what was decoded when it is made
// first, too, so that a codec which loses something loses it at once.
func (m untyped[U, R]) Apply(update []byte) (any, error) {
	u, err := m.codec.Decode(update)
	if err != nil {
		return nil, fmt.Errorf("store: decoding an update: %w", err)
	}
	r, err := m.TypedMachine.Apply(u)
	if err != nil {
		return nil, err
	}
	return r, nil
}
