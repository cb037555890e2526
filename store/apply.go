package store

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"time"

	"github.com/stateio/stateio/internal/fsys"
	"github.com/stateio/stateio/internal/storedir"
	"github.com/stateio/stateio/internal/storefile"
	"github.com/stateio/stateio/internal/usercall"
)

// The goroutine that holds apply applies what is queued, and puts it into the batch. All
// that waits is applied with state locked once: readers can't starve writers by
// coming between one update and the next.

// An admission is where updates wait, and are applied one after the other.
type admission struct {
	m       Machine
	machine clocked        // m
	calls   usercall.Owner // of the user's code, by this store

	queue     queue         // of updates that wait to be applied
	applyWake chan struct{} // wakes the applier

	// apply is held by whoever applies what is queued, or keeps that from being
	// done. What is next to be applied goes to the end of fill.
	apply sync.Mutex
	// state orders the calls of the machine: held exclusively by Apply and Snapshot,
	// shared by View.
	state sync.RWMutex

	index     atomic.Uint64 // of the last update applied; changed with state locked
	appliedAt atomic.Int64  // the time of its commit, in nanoseconds since 1970; likewise
	rejected  atomic.Uint64 // updates that Apply has refused
	applying  atomic.Bool   // Apply is called, or will be in a moment
	capturing atomic.Bool   // Snapshot of the machine is called
}

// A standing says why no more was applied.
type standing int

const (
	idle standing = iota // nothing waits
	full                 // the batch is; its commit goes on with what waits
	more                 // something waits that the caller could not or should not apply
)

// largeUpdate is from how many bytes on an update is encoded with state unlocked:
// reading is not to wait for that.
const largeUpdate = 64 << 10

// helpRounds is how many times a caller applies what others have queued.
const helpRounds = 2

// help applies what is queued, in some rounds at most, for the caller of own, if
// that is not nil. If that must not wait, all that takes longer is left to the
// applier.
func (s *Store) help(own *request, wait bool, rounds int) {
	if !s.apply.TryLock() {
		return // whoever holds it looks at the queue once more after that
	}
	was := more
	defer func() { s.endApply(was) }()
	was = s.drain(own, wait, rounds)
}

// endApply lets go of apply.
func (s *Store) endApply(was standing) {
	s.unlockApply(was)
	s.wakeCommitter()
	s.watch.arm()
}

// wakeCommitter has what is in the batch committed.
func (s *Store) wakeCommitter() {
	if s.writable() {
		signalTo(s.commitWake)
	}
}

// unlockApply unlocks apply, and sees that what came meanwhile is applied: those who
// found apply taken count on that. If the batch was full, the commit that makes room
// may be over. In a store that is down there may be no applier.
func (s *Store) unlockApply(was standing) {
	s.apply.Unlock()
	n, ok := s.queue.first()
	switch {
	case ok && s.down.Load():
		s.refuseQueued()
	case was == more || ok && s.fits(n) != noRoom:
		signalTo(s.applyWake)
	}
}

