package store

import (
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/stateio/stateio/internal/storefile"
)

// A batch is what one commit writes: entries as they stand in the log.
type batch struct {
	start   int64  // where it goes in the log
	time    int64  // of the commit, in nanoseconds since 1970; fixed with the first update
	buf     []byte // the entries
	updates uint32
	came    time.Time // when the update that is timed was queued; zero: none is
	done    *signal   // of async requests; made when the first comes

	first, last *request // the chain of callers that wait for the commit
	lead        *request // of the caller that commits it
}

// A pending is what is between the machine and the disk.
type pending struct {
	// batchMu guards all below but unwritten. It is held while an entry is encoded.
	batchMu sync.Mutex
	log     *logFile // being written; nil while there was no space to make the first
	fill    *batch   // updates applied and not yet taken for writing
	flight  *batch   // being written, or nil
	spare   *batch   // neither
	stalled error    // why flight could not be written: there was no space
	ahead   bool     // it was said that the last commit is ahead of the clock

	unwritten atomic.Int64 // bytes in fill and flight

	spaceMu sync.Mutex // held while disk space is set aside for the log in use
}

// keepBatch is the largest buffer, in bytes, that is kept between commits.
const keepBatch = 8 << 20

// wait returns the signal of b. The caller holds batchMu.
func (b *batch) wait() *signal {
	if b.done == nil {
		b.done = newSignal()
	}
	return b.done
}

// linkLocked makes r wait for the commit of b. The caller holds batchMu.
func (b *batch) linkLocked(r *request) {
	if r.lead {
		b.lead = r
		r.enterBatch()
		return
	}
	r.linked = true
	if b.last == nil {
		b.first = r
	} else {
		b.last.chain = r
	}
	b.last = r
	r.enterBatch()
}

// reset empties b. What is written next goes to start.
func (b *batch) reset(start int64) {
	buf := b.buf[:0]
	if cap(buf) > keepBatch {
		buf = nil
	}
	*b = batch{start: start, buf: buf}
}

// A fitting says whether an update can be applied now.
type fitting int

const (
	fit     fitting = iota
	noRoom          // in the batch: the next commit makes some
	noSpace         // on the disk, as far as it is set aside: makeSpace makes some
)

// fits says whether an update of n bytes can be applied now. If it can, so can a
// smaller one.
func (s *Store) fits(n int) fitting {
	f, _ := s.place(n)
	return f
}

// place is fits, and returns the time of the commit of which the update will be, in
// nanoseconds since 1970. It is that of the batch, or that of the clock if the batch is
// empty, and never before that of an update applied before. To use the time, hold apply.
func (s *Store) place(n int) (f fitting, at int64) {
	s.batchMu.Lock()
	defer s.batchMu.Unlock()
	switch {
	case s.log == nil || s.stalled != nil:
		return noSpace, 0
	case s.fill.updates > 0 && len(s.fill.buf)+n > s.opts.MaxPending:
		return noRoom, 0
	case s.spaceEndLocked(n) > s.log.size.Load():
		return noSpace, 0
	case s.fill.updates > 0:
		return fit, s.fill.time
	}
	return fit, s.commitTimeLocked()
}

// commitTimeLocked returns the time of a commit that begins now. The caller holds batchMu.
func (s *Store) commitTimeLocked() int64 {
	now, last := s.fs.Now(), s.appliedAt.Load()
	s.sayAheadLocked(last, now)
	return max(last, now.UnixNano())
}

// put puts a request that Apply has returned from into the batch. What Apply has
// refused waits for the commit, too: the reason may be an update that is not
// durable yet.
func (s *Store) put(r *request) {
	s.batchMu.Lock()
	defer s.batchMu.Unlock()
	failure := s.failure()
	switch {
	case r.err != nil:
		s.putRefusedLocked(r, failure)
	case r.count == 0: // a change of nothing
		r.done = newSignal()
		r.done.give(failure)
		r.settle(failure)
	case failure != nil && r.async: // while Apply ran: a commit before this one is lost
		r.done = newSignal()
		r.done.give(failure)
		r.settle(nil)
	case failure != nil:
		r.settle(unknown(r.index, failure))
	default:
		s.encodeLocked(r)
	}
}

