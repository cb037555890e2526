package store

import (
	"sync/atomic"
	"time"
)

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

	queued *request // the next in the queue; guarded by the queue
	lead   bool     // the caller commits the batch itself; guarded by batchMu
	chain  *request // the next to be told of the same batch; guarded by batchMu until told
	linked bool     // it is in a chain, and tells the next when it wakes up; likewise

	// What came of it, written before the phase becomes applied or told.
	at      int64  // the time of its commit, in nanoseconds since 1970
	index   uint64 // 0: it was not applied
	result  any
	err     error   // why it was not applied, or was not made durable
	refused bool    // err is Apply's, and waits for what it may rest on
	done    *signal // of an async request: tells when it is durable
	threw   any     // what Apply panicked with
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
	r.update, r.size, r.count, r.change, r.state, r.came, r.async = nil, 0, 0, nil, false, time.Time{}, false
	r.queued, r.chain, r.lead, r.linked = nil, nil, false, false
	r.at, r.index, r.result, r.err, r.refused, r.done, r.threw = 0, 0, nil, nil, false, nil, nil
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
