package store

import (
	"encoding/json"
	"errors"
	"io/fs"
	"time"

	"github.com/stateio/stateio/internal/storefile"
)

// Stats are figures about a store since it was opened. Sizes are in bytes. The tags
// are the names in JSON; see [Stats.MarshalJSON].
type Stats struct {
	Index   uint64 `json:"index"`   // of the last update applied
	Durable uint64 `json:"durable"` // index of the last update that is durable

	Updates      uint64 `json:"updates"`        // made durable
	UpdateErrors uint64 `json:"update_errors"`  // refused by Apply
	NoSpace      uint64 `json:"no_space"`       // updates refused with ErrNoSpace; a group counts once
	Batches      uint64 `json:"commits"`        // commits: one write and one sync each
	Bytes        uint64 `json:"log_bytes"`      // written to the log by commits
	LargestBatch int    `json:"largest_commit"` // updates in the largest batch
	Pending      int    `json:"pending_bytes"`  // bytes of updates applied and not durable
	Queued       int    `json:"queued_updates"` // updates that wait to be applied; a group counts once
	Followers    int    `json:"followers"`      // sequences of Store.Updates that are being read
	SpaceError   error  `json:"space_error"`    // why a commit waits for disk space; nil if none does
	DiskBytes    int64  `json:"disk_bytes"`     // lengths of all logs and snapshots, with what is set aside

	// Commits is how long the commits took, write and sync.
	Commits Histogram `json:"commit_durations"`

	// UpdateWaits is how long updates took, from the call of Update or Submit until they
	// were durable. One update of each commit is timed, about the one that waited
	// longest.
	UpdateWaits Histogram `json:"update_waits"`

	Snapshots       uint64        `json:"snapshots"`                // made
	SnapshotsFailed uint64        `json:"snapshots_failed"`         // that could not be made
	SnapshotError   error         `json:"snapshot_error"`           // why the last one could not be made; nil if it could
	SnapshotIndex   uint64        `json:"snapshot_index"`           // of the newest
	SnapshotBytes   int64         `json:"snapshot_bytes"`           // size of the newest
	SnapshotTook    time.Duration `json:"snapshot_took_ns"`         // to make the last one
	SnapshotTime    time.Time     `json:"snapshot_time,omitzero"`   // when the newest was made; zero if there is none, or it can't be told
	SnapshotRunning bool          `json:"snapshot_running"`         // one is being made
	SnapshotWritten int64         `json:"snapshot_written_bytes"`   // by the one that is being made
	SinceSnapshot   int64         `json:"log_bytes_since_snapshot"` // bytes of log after the newest
	RetainError     error         `json:"retain_error"`             // why files that it made superfluous could not be removed; nil if they were

	Err error `json:"error"` // why the store takes no more updates: ErrFailed or ErrClosed
}

// MarshalJSON returns an object with the names that the tags of the fields say. An
// error is its text, and absent if it is nil; failed is true if the store has failed.
// Durations are in nanoseconds, times as RFC 3339 has them. See also
// [Histogram.MarshalJSON]. The way back, from JSON to Stats, is not supported.
func (s Stats) MarshalJSON() ([]byte, error) {
	type fields Stats // without this method
	return json.Marshal(struct {
		fields
		SpaceError    string `json:"space_error,omitempty"`
		SnapshotError string `json:"snapshot_error,omitempty"`
		RetainError   string `json:"retain_error,omitempty"`
		Err           string `json:"error,omitempty"`
		Failed        bool   `json:"failed"`
	}{
		fields(s), text(s.SpaceError), text(s.SnapshotError), text(s.RetainError), text(s.Err),
		errors.Is(s.Err, ErrFailed),
	})
}

// text returns what err says, nothing if it is nil.
func text(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}

