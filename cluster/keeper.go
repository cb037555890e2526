package cluster

import (
	"context"
	"fmt"
	"iter"

	"github.com/stateio/stateio/store"
)

// A Keeper keeps the state of a machine: on one computer, as a *store.Store does, or
// on several, as a *Node does. A program that holds a Keeper takes either, and
// changes the line that opens it. For reading there is also the function [View], since a
// store needs no context for that.
type Keeper = store.Keeper

var _ Keeper = (*Node)(nil)

// View calls read while no update is applied to the state that k keeps, as
// store.Store.View and Node.View do. It sees every update that was acknowledged
// before. A Keeper of another type must have a method View of one of those two kinds.
func View(ctx context.Context, k Keeper, read func() error) error {
	switch k := k.(type) {
	case interface {
		View(ctx context.Context, read func() error) error
	}:
		return k.View(ctx, read)
	case interface{ View(read func() error) error }:
		if err := ctx.Err(); err != nil {
			return err
		}
		return k.View(read)
	}
	return &opError{msg: "reading from a Keeper that has no method View", errs: []error{store.ErrFailed}}
}

// A Submitted is an update that was submitted, to a store or to a node: what their
// tickets have in common.
type Submitted interface {
	// Wait waits until the update is durable. Its errors are those of Update.
	Wait(ctx context.Context) error
	// Index returns the update's index once Wait has returned nil.
	Index() uint64
	// Result returns what Apply returned, once Wait has returned nil.
	Result() any
}

// Submit takes an update, as store.Store.Submit and Node.Submit do, and returns
// without waiting for it. A Keeper of another type must have a method Submit of one
// of those two kinds.
func Submit(k Keeper, update []byte) (Submitted, error) {
	switch k := k.(type) {
	case interface {
		Submit(update []byte) (*Ticket, error)
	}:
		return submitted(k.Submit(update))
	case interface {
		Submit(update []byte) (*store.Ticket, error)
	}:
		return submitted(k.Submit(update))
	}
	return nil, &opError{msg: "submitting to a Keeper that has no method Submit", errs: []error{store.ErrFailed}}
}

// submitted makes sure that an error comes with nil.
func submitted[T Submitted](t T, err error) (Submitted, error) {
	if err != nil {
		return nil, err
	}
	return t, nil
}

// A TypedTicket is a ticket whose result is of type R.
type TypedTicket[R any] struct{ Submitted }

// Result returns what Apply returned, once Wait has returned nil.
func (t *TypedTicket[R]) Result() (result R) {
	result, _ = t.Submitted.Result().(R) // not so only for a nil R of an interface type
	return result
}

// Typed makes typed updates on a Keeper.
type Typed[U, R any] struct {
	Keeper
	codec store.Codec[U]
}

// OpenTyped opens a node as [Open] does, with a typed machine. A nil codec stands
// for JSON.
func OpenTyped[U, R any](dir string, m store.TypedMachine[U, R], codec store.Codec[U], opts *Options) (*Typed[U, R], *Node, error) {
	n, err := Open(dir, store.Untyped(m, codec), opts)
	if err != nil {
		return nil, nil, err
	}
	return NewTyped[U, R](n, codec), n, nil
}

// NewTyped returns k for updates of type U. Its machine must be what
// store.Untyped makes of a machine with these types and this codec; nil stands for
// JSON.
func NewTyped[U, R any](k Keeper, codec store.Codec[U]) *Typed[U, R] {
	if codec == nil {
		codec = store.JSON[U]{}
	}
	return &Typed[U, R]{k, codec}
}

// Update makes an update as Keeper.Update does.
func (t *Typed[U, R]) Update(ctx context.Context, update U) (result R, err error) {
	b, err := t.codec.Append(nil, update)
	if err != nil {
		return result, &opError{msg: "encoding an update", errs: []error{err}}
	}
	r, err := t.Keeper.Update(ctx, b)
	if err != nil {
		return result, err
	}
	result, _ = r.(R) // not so only for a nil R of an interface type
	return result, nil
}

// Submit takes an update, as the function Submit does.
func (t *Typed[U, R]) Submit(update U) (*TypedTicket[R], error) {
	b, err := t.codec.Append(nil, update)
	if err != nil {
		return nil, &opError{msg: "encoding an update", errs: []error{err}}
	}
	s, err := Submit(t.Keeper, b)
	if err != nil {
		return nil, err
	}
	return &TypedTicket[R]{s}, nil
}

// Updates returns the updates as Keeper.Updates does, decoded. One that can't be
// decoded is an error, which ends the sequence.
func (t *Typed[U, R]) Updates(ctx context.Context, from uint64) iter.Seq2[store.TypedUpdate[U], error] {
	return func(yield func(store.TypedUpdate[U], error) bool) {
		for u, err := range t.Keeper.Updates(ctx, from) {
			typed := store.TypedUpdate[U]{Index: u.Index, Time: u.Time}
			switch {
			case err != nil:
			case u.State:
				typed.State = u.Data
			default:
				if typed.Value, err = t.codec.Decode(u.Data); err != nil {
					err = &opError{msg: fmt.Sprintf("decoding update %d", u.Index), errs: []error{err}}
				}
			}
			if !yield(typed, err) || err != nil {
				return
			}
		}
	}
}
