package store

import (
	"context"
	"fmt"
)

// Update applies update to the machine, writes it to the log, and returns when
// it is durable. The result is that of Apply. Updates are applied in the order
// of the log, many are made durable together, and one that was acknowledged
// survives any crash. The slice is the caller's; the store does not keep it. Apply
// may be called in the goroutine of another caller.
//
// When Apply refuses the update, its error is returned as it is, nothing has
// happened, and all that was applied before is durable: what the refusal rests
// on does not go away. The following errors also say that the update was not
// applied, now or later: ErrTooLarge, ErrNoSpace, ErrClosed, ErrReentrant,
// ErrFailed, and that of ctx, if it ended while the update waited for its turn.
//
// An error that is [ErrUnknown] says that the update was applied and can be seen.
// It is an [*UnknownError], which has its index:
//
//   - with the error of ctx, when that ended while the update waited to become
//     durable. It is in the log as in memory; Sync tells when it is durable.
//   - with ErrFailed, when the store failed meanwhile. It may be durable or gone
//     after the store is opened again.
//
// A ctx that ends interrupts every wait, but neither Apply nor the disk.
func (s *Store) Update(ctx context.Context, update []byte) (result any, err error) {
	if err := s.acceptable(ctx, update); err != nil {
		return nil, err
	}
	r := s.queue.request(update)
	patient := ctx.Done() == nil
	s.enter(r, patient, patient && s.syncInterval.Load() == 0)
	if err := s.await(ctx, r); err != nil {
		return nil, err
	}
	result, err = r.result, r.err
	s.finish(r)
	if err != nil {
		return nil, err
	}
	return result, nil
}

// Submit applies update like Update, and returns without waiting until it is
// durable. It waits for its turn, and while MaxPending bytes are pending; and an
// update that Apply refuses waits like one of Update. The errors are those of
// Update that say that the update was not applied.
func (s *Store) Submit(update []byte) (*Ticket, error) {
	ctx := context.Background()
	if err := s.acceptable(ctx, update); err != nil {
		return nil, err
	}
	r := s.queue.request(update)
	r.async = true
	return s.submit(ctx, r)
}

// submit enters an async request.
func (s *Store) submit(ctx context.Context, r *request) (*Ticket, error) {
	s.enter(r, true, false)
	if err := s.await(ctx, r); err != nil {
		return nil, err
	}
	err, t := r.err, &Ticket{s: s, index: r.index, done: r.done, result: r.result}
	s.finish(r)
	if err != nil {
		return nil, err
	}
	return t, nil
}

// enter queues r, and applies what is queued if that is for the caller to do; one that
// may lead commits it as well, if nobody else is at that.
func (s *Store) enter(r *request, patient, mayLead bool) {
	returned := false
	defer func() {
		if !returned { // Apply has panicked, or ended the goroutine, perhaps for another caller
			go s.outlive(r)
		}
	}()
	if mayLead && s.commit.TryLock() {
		s.lead(r)
	} else if s.queue.add(r) {
		s.help(r, patient, helpRounds)
	}
	returned = true
}

// outlive does what the caller of r, which is gone, would do when it is told.
func (s *Store) outlive(r *request) {
	for r.phase.Load() != told {
		<-r.wake
	}
	s.passOn(r)
}

// passOn tells the next caller in the chain of r, which was told.
func (s *Store) passOn(r *request) {
	if r.linked && !tellChain(r.chain) {
		signalTo(s.gathered)
	}
}

// acceptable says why an update is not even queued.
func (s *Store) acceptable(ctx context.Context, update []byte) error {
	if err := ctx.Err(); err != nil {
		return notMade(err)
	}
	if len(update) > s.opts.MaxUpdate {
		return &opError{is: ErrTooLarge, msg: fmt.Sprintf("an update of %d bytes is larger than Options.MaxUpdate, %d", len(update), s.opts.MaxUpdate)}
	}
	if s.down.Load() {
		return s.whyDown()
	}
	return nil
}

