package store

import (
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/stateio/stateio/internal/fsys"
	"github.com/stateio/stateio/internal/storedir"
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
	replace bool     // log is to be exchanged before the first update: there was no space for that
	ahead   bool     // it was said that the last commit is ahead of the clock

	unwritten atomic.Int64 // bytes in fill and flight

	spaceMu sync.Mutex // held while disk space is set aside for the log in use
}

// A logFile is the log that updates are written to. What is written of it is guarded by
// commit, and the disk space that is set aside by spaceMu.
type logFile struct {
	*storedir.Log
	next    int64 // where the next entry goes; guarded by batchMu
	durable int64 // up to here everything is on the disk; guarded by mu
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
	case s.unwritableLocked():
		return noSpace, 0
	case s.fill.updates > 0 && len(s.fill.buf)+n > s.opts.MaxPending:
		return noRoom, 0
	case s.spaceEndLocked(n) > s.log.Size():
		return noSpace, 0
	case s.fill.updates > 0:
		return fit, s.fill.time
	}
	return fit, s.commitTimeLocked()
}

// commitTimeLocked returns the time of a commit that begins now. The caller holds batchMu.
func (s *Store) commitTimeLocked() int64 {
	now, last := s.dir.FS.Now(), s.appliedAt.Load()
	s.sayAheadLocked(last, now)
	return max(last, nanoseconds(now))
}

// sayAheadLocked warns when the time of the last commit is ahead of the clock, once until
// the clock has caught up. Up to then all commits have that time. The caller holds batchMu.
func (s *Store) sayAheadLocked(last int64, now time.Time) {
	by := ahead(last, now)
	switch {
	case by == 0:
		s.ahead = false
	case by > clockSlack && !s.ahead:
		s.ahead = true
		s.say.Warn("store: the last commit was made with a clock that was ahead of this one: until the clock has caught up, commits keep that time, and states are found by index, not by time",
			"dir", s.dir.Path, "commit", moment(last), "clock", now.UTC(), "ahead", by)
	}
}

