package store

import "time"

// A batch is what one commit writes: entries as they stand in the log.
type batch struct {
	start   int64  // where it goes in the log
	buf     []byte // the entries
	updates uint32
	done    *signal // made when somebody waits for it
}

// keepBatch is the largest buffer, in bytes, that is kept between commits.
const keepBatch = 8 << 20

// signal tells the waiters of a batch what became of it.
type signal struct {
	c   chan struct{} // closed when err is set
	err error
}

// settled returns a signal that was given.
func settled(err error) *signal {
	s := &signal{c: make(chan struct{}), err: err}
	close(s.c)
	return s
}

// wait returns the signal of b. The caller holds mu.
func (b *batch) wait() *signal {
	if b.done == nil {
		b.done = &signal{c: make(chan struct{})}
	}
	return b.done
}

// alone reports whether b is the work of one writer, who commits it.
func (b *batch) alone() bool { return b.updates <= 1 && b.done == nil }

// finish tells the waiters of b. The caller holds mu.
func (b *batch) finish(err error) {
	if b.done != nil {
		b.done.err = err
		close(b.done.c)
		b.done = nil
	}
}

// reset empties b. What is written next goes to start.
func (b *batch) reset(start int64) {
	b.start, b.updates = start, 0
	if b.buf = b.buf[:0]; cap(b.buf) > keepBatch {
		b.buf = nil
	}
}

// counters are what Stats returns, as they are counted. Guarded by mu.
type counters struct {
	updates, batches, bytes    uint64
	largest                    uint32
	refused                    uint64
	snapshots, snapshotsFailed uint64
	snapshotErr                error
	snapshotTook               time.Duration
	latency                    Histogram
}
