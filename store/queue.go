package store

import (
	"context"
	"sync"
	"sync/atomic"
	"time"
)

// A queue holds the requests that wait to be applied, in the order in which
// they came.
type queue struct {
	mu         sync.Mutex // guards all below; held for moments
	head, tail *request
	length     int  // of the list
	gone       int  // requests in the list that were withdrawn
	gathering  bool // the caller that leads the next commit will apply what is queued

	timing atomic.Bool // a request of the next commit is timed already

	// spare requests are linked as those in the queue are. They are those of this
	// store alone: a channel belongs to the bubble of a synctest, and what a pool of
	// the process holds is not collected with the store.
	spare  *request
	spares int
}

// maxSpares is how many requests are kept to be used again: as many as callers
// wait for one commit of a busy store.
const maxSpares = 1024

// request returns a request for update.
func (q *queue) request(update []byte) *request {
	q.mu.Lock()
	r := q.spare
	if r != nil {
		q.spare, r.queued = r.queued, nil
		q.spares--
	}
	q.mu.Unlock()
	if r == nil {
		r = &request{wake: make(chan struct{}, 1)}
	}
	r.update, r.size, r.count = update, len(update), 1
	return r
}

// recycle gives back a request that was told.
func (q *queue) recycle(r *request) {
	r.clear()
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.spares < maxSpares {
		r.queued, q.spare = q.spare, r
		q.spares++
	}
}

// add appends r, and reports whether its caller has to see that it is applied.
func (q *queue) add(r *request) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.tail == nil {
		q.head = r
	} else {
		q.tail.queued = r
	}
	q.tail = r
	q.length++
	if !q.timing.Load() {
		q.timing.Store(true)
		r.came = time.Now()
	}
	return !q.gathering
}

// setGathering says whether somebody will apply what is added from now on.
func (q *queue) setGathering(on bool) {
	q.mu.Lock()
	q.gathering = on
	q.mu.Unlock()
}

// first returns the size of the first request that was not withdrawn.
func (q *queue) first() (size int, ok bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	for q.head != nil && q.head.phase.Load() == withdrawn {
		q.popLocked()
		q.gone--
	}
	if q.head == nil {
		return 0, false
	}
	return q.head.size, true
}

// claim takes the first request, if there is one of at most that size.
func (q *queue) claim(size int) *request {
	q.mu.Lock()
	defer q.mu.Unlock()
	for r := q.head; r != nil; r = q.head {
		if r.phase.Load() != withdrawn {
			if r.size > size {
				return nil
			}
			if r.phase.CompareAndSwap(queued, claimed) {
				q.popLocked()
				return r
			}
		}
		q.popLocked()
		q.gone--
	}
	return nil
}

// popLocked takes the head off the list. The caller holds mu.
func (q *queue) popLocked() {
	r := q.head
	q.head, r.queued = r.queued, nil
	if q.head == nil {
		q.tail = nil
	}
	q.length--
}

// empty reports whether nothing waits.
func (q *queue) empty() bool { return q.waits() == 0 }

// waits returns how many requests wait.
func (q *queue) waits() int {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.length - q.gone
}

// withdraw takes r back, unless it was claimed. A queue that is not worked on
// does not grow with those that gave up.
func (q *queue) withdraw(r *request) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	if !r.phase.CompareAndSwap(queued, withdrawn) {
		return false
	}
	r.update = nil
	if q.gone++; q.gone > 64 && q.gone > q.length/2 {
		q.sweepLocked()
	}
	return true
}

// sweepLocked takes the requests that were withdrawn off the list. The caller holds mu.
func (q *queue) sweepLocked() {
	all := q.head
	q.head, q.tail, q.length, q.gone = nil, nil, 0, 0
	for r := all; r != nil; {
		next := r.queued
		r.queued = nil
		if r.phase.Load() != withdrawn {
			if q.tail == nil {
				q.head = r
			} else {
				q.tail.queued = r
			}
			q.tail = r
			q.length++
		}
		r = next
	}
}