// signalTo sends a token that a goroutine waits for, unless there is one.
func signalTo(c chan<- struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// applier applies what callers have left to it, until the store is closed.
func (s *Store) applier() {
	for {
		select {
		case <-s.ctx.Done():
			return
		case <-s.applyWake:
		}
		s.help(nil, true, math.MaxInt)
	}
}

// drain applies what is queued, in some rounds at most, for the caller of own, if
// that is not nil. Without wait it returns more where it would have to wait for
// readers or the disk, and so it does once own is applied: its caller must be there
// when own is durable, for the next commit waits for it. The caller holds apply.
func (s *Store) drain(own *request, wait bool, rounds int) standing {
	for ; rounds > 0 && !own.served() && !own.busy(); rounds-- {
		n, ok := s.queue.first()
		switch {
		case !ok:
			return idle
		case s.down.Load():
			s.refuseQueued()
			return idle
		}
		switch s.fits(n) {
		case noRoom:
			signalTo(s.urgent)
			return full
		case noSpace:
			if !wait {
				return more
			}
			if err := s.makeSpace(n); err != nil {
				s.refuseFirst(n, err)
			}
			rounds++ // this was none
			continue
		}
		if !s.state.TryLock() {
			if !wait || own != nil && s.within(inApply, inCapture, inView) {
				return more
			}
			// The readers may wait for a commit of what was put into the batch after
			// they have asked for it.
			s.wakeCommitter()
			s.state.Lock()
		}
		if large := s.applyRound(own); large != nil {
			s.put(large)
		}
	}
	if s.queue.empty() {
		return idle
	}
	return more
}

// applyRound applies what is queued now, as long as there is room and space for it and
// the caller of own has nothing else to do, and unlocks state: what comes meanwhile is for
// the next round, after the readers. A large update ends the round, and is still to be put
// into the batch.
func (s *Store) applyRound(own *request) (large *request) {
	s.applying.Store(true)
	defer s.state.Unlock()
	defer s.applying.Store(false)
	for budget := s.queue.waits(); budget > 0 && !own.busy(); budget-- {
		n, ok := s.queue.first()
		if !ok || s.down.Load() {
			return nil
		}
		f, at := s.place(n)
		if f != fit {
			return nil
		}
		r := s.queue.claim(n)
		if r == nil {
			continue // the first one was withdrawn
		}
		r.at = at
		if !s.applyOne(r, r == own) {
			continue
		}
		if r.size >= largeUpdate {
			return r
		}
		s.put(r)
	}
	return nil
}

// applyOne calls Apply, or what r has in its place, and reports whether the store goes on
// with what came of it. A panic fails the store, and goes on in the goroutine of the
// caller.
func (s *Store) applyOne(r *request, own bool) bool {
	returned := false
	defer func() {
		if returned {
			return
		}
		v := recover()
		err := s.fail(r.applyError(v))
		r.threw = v
		r.settle(err)
		if own && v != nil {
			s.say.Wait() // what the log says has the stack
			panic(v)
		}
	}()
	switch {
	case r.change != nil:
		r.err = s.call(inApply, (*changeCall)(r))
	case r.state:
		r.err = s.call(inApply, (*stateCall)(r))
	default:
		r.err = s.call(inApply, (*applyCall)(r))
	}
	returned = true
	if r.state && r.err != nil {
		r.settle(s.refusedState(r))
		return false
	}
	if r.err == nil {
		r.index = s.index.Add(uint64(r.count))
	}
	if r.err == nil && r.count > 0 {
		s.appliedAt.Store(r.at)
	}
	return true
}

// An applyCall is a request whose Apply is called.
type applyCall request

func (c *applyCall) On(owner any) (err error) {
	s := owner.(*Store)
	c.result, err = s.machine.apply(c.at, s.index.Load()+1, c.update)
	return err
}

// applyError is why the store fails after Apply panicked with v, or called
// runtime.Goexit if that is nil.
func (r *request) applyError(v any) error {
	where := "Apply"
	if r.state {
		where = "Restore"
	}
	if v == nil {
		return errors.New("runtime.Goexit in " + where)
	}
	return fmt.Errorf("panic in %s: %v\n%s", where, v, innermost(debug.Stack()))
}

// innermostLines is how many lines of a stack an error has: two for each call. All errors of
// the failed store have them; the panic goes on in its caller, and tells the rest.
const innermostLines = 12

// innermost returns the calls that have led to a panic, the last ones first, of the stack
// of the function that recovers from it.
func innermost(stack []byte) []byte {
	lines := bytes.Split(bytes.TrimSpace(stack), []byte("\n"))
	for i, line := range lines {
		if bytes.HasPrefix(line, []byte("panic(")) {
			lines = lines[min(i+2, len(lines)):]
			break
		}
	}
	if len(lines) > innermostLines {
		lines = append(lines[:innermostLines:innermostLines], []byte("..."))
	}
	return bytes.Join(lines, []byte("\n"))
}

// refuseFirst tells the first that waits, if it is of n bytes or more, why it can't be
// applied. One that has taken the place of a larger one may fit.
func (s *Store) refuseFirst(n int, err error) {
	if m, ok := s.queue.first(); !ok || m < n {
		return
	}
	if r := s.queue.claim(math.MaxInt); r != nil {
		s.hadNoSpace(err)
		r.settle(err)
	}
}

// hadNoSpace notes that an update had no space, because of err, and has a snapshot made if
// that may free some.
func (s *Store) hadNoSpace(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.autoSnapshotLocked()
	s.stats.refused(err)
}

// refuseQueued tells all that wait why the store takes no more updates.
func (s *Store) refuseQueued() {
	s.mu.Lock()
	err := s.err
	s.mu.Unlock()
	for r := s.queue.claim(math.MaxInt); r != nil; r = s.queue.claim(math.MaxInt) {
		r.settle(err)
	}
}

// Disk space for the log is set aside before updates are applied, so that a full
// disk refuses them with nothing applied. It is done with spaceMu locked and no
// other lock that readers need: the disk may take its time. Only [Tx.Append] does it
// with state locked, if what was set aside is too little for a change.

// makeSpace makes sure that there is a log, with disk space for an update of n
// bytes and what ends a log. The caller holds apply.
func (s *Store) makeSpace(n int) error {
	if err := s.ensureLog(); err != nil {
		return err
	}
	if err := s.unstall(); err != nil {
		return err
	}
	s.batchMu.Lock()
	log, end := s.log, s.spaceEndLocked(n)
	s.batchMu.Unlock()
	s.spaceMu.Lock()
	err := s.setAsideLocked(log.Log, end, s.spares)
	s.spaceMu.Unlock()
	if err != nil && log.File.IsLost() {
		return s.fail(err) // no update will ever be made
	}
	return err
}

// createLog makes the log of the updates after base, durably. The store has it
// from the moment of the rename.
func (s *Store) createLog(base uint64) (*storedir.Log, error) {
	path := s.dir.Log(base)
	log, err := s.prepareLog(path+storefile.TmpSuffix, storedir.MinPiece)
	if err != nil {
		return nil, err
	}
	if err := s.dir.PublishLog(log, path, base, s.appliedAt.Load()); err != nil {
		return nil, err
	}
	return log, nil
}

// prepareLog is that of the directory.
func (s *Store) prepareLog(tmp string, piece int64) (*storedir.Log, error) {
	log, short, err := s.dir.PrepareLog(tmp, piece, s.opts.PreallocateBytes)
	if short {
		s.lacksSpace()
	}
	return log, err
}

// ensureLog makes the first log, or exchanges it, if a full disk has prevented that. The
// caller holds apply.
func (s *Store) ensureLog() error {
	s.batchMu.Lock()
	has, replace := s.log != nil, s.replace
	s.batchMu.Unlock()
	switch {
	case replace:
		return s.exchangeLog()
	case has:
		return nil
	}
	log, err := s.createLog(s.index.Load())
	if err != nil {
		return err
	}
	s.setLog(log)
	return nil
}

// expand sets disk space aside before it is short, so that no update has to
// wait for that. An error is left to the update that needs the space.
func (s *Store) expand(log *logFile) {
	s.batchMu.Lock()
	next := log.next
	s.batchMu.Unlock()
	if !s.spaceMu.TryLock() {
		return // an update does
	}
	defer s.spaceMu.Unlock()
	if size := log.Size(); size-next < log.Piece()/4 {
		_ = s.setAsideLocked(log.Log, size+1, s.spares)
	}
}

// setAside makes sure that log has disk space up to offset end, for what begins and
// ends logs: it takes what is kept for a snapshot.
func (s *Store) setAside(log *storedir.Log, end int64) error {
	s.spaceMu.Lock()
	defer s.spaceMu.Unlock()
	return s.setAsideLocked(log, end, nil)
}

// setAsideLocked is that of the log. The caller holds spaceMu.
func (s *Store) setAsideLocked(log *storedir.Log, end int64, spares func(n int64) error) error {
	short, err := log.SetAside(end, spares)
	if short || errors.Is(err, fsys.ErrNoSpace) {
		s.lacksSpace()
	}
	return err
}

// spares returns an error if an update would take n bytes of what the next snapshot
// needs, which alone makes room on a full disk. Nothing is spared for a snapshot
// that would be the last one once more, or that could not be made before, nor where
// less is free than it needs, unless one is being made: that has taken the rest.
//
// On a disk that stays short, a snapshot frees no more than what was logged since the last one:
// it is not worth its work before that is a share of its size, and sooner only if that might be
// too late. Up to there the log may take of what is kept, which is enough for both.
func (s *Store) spares(n int64) error {
	free, err := s.dir.FS.Free(s.dir.Path)
	if err != nil {
		return nil // the file system will say
	}
	s.mu.Lock()
	early, reserve := 2*(s.newest.size+s.sinceSnapshot), s.reserveLocked()-s.underway.Written.Load()
	since, share := s.sinceSnapshot, s.newest.size/roomShare
	if free-n < s.newest.size+share+smallReserve {
		share /= 4 // later, there might not be space for it
	}
	worth := since >= s.newest.size/2 || since >= share && free-n < reserve+reserve/4
	again, making := s.noRoom, s.making
	s.mu.Unlock()
	if free-n < early && worth || again {
		s.lacksSpace()
	}
	few := since+2*n < share // twice, since not all that is set aside is used
	if (few || free < reserve) && !making || free-n >= reserve || reserve <= 0 {
		return nil
	}
	return &storefile.Error{Is: fsys.ErrNoSpace, Msg: fmt.Sprintf("of %d bytes that are free, %d are kept for the next snapshot", free, reserve)}
}

// roomShare is how many times a snapshot may be as large as the log that it is to make room of.
const roomShare = 16

// reserveLocked returns about how many bytes the next snapshot takes, or 0 if
// there should be none, or the last one could not be made, whatever was in the way: space
// that is kept for it is of no use to updates, and may never be. The caller holds mu.
func (s *Store) reserveLocked() int64 {
	switch {
	case s.snapshotBytes < 0 || s.stats.snapshotErr != nil || s.sinceSnapshot == 0:
		return 0
	case !s.newest.there:
		return s.sinceSnapshot/2 + smallReserve // the state is often smaller than its log
	}
	return s.newest.size + s.newest.size/8 + smallReserve
}

// smallReserve is what a snapshot takes besides the state, in bytes: the blocks of
// two files and a directory, and a log to go on with.
const smallReserve = 64 << 10

// lacksSpace sees that a snapshot starts, which may make room, with the next commit or
// when an update is refused; after one that failed, when that is worth another try.
func (s *Store) lacksSpace() {
	free, err := s.dir.FS.Free(s.dir.Path)
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.snapshotBytes < 0 || s.sinceSnapshot == 0 || s.stats.snapshotErr != nil && !s.retryLocked(free, err) {
		return
	}
	s.lacking = true
}

// retryLocked reports whether a snapshot is worth another try to make room: if there was no
// space for the last one, when there is more; where that can't be told, and after another
// failure, some time later. The caller holds mu.
func (s *Store) retryLocked(free int64, err error) bool {
	if s.noRoom && err == nil {
		return free >= s.freeAtFailure+max(storedir.MinPiece, (s.newest.size+s.sinceSnapshot)/8)
	}
	return time.Since(s.failedAt) >= retryAfter
}

// retryAfter is how long a snapshot that failed is not tried again because the disk is short
// of space. Each try captures the state, and may write all of it.
const retryAfter = time.Minute

// View calls read while no update is applied, so that it can read the
// machine's state; several calls of View run at once. It returns what read
// returns. What read sees may not be durable yet; see ViewDurable. View works on a
// store that has failed, and on a closed one.
//
// Updates wait while read runs: it should take what it needs and return. read must
// not keep references to what Apply changes, nor make updates: what would have to
// wait for itself returns ErrReentrant.
func (s *Store) View(read func() error) error {
	if err := s.lockReading(context.Background()); err != nil {
		return err
	}
	defer s.state.RUnlock()
	return s.call(inView, viewCall(read))
}

// ViewDurable is View, and what read sees is durable: a crash can't take back what is told
// of it. It waits for the commit of what was applied before it calls read. Updates wait
// meanwhile, and so do calls of View that come after one that waits. The errors are also
// ErrFailed, ErrClosed if the store is closed before the commit, and that of ctx.
func (s *Store) ViewDurable(ctx context.Context, read func() error) error {
	if err := s.lockReading(ctx); err != nil {
		return err
	}
	defer s.state.RUnlock()
	// No more is applied meanwhile. Close waits for what is being applied, and that for
	// this, so this does not wait for Close.
	if err := s.sync(ctx, true); err != nil {
		return err
	}
	return s.call(inView, viewCall(read))
}

// lockReading locks state for a reader, which does not wait longer than ctx.
func (s *Store) lockReading(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("store: view not made: %w", err)
	}
	if s.state.TryRLock() {
		return nil
	}
	if s.within(inApply, inCapture, inView) {
		return errReentrant
	}
	s.watch.arm()
	if ctx.Done() == nil {
		s.state.RLock()
		return nil
	}
	locked := make(chan struct{})
	go func() {
		s.state.RLock()
		select {
		case locked <- struct{}{}:
		case <-ctx.Done():
			s.state.RUnlock() // nobody is there to use it
		}
	}()
	select {
	case <-locked:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("store: view not made: %w", ctx.Err())
	}
}

// A viewCall is a function passed to View.
type viewCall func() error

func (read viewCall) On(any) error { return read() }

// A place is where the store calls the user's code, which may call the store again.
type place = usercall.Place

const (
	inApply   place = iota
	inCapture       // Snapshot of the machine
	inView
	inWrite     // WriteTo and Close of what that returned
	inHeldWrite // the same, while updates wait for it
)

const _ = uint(usercall.Places - 1 - inHeldWrite) // there are enough

// call calls the user's code.
func (s *Store) call(p place, c usercall.Call) error { return s.calls.Call(s, p, c) }

// within reports whether the caller was called, directly or not, by the store at one of
// these places.
func (s *Store) within(at ...place) bool { return s.calls.Within(at...) }

var errReentrant = &storefile.Error{Is: ErrReentrant, Msg: "the method was called from within the store's own machine or View, where it would wait for itself"}
