package store

import (
	"errors"
	"fmt"
	"math"
	"runtime/debug"
	"sync"
	"sync/atomic"
)

// The goroutine that holds apply applies what is queued, and puts it into the batch. All
// that waits is applied with state locked once: readers can't starve writers by
// coming between one update and the next.

// An admission is where updates wait, and are applied one after the other.
type admission struct {
	m       Machine
	machine clocked    // m
	slot    slotHolder // tells callers within this store's user code

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
	if s.writable() {
		signalTo(s.commitWake)
	}
	s.watch.arm()
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
	for ; rounds > 0 && !own.served(); rounds-- {
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

// applyRound applies what is queued now, as long as there is room and space for it,
// and unlocks state: what comes meanwhile is for the next round, after the readers. A
// large update ends the round, and is still to be put into the batch.
func (s *Store) applyRound(own *request) (large *request) {
	s.applying.Store(true)
	defer s.state.Unlock()
	defer s.applying.Store(false)
	for budget := s.queue.waits(); budget > 0; budget-- {
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
			s.say.wait() // what the log says has the stack
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

func (c *applyCall) on(s *Store) (err error) {
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
	return fmt.Errorf("panic in %s: %v\n%s", where, v, debug.Stack())
}

// refuseFirst tells the first that waits, if it is of n bytes or more, why it can't be
// applied. One that has taken the place of a larger one may fit.
func (s *Store) refuseFirst(n int, err error) {
	if m, ok := s.queue.first(); !ok || m < n {
		return
	}
	if r := s.queue.claim(math.MaxInt); r != nil {
		s.mu.Lock()
		s.autoSnapshotLocked() // which may make room
		s.stats.refused(err)
		s.mu.Unlock()
		r.settle(err)
	}
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