// A request is an update on its way from its caller to the log.
type request struct {
	update []byte          // the caller's; not used after the phases queued and claimed
	size   int             // of update
	count  uint32          // of updates that it makes: more than one are a group, in update
	change func(*Tx) error // called in place of Apply, if it is not nil
	state  bool            // update is a whole state, for Restore in place of Apply
	phase  atomic.Int32    // one of those below
	wake   chan struct{}   // holds a token when the caller is to look at phase
	came   time.Time       // when it was queued; zero: it is not timed
	async  bool            // the caller is told when the update is applied, not when it is durable
	ends   <-chan struct{} // closed when the caller waits no longer; nil: it waits

	queued *request // the next in the queue; guarded by the queue
	lead   bool     // the caller commits the batch itself; guarded by batchMu
	chain  *request // the next to be told of the same batch; guarded by batchMu until told
	linked bool     // it is in a chain, and tells the next when it wakes up; likewise

	// What came of it, written before the phase becomes applied or told.
	at     int64  // the time of its commit, in nanoseconds since 1970
	index  uint64 // 0: it was not applied
	result any
	err    error   // why it was not applied, or was not made durable
	rests  bool    // it has no update, and waits for those that its outcome may rest on
	done   *signal // of an async request: tells when it is durable
	threw  any     // what Apply panicked with
}

// The phases of a request.
const (
	queued    int32 = iota // it waits for its turn; the caller may withdraw it
	claimed                // Apply runs, or its entry is being put into the batch
	impatient              // claimed, and the caller is to be woken when that is over
	applied                // it waits for its commit
	told                   // the caller has what came of it
	withdrawn              // the caller took it back before it was claimed
	left                   // the caller waits for the commit no longer
)

// clear makes a request that was told one to be used again. A token may still
// arrive in wake: whoever waits for one looks at the phase.
func (r *request) clear() {
	r.update, r.size, r.count, r.change, r.state, r.came, r.async, r.ends = nil, 0, 0, nil, false, time.Time{}, false, nil
	r.queued, r.chain, r.lead, r.linked = nil, nil, false, false
	r.at, r.index, r.result, r.err, r.rests, r.done, r.threw = 0, 0, nil, nil, false, nil, nil
	r.phase.Store(queued)
}

// poke makes the caller look at the phase.
func (r *request) poke() {
	select {
	case r.wake <- struct{}{}:
	default: // there is a token already
	}
}

// settle tells the caller of a claimed or queued request what came of it.
func (r *request) settle(err error) {
	if err != nil {
		r.err = err
	}
	r.phase.Store(told)
	r.poke()
}

// served reports whether the turn of r has come. r may be nil, which it has not.
func (r *request) served() bool { return r != nil && r.phase.Load() != queued }

// busy reports whether the caller of r, which applies what others have queued, has to leave
// that to another: its context has ended, or it was told, and has nothing to wait for any more;
// the next commit may wait until it tells the next. r may be nil, which has no caller.
func (r *request) busy() bool {
	if r == nil {
		return false
	}
	if r.phase.Load() == told {
		return true
	}
	select {
	case <-r.ends:
		return true
	default:
		return false
	}
}

// enterBatch says that the caller's slice is not used any more.
func (r *request) enterBatch() {
	if !r.phase.CompareAndSwap(claimed, applied) {
		r.phase.Store(applied) // the caller is impatient
		r.poke()
	}
}

// tellChain tells the first caller in a chain that still waits, and reports
// whether there was one. That caller tells the next one when it wakes up: all of
// them awake at a time would compete for locks, and spread over processors that
// have to be woken first.
func tellChain(r *request) bool {
	for r != nil {
		next := r.chain // r may be recycled as soon as it is told
		if r.phase.CompareAndSwap(applied, told) {
			r.poke()
			return true
		}
		r = next
	}
	return false
}

// A signal tells those that hold tickets of a batch what became of it. They wake
// one another in the order in which they came: the one that takes the token puts
// it back at once.
type signal struct {
	c     chan struct{} // with room for one token, which comes when err is set
	err   error
	given atomic.Bool // err is set; the token may still be on its way
}

func newSignal() *signal { return &signal{c: make(chan struct{}, 1)} }

// give tells those that wait, and those that will. It is called once.
func (s *signal) give(err error) {
	s.err = err
	s.given.Store(true)
	s.c <- struct{}{}
}

// take waits until the signal is given, and all that waited before were told.
func (s *signal) take() error {
	<-s.c
	return s.pass()
}

// pass is for the one that received from c.
func (s *signal) pass() error {
	s.c <- struct{}{}
	return s.err
}

// wait waits until the signal is given, or ctx ends before that.
func (s *signal) wait(ctx context.Context) error {
	if s.given.Load() {
		return s.err // the token may be with somebody who is slow to put it back
	}
	select {
	case <-s.c:
		return s.pass()
	case <-ctx.Done():
	}
	if s.given.Load() {
		return s.err
	}
	return ctx.Err()
}
