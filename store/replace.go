package store

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
)

// Replace installs a whole state in place of the one that there is, and returns when that
// is durable, with the index that it has as an update. After a crash the store has either
// the state before, or this one. state is written as a snapshot is: what its WriteTo writes
// is held in memory, logged as one update of at most Options.MaxUpdate bytes, and passed
// to Machine.Restore, at the first time as in every replay.
//
// [Store.Updates] and what follows the store get it as an [Update] whose State is true.
//
// The errors are those of state, of which nothing has happened, and those of
// [Store.Update]. If Restore refuses the state, nothing is logged and the store fails, since
// the machine may then hold anything: opened again, it has the state before. The error is
// ErrFailed then, and that of Restore. As whenever a store fails, what was applied before
// and is not durable yet may be lost, and its callers are told ErrUnknown.
//
// A state that is an io.Closer is closed, whatever happened.
func (s *Store) Replace(ctx context.Context, state io.WriterTo) (index uint64, err error) {
	if state == nil {
		return 0, errors.New("store: Replace needs a state, not nil")
	}
	if c, ok := state.(io.Closer); ok {
		defer func() { _ = c.Close() }() // it was read, and is installed or not
	}
	if err := s.acceptable(ctx, nil); err != nil {
		return 0, err
	}
	b := stateBuffer{most: s.opts.MaxUpdate}
	if err := b.take(state); err != nil {
		return 0, err
	}
	r := s.queue.request(b.Bytes())
	r.state = true
	s.enter(r, ctx.Done() == nil, false)
	if err := s.await(ctx, r); err != nil {
		return 0, err
	}
	index, err = r.index, r.err
	s.finish(r)
	return index, err
}

// A stateBuffer holds a state of so many bytes at most.
type stateBuffer struct {
	bytes.Buffer
	most int
}

// take has state written into b.
func (b *stateBuffer) take(state io.WriterTo) (err error) {
	defer recovered(&err, "WriteTo of the state")
	_, err = state.WriteTo(struct{ io.Writer }{b})
	if err == nil || errors.Is(err, ErrTooLarge) {
		return err
	}
	return fmt.Errorf("store: writing the state that is to be installed: %w", err)
}

// Write implements io.Writer.
func (b *stateBuffer) Write(p []byte) (int, error) {
	if len(p) > b.most-b.Len() {
		return 0, &opError{is: ErrTooLarge, msg: fmt.Sprintf("the state that is to be installed has more than Options.MaxUpdate, %d bytes", b.most)}
	}
	return b.Buffer.Write(p)
}

// A stateCall is a request whose state is restored.
type stateCall request

func (c *stateCall) on(s *Store) error { return s.m.Restore(bytes.NewReader(c.update)) }

// refusedState says that the machine has refused the state of r, which leaves it with no state
// that is known.
func (s *Store) refusedState(r *request) error {
	return s.fail(fmt.Errorf("Restore refused the state that was to be installed: %w", r.err))
}