// encodeLocked appends the entry of r. The caller holds batchMu.
func (s *Store) encodeLocked(r *request) {
	b := s.fill
	n := len(b.buf)
	if r.size >= largeUpdate {
		b.buf = slices.Grow(b.buf, int(storefile.EntrySize(s.log.next, r.size, true)))
	}
	t := storefile.Tag{Index: r.index - uint64(r.count) + 1, Back: b.updates, Grouped: r.count > 1, State: r.state}
	if b.updates == 0 {
		// The batch in which there was room may have been taken meanwhile.
		b.time = r.at
		t.Timed, t.Time = true, r.at
	}
	b.buf = storefile.AppendEntry(b.buf, s.log.next, s.log.hdr.Salt, t, r.update)
	b.updates += r.count
	if b.came.IsZero() {
		b.came = r.came
	}
	s.log.next += int64(len(b.buf) - n)
	s.unwritten.Add(int64(len(b.buf) - n))
	if r.async {
		r.done = b.wait()
		r.settle(nil)
		return
	}
	b.linkLocked(r)
}

// putRefusedLocked makes r wait until all that was applied before it is durable. The
// caller holds batchMu.
func (s *Store) putRefusedLocked(r *request, failure error) {
	s.rejected.Add(1)
	r.refused = true
	switch {
	case failure != nil:
		r.settle(lostGround(failure))
	case s.fill.updates > 0:
		s.fill.linkLocked(r)
	case s.flight != nil:
		s.flight.linkLocked(r)
	default:
		r.settle(nil)
	}
}

// abandonLocked tells all that wait for b that it will not become durable, because of
// err. The caller holds batchMu.
func (b *batch) abandonLocked(err error) {
	if b.done != nil {
		b.done.give(err)
	}
	if b.lead != nil {
		b.lead.fail(err)
	}
	for r := b.first; r != nil; {
		next := r.chain
		r.linked = false // all are told here
		r.fail(err)
		r = next
	}
}

// fail tells the caller of an applied request that err has befallen the store.
func (r *request) fail(err error) {
	if r.refused {
		r.err = lostGround(err)
	} else {
		r.err = unknown(r.index, err)
	}
	if r.phase.CompareAndSwap(applied, told) {
		r.poke()
	}
}

// hasSpace reports whether disk space is set aside for an update of n bytes, whatever
// waits to be written: a batch may grow beyond MaxPending by one update.
func (p *pending) hasSpace(n int) bool {
	p.batchMu.Lock()
	defer p.batchMu.Unlock()
	return p.log != nil && p.stalled == nil && p.spaceEndLocked(n) <= p.log.size.Load()
}

// spaceEndLocked returns up to which offset an update of n bytes needs the log, with what ends
// it. The caller holds batchMu.
func (p *pending) spaceEndLocked(n int) int64 {
	return p.log.next + storefile.EntrySize(p.log.next, n, true) + storefile.TailRoom
}

// writable reports whether a commit has something to write.
func (p *pending) writable() bool {
	p.batchMu.Lock()
	defer p.batchMu.Unlock()
	return p.fill.updates > 0 && p.flight == nil || p.stalled != nil
}

// batchPending reports whether updates are being written, or wait for that.
func (p *pending) batchPending() bool {
	p.batchMu.Lock()
	defer p.batchMu.Unlock()
	return p.fill.updates > 0 || p.flight != nil
}

// setLog makes log the one that is written.
func (p *pending) setLog(log *logFile) {
	p.batchMu.Lock()
	defer p.batchMu.Unlock()
	p.log = log
	p.fill.start = log.next
}

// land takes the batch out of flight, and returns it to be told.
func (p *pending) land() *batch {
	p.batchMu.Lock()
	defer p.batchMu.Unlock()
	b := p.flight
	p.flight, p.stalled = nil, nil
	return b
}

// unstalled says that there was space for the batch in flight.
func (p *pending) unstalled() {
	p.batchMu.Lock()
	defer p.batchMu.Unlock()
	p.stalled = nil
}

// flightLost returns the batch that there was no space for, which is told now that
// the store is closed.
func (p *pending) flightLost(err error) *batch {
	p.batchMu.Lock()
	defer p.batchMu.Unlock()
	if err == nil || p.stalled == nil {
		return nil
	}
	return p.flight
}
