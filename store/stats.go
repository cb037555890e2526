package store

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/stateio/stateio/internal/fsys"
	"github.com/stateio/stateio/internal/storedir"
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
		logBytes = s.log.Size()
	}
	s.batchMu.Unlock()
	written := s.underway.Written.Load()
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
	l, err := s.dir.List()
	if err != nil {
		return err
	}
	s.batchMu.Lock()
	log := s.log
	s.batchMu.Unlock()
	var sum int64
	count := func(indexes []uint64, pathOf func(uint64) string) {
		for _, index := range indexes {
			path := pathOf(index)
			if log != nil && path == log.Path {
				continue // Stats adds it as it is then
			}
			info, serr := s.dir.FS.Stat(path)
			sum += info.Size
			if serr != nil && !errors.Is(serr, fs.ErrNotExist) && !fsys.Unreadable(serr) { // which may not be needed
				err = serr
			}
		}
	}
	count(l.Logs, s.dir.Log)
	count(l.Snaps, s.dir.Snap)
	if err != nil {
		return storedir.Wrap("measuring the files of "+s.dir.Path, err)
	}
	s.mu.Lock()
	s.stats.oldBytes = sum
	s.mu.Unlock()
	return nil
}

// modTime returns when the file at path was last changed, zero if that can't be told.
func (s *Store) modTime(path string) time.Time {
	t, err := s.dir.FS.ModTime(path)
	if err != nil {
		return time.Time{}
	}
	return t
}

// A Histogram counts durations. Its bounds are those of a native histogram of
// Prometheus of schema 2: powers of the fourth root of 2, in seconds. Bucket 0 holds
// durations of up to 2^-20 seconds, about a microsecond. Bucket i holds those of more
// than bound i-1 and up to bound i, which is 2^(i/4-20) seconds; see Bound. The last
// bucket holds what is longer than its lower bound, 64 seconds.
type Histogram struct {
	Buckets [histogramBounds + 1]uint64
	Count   uint64 // of durations
	Sum     time.Duration
	Max     time.Duration
}

const (
	histogramBounds  = 1 + 4*(6+20)
	boundsPerDouble  = 4
	leastBoundDouble = -20
)

// bounds are the upper bounds of all buckets but the last, rounded down to
// nanoseconds, which no duration can tell from the exact ones.
var bounds = func() (b [histogramBounds]time.Duration) {
	for i := range b {
		b[i] = time.Duration(math.Exp2(float64(i)/boundsPerDouble+leastBoundDouble) * float64(time.Second))
	}
	return b
}()

func (h *Histogram) add(d time.Duration) {
	i, _ := slices.BinarySearch(bounds[:], d)
	h.Buckets[i]++
	h.Count++
	h.Sum += d
	h.Max = max(h.Max, d)
}

// Bound returns the upper bound of bucket i, which belongs to it: for the last bucket
// the longest duration there is. It panics if there is no bucket i.
func (h *Histogram) Bound(i int) time.Duration {
	if i == histogramBounds {
		return math.MaxInt64
	}
	return bounds[i]
}

// Mean returns the average.
func (h *Histogram) Mean() time.Duration {
	if h.Count == 0 {
		return 0
	}
	return h.Sum / time.Duration(h.Count)
}

// Quantile returns a duration that is not exceeded by the given part, 0 to 1,
// of those counted: the upper end of a bucket, at most a fifth above the exact value,
// or a microsecond.
func (h *Histogram) Quantile(q float64) time.Duration {
	var n uint64
	for i, c := range h.Buckets {
		if n += c; float64(n) >= q*float64(h.Count) && n > 0 {
			return min(h.Max, h.Bound(i))
		}
	}
	return h.Max
}

// A jsonHistogram is what a Histogram looks like in JSON.
type jsonHistogram struct {
	Count   uint64        `json:"count"`
	Sum     time.Duration `json:"sum_ns"`
	Max     time.Duration `json:"max_ns"`
	P50     time.Duration `json:"p50_ns"`
	P90     time.Duration `json:"p90_ns"`
	P99     time.Duration `json:"p99_ns"`
	Buckets []jsonBucket  `json:"buckets"`
}

// A jsonBucket is a bucket that is not empty. The last one, which has no bound, goes
// up to the maximum.
type jsonBucket struct {
	UpTo  time.Duration `json:"up_to_ns"`
	Count uint64        `json:"count"`
}

// MarshalJSON returns an object with count, sum_ns, max_ns, the quantiles p50_ns,
// p90_ns and p99_ns, and buckets: those that are not empty, in ascending order, each with
// its upper bound up_to_ns and its count. Durations are in nanoseconds.
func (h Histogram) MarshalJSON() ([]byte, error) {
	j := jsonHistogram{
		Count: h.Count, Sum: h.Sum, Max: h.Max,
		P50: h.Quantile(0.5), P90: h.Quantile(0.9), P99: h.Quantile(0.99),
		Buckets: []jsonBucket{},
	}
	for i, n := range h.Buckets {
		if n > 0 {
			upTo := h.Bound(i)
			if i == histogramBounds {
				upTo = h.Max
			}
			j.Buckets = append(j.Buckets, jsonBucket{upTo, n})
		}
	}
	return json.Marshal(j)
}