// lead makes the update of r as the caller that commits it, which costs a single
// writer no switch of goroutines. It is called with commit locked, and unlocks it.
func (s *Store) lead(r *request) {
	defer s.endCommit() // also when Apply panics
	r.lead = true
	if s.chained {
		s.queue.setGathering(true)
	}
	s.queue.add(r)
	s.gather()
	s.applyFor(r)
	_ = s.commitBatch() // r has what came of it
	s.rejoin(r)
}

// applyFor applies what is queued before a commit, if it need not wait for that
// while there is something to commit already.
func (s *Store) applyFor(own *request) {
	if !s.apply.TryLock() {
		return // whoever has it applies what is queued
	}
	wait := !s.batchPending() // which it stays, without apply
	was := more
	defer func() { s.unlockApply(was) }()
	was = s.drain(own, wait, 1)
}

// rejoin makes the caller of r, which has led a commit, wait like others if r was
// not in it.
func (s *Store) rejoin(r *request) {
	s.batchMu.Lock()
	defer s.batchMu.Unlock()
	if r.phase.Load() == told {
		return
	}
	r.lead = false
	for _, b := range []*batch{s.fill, s.flight} {
		if b != nil && b.lead == r {
			b.lead = nil
			b.linkLocked(r)
		}
	}
}

// await waits until r is told. An error says that ctx ended before that, or that
// r can't be told; then r is not used any more.
func (s *Store) await(ctx context.Context, r *request) error {
	for asked := s.queue.alone(r); r.phase.Load() != told; asked = true {
		if asked && s.within(inApply, inCapture, inView) && s.queue.withdraw(r) {
			return errReentrant
		}
		s.watch.arm()
		select {
		case <-r.wake: // it is told, or the watchdog asks
		case <-ctx.Done():
			if err := s.giveUp(ctx, r); err != nil {
				return err
			}
		}
	}
	return nil
}

// giveUp ends the wait for r, because ctx has ended. It returns nil if r is told
// in time.
func (s *Store) giveUp(ctx context.Context, r *request) error {
	for {
		switch r.phase.Load() {
		case told:
			return nil
		case queued:
			if s.queue.withdraw(r) {
				return notMade(ctx.Err())
			}
		case applied:
			if r.phase.CompareAndSwap(applied, left) {
				if r.refused {
					return notMade(ctx.Err())
				}
				return unknown(r.index, fmt.Errorf("store: waiting for update %d to become durable: %w", r.index, ctx.Err()))
			}
		case claimed: // the slice is in use until Apply has returned
			if r.phase.CompareAndSwap(claimed, impatient) {
				for r.phase.Load() == impatient {
					<-r.wake
				}
			}
		}
	}
}

// finish tells the next in the chain of r, which was told, and gives r back. If
// Apply has panicked, it goes on here.
func (s *Store) finish(r *request) {
	threw := r.threw
	s.passOn(r)
	s.queue.recycle(r)
	if threw != nil {
		s.say.wait() // what the log says has the stack
		panic(threw)
	}
}

// A Ticket stands for an update that was applied. Its methods may be called
// from any number of goroutines, any number of times.
type Ticket struct {
	s      *Store
	index  uint64
	done   *signal
	result any
}

// Wait waits until the update is durable. Once it is, the result is nil, whatever
// has become of ctx. An error is an [*UnknownError], with that of ctx or ErrFailed,
// as with Update, or with ErrReentrant.
func (t *Ticket) Wait(ctx context.Context) error {
	if !t.done.given.Load() && t.s.within(inApply, inCapture) {
		return unknown(t.index, errReentrant)
	}
	t.s.watch.arm()
	if err := t.done.wait(ctx, t.index); err != nil {
		return unknown(t.index, err)
	}
	return nil
}

// Index returns the update's index.
func (t *Ticket) Index() uint64 { return t.index }

// Result returns what Apply returned.
func (t *Ticket) Result() any { return t.result }
