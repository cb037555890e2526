package store

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/stateio/stateio/internal/storefile"
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
// A ctx that ends interrupts every wait, but neither Apply nor the disk. A caller that
// applies what others have queued leaves the rest to another then, after the Apply that is
// under way.
func (s *Store) Update(ctx context.Context, update []byte) (result any, err error) {
	if err := s.acceptable(ctx, update); err != nil {
		return nil, err
	}
	r := s.queue.request(update)
	s.enter(ctx, r, s.syncInterval.Load() == 0)
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
	s.enter(ctx, r, false)
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

// enter queues r, and applies what is queued if that is for the caller to do, until ctx
// ends; one that may lead, and whose ctx does not end, commits it as well, if nobody else
// is at that.
func (s *Store) enter(ctx context.Context, r *request, mayLead bool) {
	r.ends = ctx.Done()
	patient := r.ends == nil
	returned := false
	defer func() {
		if !returned { // Apply has panicked, or ended the goroutine, perhaps for another caller
			go s.outlive(r)
		}
	}()
	if patient && mayLead && s.tryLead() {
		s.lead(r)
	} else if s.queue.add(r) {
		s.help(r, patient, helpRounds)
	}
	returned = true
}

// tryLead locks commit for a caller that is to lead, and reports whether it has. One that
// is within a call of the user's must not lead: it may be who the last commit tells next,
// and it has to be told that it would wait for itself, whatever the disk does.
func (s *Store) tryLead() bool {
	if !s.commit.TryLock() {
		return false
	}
	if s.within(inApply, inCapture, inView, inHeldWrite) {
		s.endCommit() // others may have found it locked
		return false
	}
	return true
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
		return &storefile.Error{Is: ErrTooLarge, Msg: fmt.Sprintf("an update of %d bytes is larger than Options.MaxUpdate, %d", len(update), s.opts.MaxUpdate)}
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
	for phase := r.phase.Load(); phase != told; phase = r.phase.Load() {
		if phase == queued && s.within(inApply, inCapture, inView, inHeldWrite) && s.queue.withdraw(r) {
			return errReentrant
		}
		s.watch.arm()
		select {
		case <-r.wake: // it is told
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
				if r.rests {
					return notMade(ctx.Err())
				}
				return unknown(r.index, ctx.Err())
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
		s.say.Wait() // what the log says has the stack
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
	if !t.done.given.Load() && t.s.within(inApply, inCapture, inHeldWrite) {
		return unknown(t.index, errReentrant)
	}
	t.s.watch.arm()
	if err := t.done.wait(ctx); err != nil {
		return unknown(t.index, err)
	}
	return nil
}

// Index returns the update's index.
func (t *Ticket) Index() uint64 { return t.index }

// Result returns what Apply returned.
func (t *Ticket) Result() any { return t.result }

// Change is for a program that changes its state by itself and then has that logged. It
// calls change while nothing else uses the machine: no Apply, Snapshot or View runs. What
// change does to the state, in memory, it describes by updates that it passes to tx, and a
// replay makes by calling Apply with each of them. All of them are one atomic unit: after a
// crash they are all there, or none is, and so in a copy, in what follows the store, and in a
// past state. Change returns when they are durable, with the
// index of the last one, or with that of the update before if there are none: then that is durable,
// since it may be why there was nothing to do.
//
// An error that change returns goes to the caller as it is, and says that nothing has
// happened: change must have left the state as it was, and nothing is logged, whatever
// it has appended. Append before you change the state, and there is nothing to undo when
// there is no space. Readers wait until change returns, and so for the disk, if Append has
// to set space aside there: how much a change takes is not known before, as it is of an
// update. After each commit there is some, so this is rare but for large changes, or many at a time.
//
// The other errors are those of [Store.Update]. A panic in change fails
// the store, as one in Apply does. change may be called in the goroutine of another
// caller, and must not call methods of the store, which return ErrReentrant.
func (s *Store) Change(ctx context.Context, change func(tx *Tx) error) (index uint64, err error) {
	r, err := s.changeRequest(ctx, change)
	if err != nil {
		return 0, err
	}
	s.enter(ctx, r, s.syncInterval.Load() == 0)
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
// update is not added, and the function passed to Change returns an error, or goes on
// with what was added: ErrTooLarge, if the updates of the change, each with its length
// before it, are then larger together than Options.MaxUpdate; ErrNoSpace and others of
// making room on the disk, for which it may have to wait.
func (tx *Tx) Append(update []byte) error {
	s := tx.s
	if s == nil {
		return errors.New("store: a Tx was used after the function passed to Change had returned")
	}
	size := int64(len(update)) // of the entry; one update alone is no group
	if tx.count > 0 {
		size = storefile.GroupSize(tx.group, update)
	}
	if size > int64(s.opts.MaxUpdate) {
		return &storefile.Error{Is: ErrTooLarge, Msg: fmt.Sprintf("the updates of a change take %d bytes, and Options.MaxUpdate is %d", size, s.opts.MaxUpdate)}
	}
	n := int(size)
	if !s.hasSpace(n) {
		if err := s.makeSpace(n); err != nil {
			s.hadNoSpace(err)
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

func (c *changeCall) On(owner any) error {
	s := owner.(*Store)
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
	s.enter(ctx, r, false)
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
	err  error // of the first Write that failed: the state has a hole there
}

// take has state written into b.
func (b *stateBuffer) take(state io.WriterTo) (err error) {
	defer recovered(&err, "WriteTo of the state")
	_, err = state.WriteTo(struct{ io.Writer }{b})
	if b.err != nil { // whatever WriteTo has made of it
		return b.err
	}
	if err == nil {
		return nil
	}
	return fmt.Errorf("store: writing the state that is to be installed: %w", err)
}

// Write implements io.Writer. Its first error is final.
func (b *stateBuffer) Write(p []byte) (int, error) {
	if b.err == nil && len(p) > b.most-b.Len() {
		b.err = &storefile.Error{Is: ErrTooLarge, Msg: fmt.Sprintf("the state that is to be installed has more than Options.MaxUpdate, %d bytes", b.most)}
	}
	if b.err != nil {
		return 0, b.err
	}
	return b.Buffer.Write(p)
}

// A stateCall is a request whose state is restored.
type stateCall request

func (c *stateCall) On(owner any) error {
	return owner.(*Store).m.Restore(bytes.NewReader(c.update))
}

// refusedState says that the machine has refused the state of r, which leaves it with no state
// that is known.
func (s *Store) refusedState(r *request) error {
	return s.fail(fmt.Errorf("Restore refused the state that was to be installed: %w", r.err))
}

// Sync waits until all that was applied before the call is durable, and makes that
// happen now, whatever SyncInterval says. The errors are ErrFailed, ErrReentrant
// and that of ctx.
func (s *Store) Sync(ctx context.Context) error { return s.sync(ctx, false) }

// sync is Sync. With open, a store that is being closed is an error.
func (s *Store) sync(ctx context.Context, open bool) error {
	index := s.index.Load()
	for waited := false; ; waited = true {
		s.mu.Lock()
		err := s.failureLocked()
		if open && err == nil {
			err = s.err
		}
		done := s.durable >= index
		changed := s.changedLocked(!done && err == nil)
		s.mu.Unlock()
		switch {
		case done:
			return nil
		case err != nil:
			return err
		case !waited && s.within(inApply, inCapture, inHeldWrite):
			return errReentrant
		}
		if err := s.awaitChange(ctx, changed, index); err != nil {
			return err
		}
	}
}

// WaitIndex waits until update index is durable; one that is not made yet is waited for.
// It makes a commit happen now, whatever SyncInterval says, if the update is applied. The
// errors are ErrClosed and ErrFailed, when the update will not come; ErrReentrant; and that
// of ctx.
func (s *Store) WaitIndex(ctx context.Context, index uint64) error {
	for waited := false; ; waited = true {
		durable, changed, err := s.progress(index)
		switch {
		case durable >= index:
			return nil
		case err != nil:
			return fmt.Errorf("store: waiting for update %d: %w", index, storefile.Bare(err))
		case !waited && s.within(inApply, inCapture, inView, inHeldWrite):
			return errReentrant
		}
		if err := s.awaitChange(ctx, changed, index); err != nil {
			return err
		}
	}
}

// awaitChange has what was applied committed now, and waits for a change: update index may be
// durable then.
func (s *Store) awaitChange(ctx context.Context, changed <-chan struct{}, index uint64) error {
	s.Flush()
	s.watch.arm()
	select {
	case <-changed:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("store: waiting for update %d to become durable: %w", index, ctx.Err())
	}
}

// Flush begins the commit of what was applied before the call now, whatever
// SyncInterval says, and does not wait for it.
func (s *Store) Flush() {
	s.mu.Lock()
	pending := s.index.Load() > s.durable // some may be on its way from Apply to the batch
	s.mu.Unlock()
	if pending {
		signalTo(s.urgent)
		signalTo(s.commitWake)
	}
}
