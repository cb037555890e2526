package store

import (
	"fmt"
	"sync"
	"sync/atomic"
	"time"
)

// A watch looks at a store while anything waits there. Callers that waited for a
// period are asked to see whether they wait for themselves; and what nothing has
// come of for a while is told to the operator. An idle store has no watch.
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
		w.s.queue.poke() // each time: others may have come since
	}
	if n := w.stuck / stuckLooks; w.stuck%stuckLooks == 0 && n > 0 && n&(n-1) == 0 { // and ever more seldom
		w.s.say.warn("store: nothing moves on", "dir", w.s.dir,
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
	n.written, n.moved = s.written.Load(), s.moved.Load()
	switch waits := s.queue.waits(); {
	case s.capturing.Load():
		n.doing = updatesWait(waits, "until Snapshot of the machine returns; if it takes a mutex that callers hold while they wait for the store, neither will go on")
	case waits > 0:
		n.doing = s.whatUpdatesWaitFor(waits)
	case s.commitAwaited():
		n.doing = "a commit waits for the disk"
	case making:
		n.doing = stages[s.stage.Load()]
	}
	return n
}

// stages say what a snapshot waits for.
var stages = map[int32]string{
	writing:   "a snapshot is being written, and WriteTo of the captured state writes nothing, or the disk takes nothing",
	verifying: "a snapshot is being read back, and the disk gives nothing",
	replaying: "the shadow machine replays updates for a snapshot, and its Apply or Restore does not return",
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
	switch {
	case s.applying.Load():
		return updatesWait(n, "until Apply returns")
	case !s.state.TryRLock():
		return updatesWait(n, "until functions passed to View return")
	}
	s.state.RUnlock()
	return updatesWait(n, "for the disk")
}

// updatesWait says that n updates wait, and for what.
func updatesWait(n int, what string) string {
	if n == 1 {
		return "1 update waits " + what
	}
	return fmt.Sprintf("%d updates wait %s", n, what)
}
