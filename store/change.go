package store

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"time"

	"github.com/stateio/stateio/internal/storefile"
)

// Change is for a program that changes its state by itself and then has that logged. It
// calls change while nothing else uses the machine: no Apply, Snapshot or View runs. What
// change does to the state, in memory, it describes by updates that it passes to tx, and a
// replay makes by calling Apply with each of them. All of them are one atomic unit: after a
// crash they are all there, or none is. Change returns when they are durable, with the
// index of the last one, or with that of the update before if there are none.
//
// An error that change returns goes to the caller as it is, and says that nothing has
// happened: change must have left the state as it was, and nothing is logged, whatever
// it has appended. Append before you change the state, and there is nothing to undo when
// there is no space. The other errors are those of [Store.Update]. A panic in change fails
// the store, as one in Apply does. change may be called in the goroutine of another
// caller, and must not call methods of the store, which return ErrReentrant.
func (s *Store) Change(ctx context.Context, change func(tx *Tx) error) (index uint64, err error) {
	r, err := s.changeRequest(ctx, change)
	if err != nil {
		return 0, err
	}
	patient := ctx.Done() == nil
	s.enter(r, patient, patient && s.syncInterval.Load() == 0)
	if err := s.await(ctx, r); err != nil {
		return 0, err
	}
	index, err = r.index, r.err
	s.finish(r)
	return index, err
}

// SubmitChange calls change like Change, and returns without waiting until it is durable.
// The ticket has the index of the last update, and no result.
func (s *Store) SubmitChange(change func(tx *Tx) error) (*Ticket, error) {
	ctx := context.Background()
	r, err := s.changeRequest(ctx, change)
	if err != nil {
		return nil, err
	}
	r.async = true
	return s.submit(ctx, r)
}

func (s *Store) changeRequest(ctx context.Context, change func(tx *Tx) error) (*request, error) {
	if change == nil {
		return nil, errors.New("store: Change needs a function, not nil")
	}
	if err := s.acceptable(ctx, nil); err != nil {
		return nil, err
	}
	r := s.queue.request(nil)
	r.change = change
	return r, nil
}

// A Tx collects the updates of one [Store.Change], and is of no use after that.
type Tx struct {
	s     *Store // nil: the change is over
	first uint64 // index of the first update
	at    int64  // the time of the commit, in nanoseconds since 1970
	count uint32 // of updates
	group []byte // the updates as a group holds them
	bare  int    // where the first update begins there
}

// Append adds an update, in order. The slice is the caller's. An error says that the
// update is not added, and the function passed to Change returns an error, or goes on with
// what was added: ErrTooLarge, for an update larger than Options.MaxUpdate or when all of
// them together are; ErrNoSpace and others of making room on the disk.
func (tx *Tx) Append(update []byte) error {
	s := tx.s
	if s == nil {
		return errors.New("store: a Tx was used after the function passed to Change had returned")
	}
	n := len(tx.group) + binary.MaxVarintLen64 + len(update)
	if n-binary.MaxVarintLen64 > s.opts.MaxUpdate {
		return &opError{is: ErrTooLarge, msg: fmt.Sprintf("the updates of a change take %d bytes, and Options.MaxUpdate is %d", n-binary.MaxVarintLen64, s.opts.MaxUpdate)}
	}
	if !s.hasSpace(n) {
		if err := s.makeSpace(n); err != nil {
			return err
		}
	}
	tx.group = storefile.AppendToGroup(tx.group, update)
	if tx.count++; tx.count == 1 {
		tx.bare = len(tx.group) - len(update)
	}
	return nil
}

// Index returns the index that the next update appended will have.
func (tx *Tx) Index() uint64 { return tx.first + uint64(tx.count) }

// Time returns the time of the commit in which the updates will be: see [TimedMachine].
func (tx *Tx) Time() time.Time { return moment(tx.at) }

// A changeCall is a request whose change is called.
type changeCall request

func (c *changeCall) on(s *Store) error {
	r := (*request)(c)
	tx := &Tx{s: s, first: s.index.Load() + 1, at: r.at}
	defer func() { tx.s = nil }()
	if err := r.change(tx); err != nil {
		return err
	}
	r.update, r.count = tx.group, tx.count
	if r.count == 1 {
		r.update = tx.group[tx.bare:]
	}
	r.size = len(r.update)
	return nil
}