// put puts a request that Apply has returned from into the batch. One without an update waits for
// the commit, too, because Apply has refused it, or a change found nothing to do: the reason may
// be an update that is not durable yet.
func (s *Store) put(r *request) {
	s.batchMu.Lock()
	defer s.batchMu.Unlock()
	failure := s.failure()
	switch {
	case r.err != nil:
		s.rejected.Add(1)
		s.restLocked(r, failure)
	case r.count == 0:
		s.restLocked(r, failure)
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
	b.buf = storefile.AppendEntry(b.buf, s.log.next, s.log.Header.Salt, t, r.update)
	b.updates += r.count
	if b.came.IsZero() {
		b.came = r.came
	}
	s.log.next += int64(len(b.buf) - n)
	s.unwritten.Add(int64(len(b.buf) - n))
	if len(b.buf) >= s.opts.MaxPending {
		signalTo(s.urgent)
	}
	if r.async {
		r.done = b.wait()
		r.settle(nil)
		return
	}
	b.linkLocked(r)
}

// restLocked makes r, which has no update, wait until all that was applied before it is durable.
// The caller holds batchMu.
func (s *Store) restLocked(r *request, failure error) {
	r.rests = true
	b := s.flight
	if s.fill.updates > 0 {
		b = s.fill
	}
	switch {
	case failure != nil:
		r.settle(r.lostGround(failure))
	case b != nil && r.async && r.err == nil:
		r.done = b.wait()
		r.settle(nil)
	case b != nil:
		b.linkLocked(r)
	default:
		if r.async && r.err == nil {
			r.done = newSignal()
			r.done.give(nil)
		}
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
	if r.rests {
		r.err = r.lostGround(err)
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
	return !p.unwritableLocked() && p.spaceEndLocked(n) <= p.log.Size()
}

// unwritableLocked reports whether there is no log for another update, until there is more
// space on the disk. The caller holds batchMu.
func (p *pending) unwritableLocked() bool {
	return p.log == nil || p.replace || p.stalled != nil
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
func (p *pending) setLog(log *storedir.Log) {
	p.batchMu.Lock()
	defer p.batchMu.Unlock()
	p.log, p.replace = &logFile{Log: log, next: log.End, durable: log.End}, false
	p.fill.start = p.log.next
}

// isStalled reports whether there was no space for the batch in flight.
func (p *pending) isStalled() bool {
	p.batchMu.Lock()
	defer p.batchMu.Unlock()
	return p.stalled != nil
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

// A committing makes one commit after the other.
type committing struct {
	// commit is held by whoever writes to the log. It guards what is written of the
	// log, and the next two.
	commit  sync.Mutex
	woken   *signal // of the last batch, if it has one
	chained bool    // the callers of the last batch are being told; the last of them sends gathered

	syncInterval atomic.Int64  // Options.SyncInterval, which may be changed
	commitWake   chan struct{} // wakes the committer
	urgent       chan struct{} // the next commit is not to wait for syncInterval
	gathered     chan struct{} // the callers of the last batch were told
}

// committer writes what waits to be written, until the store is closed and nothing more
// is applied: what is being applied may wait for readers who wait for a commit.
func (s *Store) committer() {
	pause := newBackoff()
	for {
		select {
		case <-s.settled:
			return
		case <-s.commitWake:
		case <-pause.over(): // a commit that the disk had no space for
		}
		for s.writable() {
			s.interval()
			s.watch.arm()
			if !s.commit.TryLock() {
				break // whoever has it looks for what is pending when it lets go
			}
			if pause.after(s.commitNext()) {
				break
			}
		}
	}
}

// commitNext makes the next commit of the committer, and unlocks commit, also when
// Apply ends the goroutine.
func (s *Store) commitNext() error {
	defer s.commit.Unlock()
	s.queue.setGathering(s.chained)
	s.gather()
	s.applyFor(nil)
	return s.commitBatch() // the waiters get it
}

// endCommit lets go of commit.
func (s *Store) endCommit() {
	s.commit.Unlock()
	s.wakeCommitter()
	if !s.queue.empty() {
		signalTo(s.applyWake)
	}
}

// gather lets the callers that the last commit has woken join the next one: it
// takes them microseconds, and the disk a lot more. They queue their next updates,
// and the caller applies them. The caller holds commit, and no lock that they need.
func (s *Store) gather() {
	if s.chained {
		<-s.gathered
		s.chained = false
		s.queue.setGathering(false)
	}
	if s.woken != nil {
		_ = s.woken.take() // told to them
		s.woken = nil
	}
}

// interval waits until Options.SyncInterval has passed since the last commit, or
// somebody wants the next one at once, or the store is being closed. A commit that
// there was no space for is late already: it waits for the backoff only.
func (s *Store) interval() {
	d := time.Duration(s.syncInterval.Load())
	if d == 0 || s.isStalled() || s.down.Load() {
		return
	}
	s.mu.Lock()
	d -= time.Since(s.lastCommit)
	s.mu.Unlock()
	if d <= 0 {
		return
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-s.ctx.Done():
	case <-s.urgent:
	case <-t.C:
	}
}

// commitBatch makes the pending batch durable. The caller holds commit.
//
// Commit point: Datasync returns nil. Until then nobody is told, and after an
// error nobody ever is: the disk may hold any part of the batch. A write for which
// there is no space is no such error: what it has written is in no file's valid
// part, and will be written once more. A batch that was in flight when the store failed becomes
// durable nevertheless; the error says that the store has failed.
func (s *Store) commitBatch() error {
	b, log := s.take()
	if b == nil {
		return s.failure()
	}
	start := time.Now()
	s.expand(log)
	log.Writing.Lock()
	defer log.Writing.Unlock()
	size := log.Size()
	_, err := log.File.WriteAt(b.buf, b.start)
	if errors.Is(err, fsys.ErrNoSpace) && !errors.Is(err, fsys.ErrFileLimit) { // which does not pass
		return s.stall(log, err)
	}
	if err == nil {
		s.unstalled()
		err = log.File.Datasync()
	}
	if err == nil {
		err = log.Intact(size, b.start+int64(len(b.buf)))
	}
	if err != nil {
		// Not by wrap: it is no ErrNoSpace, which says that nothing was applied.
		err = fmt.Errorf("store: committing to %s: %w", log.Path, err)
		return s.lose(b, err)
	}
	log.Digest = log.Digest.AddAll(b.buf, b.start)
	log.End = b.start + int64(len(b.buf))
	s.succeed(b, log, start)
	return s.failure()
}

// commitPending makes all durable that is in a batch: that may be two of them, if
// the first one had no space before. The caller holds apply, or knows that nothing
// is applied any more, and commit.
func (s *Store) commitPending() error {
	err := s.commitBatch()
	for err == nil && s.batchPending() {
		s.gather()
		err = s.commitBatch()
	}
	return err
}

// take makes the pending batch the one in flight, if none is. It returns nil if
// there is nothing to write.
func (s *Store) take() (*batch, *logFile) {
	defer func() {
		if !s.queue.empty() {
			signalTo(s.applyWake) // there is room again
		}
	}()
	s.batchMu.Lock()
	defer s.batchMu.Unlock()
	if s.flight != nil {
		return s.flight, s.log // which was stalled
	}
	b := s.fill
	if b.updates == 0 {
		return nil, nil
	}
	s.flight, s.fill, s.spare = b, s.spare, nil
	s.fill.reset(s.log.next)
	s.queue.timing.Store(false)
	return b, s.log
}

// succeed tells everybody that batch b is durable, whose commit began at start.
func (s *Store) succeed(b *batch, log *logFile, start time.Time) {
	now := time.Now()
	s.batchMu.Lock() // with mu: a follower must find b in flight or durable, and not neither, nor both
	s.flight, s.stalled = nil, nil
	s.mu.Lock()
	s.durable += uint64(b.updates)
	log.durable = log.End
	s.lastCommit = now
	s.stats.commit(b, start, now)
	s.sinceSnapshot += int64(len(b.buf))
	s.announceLocked()
	s.autoSnapshotLocked()
	s.mu.Unlock()
	s.batchMu.Unlock()
	s.unwritten.Add(-int64(len(b.buf)))
	if s.woken = b.done; b.done != nil {
		b.done.give(nil)
	}
	if b.lead != nil {
		b.lead.phase.Store(told)
	}
	s.chained = tellChain(b.first)
	s.batchMu.Lock()
	s.spare = b
	s.batchMu.Unlock()
}

// lose fails the store because batch b could not be written, and tells everybody.
func (s *Store) lose(b *batch, err error) error {
	err = s.fail(err)
	s.land()
	s.batchMu.Lock()
	b.abandonLocked(err)
	s.spare = b
	s.batchMu.Unlock()
	s.unwritten.Add(-int64(len(b.buf)))
	s.mu.Lock()
	s.announceLocked()
	s.mu.Unlock()
	return err
}

// stall leaves the batch in flight until the disk has space for it. Nobody is
// told, and no more updates are applied.
func (s *Store) stall(log *logFile, err error) error {
	err = &storefile.Error{Is: ErrNoSpace, Msg: fmt.Sprintf("committing to %s, which waits for space: free some on the disk", log.Path), Cause: err}
	s.batchMu.Lock()
	first := s.stalled == nil
	s.stalled = err
	s.batchMu.Unlock()
	if first {
		s.say.Error("store: no space left to write what was applied; updates wait until there is", "dir", s.dir.Path, "error", err)
	}
	return err
}

// unstall tries once more to write a batch that the disk had no space for. It
// returns why that is not possible. The caller holds apply.
func (s *Store) unstall() error {
	s.batchMu.Lock()
	err := s.stalled
	s.batchMu.Unlock()
	if err == nil {
		return nil
	}
	if !s.commit.TryLock() {
		return err // whoever has it tries just now
	}
	defer s.endCommit()
	return s.commitBatch()
}

// A backoff spaces what is tried again.
type backoff struct {
	wait  time.Duration
	timer *time.Timer
}

const (
	minBackoff = time.Millisecond
	maxBackoff = time.Second
)

func newBackoff() *backoff { return &backoff{} }

// after notes how a try went, and reports whether the next one is to wait.
func (b *backoff) after(err error) bool {
	if b.timer != nil {
		b.timer.Stop()
	}
	if !errors.Is(err, ErrNoSpace) {
		b.wait, b.timer = 0, nil
		return false
	}
	b.wait = min(max(minBackoff, 2*b.wait), maxBackoff)
	b.timer = time.NewTimer(b.wait)
	return true
}

// over is ready when it is time to try again.
func (b *backoff) over() <-chan time.Time {
	if b.timer == nil {
		return nil
	}
	return b.timer.C
}