// Stats returns the figures as they are now. It is cheap, but copies two
// kilobytes, and does not wait for the disk.
func (s *Store) Stats() Stats {
	queued := s.queue.waits()
	s.batchMu.Lock()
	stalled, logBytes := s.stalled, int64(0)
	if s.log != nil {
		logBytes = s.log.size.Load()
	}
	s.batchMu.Unlock()
	written := s.written.Load()
	s.mu.Lock()
	defer s.mu.Unlock()
	c := &s.stats
	return Stats{
		Index: s.index.Load(), Durable: s.durable,
		Updates: c.updates, UpdateErrors: s.rejected.Load(), NoSpace: c.noSpace, Batches: c.batches, Bytes: c.bytes,
		LargestBatch: int(c.largest), Pending: int(s.unwritten.Load()), Queued: queued,
		Followers: int(s.followers.Load()), SpaceError: stalled, DiskBytes: c.oldBytes + logBytes + written,
		Commits: c.latency, UpdateWaits: c.waits,
		Snapshots: c.snapshots, SnapshotsFailed: c.snapshotsFailed, SnapshotError: c.snapshotErr,
		SnapshotIndex: s.newest.index, SnapshotBytes: s.newest.size, SnapshotTook: c.snapshotTook,
		SnapshotTime: c.snapshotTime, SnapshotRunning: s.making, SnapshotWritten: written,
		SinceSnapshot: s.sinceSnapshot, RetainError: c.retainErr, Err: s.err,
	}
}

// counters are what Stats returns, as they are counted. Guarded by mu.
type counters struct {
	updates, batches, bytes    uint64
	largest                    uint32
	noSpace                    uint64
	snapshots, snapshotsFailed uint64
	snapshotErr, retainErr     error
	snapshotTook               time.Duration
	snapshotTime               time.Time
	oldBytes                   int64 // lengths of snapshots, and of logs but the one in use
	latency, waits             Histogram
}

// commit counts one commit of b, which began at start and has ended now.
func (c *counters) commit(b *batch, start, now time.Time) {
	c.updates += uint64(b.updates)
	c.batches++
	c.bytes += uint64(len(b.buf))
	c.largest = max(c.largest, b.updates)
	c.latency.add(now.Sub(start))
	if !b.came.IsZero() {
		c.waits.add(now.Sub(b.came))
	}
}

// snapshot counts one snapshot of size bytes, whose making began at start.
func (c *counters) snapshot(size int64, start time.Time) {
	c.snapshots++
	c.snapshotTime = time.Now()
	c.snapshotTook = c.snapshotTime.Sub(start)
	c.oldBytes += size
}

// refused counts an update that could not be applied because of err.
func (c *counters) refused(err error) {
	if errors.Is(err, ErrNoSpace) {
		c.noSpace++
	}
}

// sealed counts n bytes of a log that is not in use any more.
func (c *counters) sealed(n int64) { c.oldBytes += n }

// countFiles measures the files of the store. No other log comes into use meanwhile.
func (s *Store) countFiles() error {
	l, err := s.files().List()
	if err != nil {
		return err
	}
	s.batchMu.Lock()
	log := s.log
	s.batchMu.Unlock()
	var sum int64
	count := func(indexes []uint64, suffix string) {
		for _, index := range indexes {
			path := s.path(index, suffix)
			if log != nil && path == log.path {
				continue // Stats adds it as it is then
			}
			info, serr := s.fs.Stat(path)
			sum += info.Size
			if serr != nil && !errors.Is(serr, fs.ErrNotExist) {
				err = serr
			}
		}
	}
	count(l.Logs, storefile.LogSuffix)
	count(l.Snaps, storefile.SnapSuffix)
	if err != nil {
		return wrap("measuring the files of "+s.dir, err)
	}
	s.mu.Lock()
	s.stats.oldBytes = sum
	s.mu.Unlock()
	return nil
}

// modTime returns when the file at path was last changed, zero if that can't be told.
func (s *Store) modTime(path string) time.Time {
	t, err := s.fs.ModTime(path)
	if err != nil {
		return time.Time{}
	}
	return t
}
