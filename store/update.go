package store

import (
	"context"
	"errors"
	"fmt"
)

// Update applies update to the machine, writes it to the log, and returns when
// it is durable. The result is that of Apply. Updates are applied in the order
// of the log, many are made durable together, and one that was acknowledged
// survives any crash. The slice is the caller's; the store does not keep it.
//
// When Apply refuses the update, its error is returned as it is and nothing
// has happened. ErrTooLarge, ErrNoSpace, ErrClosed and ErrReentrant also say
// that the update was not applied, and so does ErrFailed before the update was
// applied. In two cases the outcome is unknown: the update was applied and can
// be seen, and it is durable, will be, or will be gone after a crash:
//
//   - ctx ended while the update waited to become durable: the error wraps that
//     of ctx. The update is in the log as in memory, Sync tells when it is
//     durable.
//   - the store failed meanwhile: ErrFailed wraps why.
//
// A ctx that can end does not interrupt the disk, and costs a switch of
// goroutines when there is a single writer.
func (s *Store) Update(ctx context.Context, update []byte) (result any, err error) {
	if err := ctx.Err(); err != nil {
		return nil, fmt.Errorf("store: update not made: %w", err)
	}
	lead := ctx.Done() == nil && s.opts.SyncInterval == 0
	result, p, err := s.put(ctx, update, lead)
	if err != nil {
		return nil, err
	}
	if p.lead {
		s.gather()
		err = s.commitBatch()
		s.commit.Unlock()
		s.wakeIfPending()
	} else {
		err = p.wait(ctx)
	}
	if err != nil {
		return nil, err
	}
	return result, nil
}

// Submit applies update like Update, and returns without waiting until it is
// durable. It waits only while MaxPending bytes are pending. The errors are
// those of Update that say that the update was not applied.
func (s *Store) Submit(update []byte) (*Ticket, error) {
	result, p, err := s.put(context.Background(), update, false)
	if err != nil {
		return nil, err
	}
	return &Ticket{place: p, s: s, result: result}, nil
}

// A Ticket stands for an update that was applied. Its methods may be called
// from any number of goroutines, any number of times.
type Ticket struct {
	place
	s      *Store
	result any
}

// Wait waits until the update is durable. Once it is, the result is nil, whatever
// has become of ctx. An error, which wraps ErrFailed or that of ctx, or is
// ErrReentrant, says that the outcome is unknown, as with Update.
func (t *Ticket) Wait(ctx context.Context) error { return t.s.wait(ctx, t.place) }

// Index returns the update's index.
func (t *Ticket) Index() uint64 { return t.index }

// Result returns what Apply returned.
func (t *Ticket) Result() any { return t.result }

// A place is that of an update in the log.
type place struct {
	index uint64
	done  *signal // nil with lead
	lead  bool    // commit was locked to write the batch
}

func (p place) wait(ctx context.Context) error {
	if ctx.Done() == nil {
		return p.done.take() // costs less than the select, with hundreds of waiters
	}
	select {
	case <-p.done.c:
		return p.done.pass()
	case <-ctx.Done():
		return p.done.late(fmt.Errorf("store: waiting for update %d to become durable: %w", p.index, ctx.Err()))
	}
}

// put applies update and puts it into the batch. With lead it locks commit, if
// that is free, and the caller is to commit the batch.
func (s *Store) put(ctx context.Context, update []byte, lead bool) (result any, p place, err error) {
	if len(update) > s.opts.MaxUpdate {
		return nil, p, &opError{is: ErrTooLarge, msg: fmt.Sprintf("an update of %d bytes is larger than Options.MaxUpdate, %d", len(update), s.opts.MaxUpdate)}
	}
	if err := s.admit(ctx, len(update)); err != nil {
		return nil, p, err
	}
	defer s.state.Unlock()
	result, err = s.apply(update)
	s.mu.Lock()
	defer s.mu.Unlock()
	if err != nil {
		s.stats.refused++
		return nil, p, err
	}
	s.index++
	p.index = s.index
	if err := s.failure(); err != nil {
		p.done = settled(err) // while Apply ran: a commit before this one is lost
		return result, p, nil
	}
	b := s.fill
	n := len(b.buf)
	b.buf = appendFramed(b.buf, s.log.next, s.log.hdr.salt, tag{index: s.index, back: b.updates}, update)
	b.updates++
	s.log.next += int64(len(b.buf) - n)
	if p.lead = lead && s.commit.TryLock(); !p.lead {
		p.done = b.wait()
		if !lead {
			s.rouse() // else who holds commit does, when it lets go
		}
	}
	return result, p, nil
}

// rouse wakes the committer.
func (s *Store) rouse() {
	select {
	case s.wake <- struct{}{}:
	default:
	}
}

// wakeIfPending wakes the committer if there is work for it. It follows every
// release of commit.
func (s *Store) wakeIfPending() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.fill.updates > 0 {
		s.rouse()
	}
}

// admit waits until an update of n bytes can be applied, with room for it in
// the batch and on the disk. It returns with state locked, unless there is an
// error.
func (s *Store) admit(ctx context.Context, n int) error {
	for {
		if err := s.lockState(); err != nil {
			return err
		}
		s.mu.Lock()
		err := s.err
		full := s.gate || s.fill.updates > 0 && len(s.fill.buf)+n > s.opts.MaxPending
		if err == nil && !full {
			err = s.reserve(n)
		}
		changed := s.changedLocked(err == nil && full)
		s.mu.Unlock()
		if err == nil && !full {
			return nil
		}
		s.state.Unlock()
		if err != nil {
			return err
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return fmt.Errorf("store: update not made: %w", ctx.Err())
		}
	}
}

// changedLocked returns a channel that is closed when one of the fields that
// mu guards, and somebody may wait for, changes.
func (s *Store) changedLocked(wanted bool) <-chan struct{} {
	if wanted && s.changed == nil {
		s.changed = make(chan struct{})
	}
	return s.changed
}

// announce wakes who waits for a change. The caller holds mu.
func (s *Store) announce() {
	if s.changed != nil {
		close(s.changed)
		s.changed = nil
	}
}

// reserve makes sure that there is disk space for an update of n bytes, and
// what ends a log. The caller holds state and mu.
func (s *Store) reserve(n int) error {
	if s.log == nil {
		log, err := s.createLog(s.index)
		if err != nil {
			return err
		}
		s.setLog(log)
	}
	end := s.log.next + framedSize(s.log.next, n) + tailRoom
	if end <= s.log.size {
		return nil
	}
	return s.setAside(s.log, end)
}

// apply calls Apply. A panic fails the store: who knows what it left.
func (s *Store) apply(update []byte) (result any, err error) {
	returned := false
	s.user.Add(1)
	defer func() {
		s.user.Add(-1)
		if !returned {
			s.mu.Lock()
			_ = s.fail(errors.New("panic in Apply")) // the panic goes on
			s.mu.Unlock()
		}
	}()
	result, err = s.m.Apply(update)
	returned = true
	return result, err
}

// fail makes err the reason why the store takes no more updates. The caller
// holds mu. What is pending will never be written.
func (s *Store) fail(err error) error {
	if s.err == nil || errors.Is(s.err, ErrClosed) {
		s.err = &opError{is: ErrFailed, msg: s.dir + " has failed, close it and open it again", cause: err}
		s.opts.Logger.Error("store: failed", "dir", s.dir, "error", err)
	}
	s.fill.finish(s.err)
	s.fill.reset(s.fill.start)
	s.announce()
	return s.err
}
