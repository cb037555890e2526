package store

import (
	"math/bits"
	"time"
)

// Stats are figures about a store since it was opened. Sizes are in bytes.
type Stats struct {
	Index   uint64 // of the last update applied
	Durable uint64 // index of the last update that is durable

	Updates      uint64 // made durable
	UpdateErrors uint64 // refused by Apply
	Batches      uint64 // commits: one write and one sync each
	Bytes        uint64 // written to the log by commits
	LargestBatch int    // updates in the largest batch
	Pending      int    // bytes of updates applied and not durable

	// Commits is how long the commits took, write and sync.
	Commits Histogram

	Snapshots       uint64        // made
	SnapshotsFailed uint64        // that could not be made
	SnapshotError   error         // why the last one could not be made; nil if it could
	SnapshotIndex   uint64        // of the newest
	SnapshotBytes   int64         // size of the newest
	SnapshotTook    time.Duration // to make the last one
	SinceSnapshot   int64         // bytes of log behind the newest

	Err error // why the store takes no more updates: ErrFailed or ErrClosed
}

// A Histogram counts durations. Bucket i holds those of less than 2^i
// microseconds that are in no bucket before; the last one holds all others.
type Histogram struct {
	Buckets [24]uint64
	Count   uint64
	Sum     time.Duration
	Max     time.Duration
}

func (h *Histogram) add(d time.Duration) {
	i := min(bits.Len64(uint64(max(0, d.Microseconds()))), len(h.Buckets)-1)
	h.Buckets[i]++
	h.Count++
	h.Sum += d
	h.Max = max(h.Max, d)
}

// Mean returns the average.
func (h *Histogram) Mean() time.Duration {
	if h.Count == 0 {
		return 0
	}
	return h.Sum / time.Duration(h.Count)
}

// Quantile returns a duration that is not exceeded by the given part, 0 to 1,
// of those counted: the upper end of a bucket, at most twice the exact value.
func (h *Histogram) Quantile(q float64) time.Duration {
	var n uint64
	for i, c := range h.Buckets[:len(h.Buckets)-1] { // the last one has no upper end
		if n += c; float64(n) >= q*float64(h.Count) && n > 0 {
			return min(h.Max, time.Duration(1)<<i*time.Microsecond)
		}
	}
	return h.Max
}

// Stats returns the figures as they are now. It is cheap, but copies a few
// hundred bytes.
func (s *Store) Stats() Stats {
	s.mu.Lock()
	defer s.mu.Unlock()
	c := &s.stats
	st := Stats{
		Index: s.index, Durable: s.durable,
		Updates: c.updates, UpdateErrors: c.refused, Batches: c.batches, Bytes: c.bytes,
		LargestBatch: int(c.largest), Pending: len(s.fill.buf), Commits: c.latency,
		Snapshots: c.snapshots, SnapshotsFailed: c.snapshotsFailed, SnapshotError: c.snapshotErr,
		SnapshotIndex: s.snapshotIndex, SnapshotBytes: s.snapshotSize, SnapshotTook: c.snapshotTook,
		SinceSnapshot: s.sinceSnapshot, Err: s.err,
	}
	if s.flight != nil {
		st.Pending += len(s.flight.buf)
	}
	return st
}

// commit counts one commit of b.
func (c *counters) commit(b *batch, took time.Duration) {
	c.updates += uint64(b.updates)
	c.batches++
	c.bytes += uint64(len(b.buf))
	c.largest = max(c.largest, b.updates)
	c.latency.add(took)
}