// A watch looks at a store while anything waits there: what nothing has come of for a
// while is told to the operator. An idle store has no watch.
type watch struct {
	s     *Store
	armed atomic.Bool

	mu    sync.Mutex
	timer *time.Timer // made by the first arm; guarded by mu
	ended bool        // guarded by mu

	// Of the last look; used by the timer's function only.
	was   sight
	stuck int // looks since anything changed
}

const (
	// watchPeriod is the time from one look to the next.
	watchPeriod = 500 * time.Millisecond
	// stuckLooks is after how many looks that saw nothing new it is told.
	stuckLooks = 10
)

// A sight is what a look sees of the progress of a store.
type sight struct {
	index, durable, commits, snapshots uint64
	written                            int64  // bytes of the snapshot that is being made
	moved                              uint64 // how far it is in another way
	doing                              string
}

// arm makes the watch look, a period from now. It is cheap if it does already.
func (w *watch) arm() {
	if !w.armed.Load() && w.armed.CompareAndSwap(false, true) {
		w.again()
	}
}

// again has the next look, a period from now.
func (w *watch) again() {
	w.mu.Lock()
	defer w.mu.Unlock()
	switch {
	case w.ended:
	case w.timer == nil:
		w.timer = time.AfterFunc(watchPeriod, w.look)
	default:
		w.timer.Reset(watchPeriod)
	}
}

// look sees what has changed since the last look.
func (w *watch) look() {
	now := w.s.sight()
	if now.doing == "" {
		w.was, w.stuck = sight{}, 0
		w.armed.Store(false)
		if w.s.sight().doing != "" {
			w.arm() // it began meanwhile
		}
		return
	}
	if now != w.was {
		w.was, w.stuck = now, 0
	} else {
		w.stuck++
	}
	if n := w.stuck / stuckLooks; w.stuck%stuckLooks == 0 && n > 0 && n&(n-1) == 0 { // and ever more seldom
		w.s.say.Warn("store: nothing moves on", "dir", w.s.dir.Path,
			"for", time.Duration(w.stuck)*watchPeriod, "waiting", now.doing)
	}
	w.again()
}

// stop ends the watch. A look that is under way may still say something.
func (w *watch) stop() {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.ended = true; w.timer != nil {
		w.timer.Stop()
	}
}

// sight returns how far the store is. What it is doing is empty if nothing waits.
func (s *Store) sight() sight {
	s.mu.Lock()
	n := sight{durable: s.durable, commits: s.stats.batches, snapshots: s.stats.snapshots + s.stats.snapshotsFailed}
	making := s.making
	s.mu.Unlock()
	n.index = s.index.Load()
	n.written, n.moved = s.underway.Written.Load(), s.underway.Moved.Load()
	switch waits := s.queue.waits(); {
	case s.capturing.Load():
		n.doing = updatesWait(waits, "until Snapshot of the machine returns; if it takes a mutex that callers hold while they wait for the store, neither will go on")
	case waits > 0:
		n.doing = s.whatUpdatesWaitFor(waits)
	case s.commitAwaited():
		n.doing = "a commit waits for the disk"
	case making:
		n.doing = s.whatSnapshotWaitsFor()
	}
	return n
}

// stages say what a snapshot waits for.
var stages = map[int32]string{
	storedir.Writing:   "a snapshot is being written, and WriteTo of the captured state writes nothing, or the disk takes nothing",
	storedir.Verifying: "a snapshot is being read back, and the disk gives nothing",
	replaying:          "the shadow machine replays updates for a snapshot, and its Apply or Restore does not return",
	asking:             "the disk is asked how much space is free, for a snapshot, and does not answer",
	givingBack:         "a state that was captured for a snapshot is being closed, and its Close does not return",
	retaining:          "files that a snapshot has made superfluous are being removed, and the disk does not answer",
}

// whatSnapshotWaitsFor says why a snapshot does not get on.
func (s *Store) whatSnapshotWaitsFor() string {
	stage := s.underway.Stage.Load()
	if stage == beginning {
		return "a snapshot is to begin, and waits " + s.whatIsAwaited()
	}
	return stages[stage]
}

// commitAwaited reports whether what is pending is to be durable soon: that waits for
// nothing but SyncInterval is nothing to be told.
func (s *Store) commitAwaited() bool {
	s.batchMu.Lock()
	defer s.batchMu.Unlock()
	return s.flight != nil || s.fill.updates > 0 && s.syncInterval.Load() == 0
}

// whatUpdatesWaitFor says why n updates are not applied.
func (s *Store) whatUpdatesWaitFor(n int) string {
	if s.held.Load() {
		return updatesWait(n, "for a snapshot of the state before the first one: "+s.whatSnapshotWaitsFor())
	}
	return updatesWait(n, s.whatIsAwaited())
}

// whatIsAwaited says for what everybody waits who needs the machine.
func (s *Store) whatIsAwaited() string {
	switch {
	case s.applying.Load():
		return "until Apply returns"
	case !s.state.TryRLock():
		return "until functions passed to View return"
	}
	s.state.RUnlock()
	return "for the disk"
}

// updatesWait says that n updates wait, and for what.
func updatesWait(n int, what string) string {
	if n == 1 {
		return "1 update waits " + what
	}
	return fmt.Sprintf("%d updates wait %s", n, what)
}
