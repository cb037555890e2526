package store

import (
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

// alone reports whether nothing but r waits, which does.
func (q *queue) alone(r *request) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.length-q.gone == 1 // which is r: it is there, and what was withdrawn does not count
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

// poke makes the callers of all that is queued look at their requests.
func (q *queue) poke() {
	q.mu.Lock()
	defer q.mu.Unlock()
	for r := q.head; r != nil; r = r.queued {
		r.poke()
	}
}
