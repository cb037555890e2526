package store

import (
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/stateio/stateio/internal/storedir"
	"github.com/stateio/stateio/internal/storefile"
)

// What errors.Is finds in the errors of this package.
var (
	// ErrClosed reports that the store is closed, or was before the update could
	// be made.
	ErrClosed = errors.New("store: closed")
	// ErrFailed reports that the store has failed: a write or a sync went wrong,
	// or Apply panicked. It wraps the cause. The state can still be read; to go
	// on, close the store and open it again.
	ErrFailed = errors.New("store: failed")
	// ErrLocked reports that the directory is open elsewhere, in this process or
	// another; or that it shares a file by a hard link with a directory that is.
	ErrLocked = storedir.ErrLocked
	// ErrNoSpace reports that the disk or the quota is full, or that the log is as large as
	// a file may be there. The update was not applied; the store works on, and takes updates
	// again once there is space: in a new log, when a snapshot has begun one.
	ErrNoSpace = storedir.ErrNoSpace
	// ErrCorrupt reports damage to data that was once durable. Those errors are of type
	// [*CorruptError].
	ErrCorrupt = storefile.ErrCorrupt
	// ErrShadowGone reports that the machine of Options.Shadow can't be asked any more. A
	// machine that stands for one in another process returns it; it refuses no update.
	ErrShadowGone = errors.New("store: the shadow machine is gone")
	// ErrTooLarge reports an update larger than Options.MaxUpdate. It was not
	// applied.
	ErrTooLarge = errors.New("store: update too large")
	// ErrNotRetained reports that what was asked for is older than the oldest
	// snapshot kept, or was never there, as a state within a change.
	ErrNotRetained = errors.New("store: not retained")
	// ErrClockAhead reports that updates were made with a clock that was ahead, so that
	// their times don't tell which of them were made before a time.
	ErrClockAhead = errors.New("store: the clock was ahead")
	// ErrVersion reports a directory written by a newer version of this package.
	ErrVersion = storefile.ErrVersion
	// ErrUnknown reports that an update was applied, and may or may not be durable.
	// Those errors are of type [*UnknownError].
	ErrUnknown = errors.New("store: outcome unknown")
	// ErrDiverged reports that a machine and its shadow, of Options.Shadow, have different
	// states. Those errors are of type [*DivergedError].
	ErrDiverged = errors.New("store: state diverged from the log")
	// ErrReentrant reports a method of the store called from within Apply, Snapshot
	// or WriteTo of its machine, or View, where it would wait for itself.
	ErrReentrant = errors.New("store: called from its own machine or View")
)

// An UnknownError says that an update was applied, and not whether it is durable:
// the caller's context ended while it waited for that, or the store failed. To
// make such an update again is safe only if making it twice is.
type UnknownError struct {
	Index uint64 // of the update
	Err   error  // why the outcome is unknown: it is ErrFailed, or that of a context
}

// Error implements error.
func (e *UnknownError) Error() string {
	return fmt.Sprintf("store: update %d was applied, and may not be durable (call Sync, or look for it when the store was opened again): %v", e.Index, storefile.Bare(e.Err))
}

// Unwrap returns e.Err.
func (e *UnknownError) Unwrap() error { return e.Err }

// Is reports whether target is [ErrUnknown].
func (e *UnknownError) Is(target error) bool { return target == ErrUnknown }

// A ReplayError says that Apply refused an update when it was replayed, or Restore the state
// of [Store.Replace], which it accepted when it was made: the program has changed since, or
// Apply is not deterministic. Nothing was changed on the disk.
type ReplayError struct {
	Index  uint64 // of the update
	Path   string // of the log that holds it; "": a shadow in another process has refused it
	Offset int64  // of its entry, in bytes from the file's start
	Err    error  // what Apply or Restore returned

	unit uint64 // index of the first update of its [Store.Change]; 0: it is by itself
}

// Error implements error.
func (e *ReplayError) Error() string {
	place := ""
	if e.Path != "" {
		place = fmt.Sprintf(", at offset %d of %s", e.Offset, e.Path)
	}
	before, of := e.Index, "it"
	if e.unit != 0 && e.unit < e.Index { // there was no state between the updates of a change
		before, of = e.unit, "its change"
	}
	todo := "or open the store with the program that made it"
	if before > 1 {
		todo = fmt.Sprintf("open the store with the program that made it, or go back with RestoreAt to update %d, the last one before %s", before-1, of)
	}
	return fmt.Sprintf("store: replaying update %d%s: the machine refused it, as it had not when the update was made: %v; "+
		"look at it with ReadUpdates (stateio log), %s", e.Index, place, storefile.Bare(e.Err), todo)
}

// Unwrap returns e.Err.
func (e *ReplayError) Unwrap() error { return e.Err }

// A machineError is one after which the machine may hold anything.
type machineError struct{ error }

// Unwrap returns the error.
func (e *machineError) Unwrap() error { return e.error }

func unknown(index uint64, err error) error { return &UnknownError{Index: index, Err: err} }

// notMade says that an update was not applied because its context ended.
func notMade(err error) error { return fmt.Errorf("store: update not made: %w", err) }

// lostGround says that Apply refused an update, or a change found nothing to do, in a state that was lost.
func (r *request) lostGround(failure error) error {
	msg := "the update was refused in a state that may not be durable, so the refusal does not count"
	if r.err == nil {
		msg = "the change has made no update, in a state that may not be durable: whether there was none to make is not known"
	}
	return &storefile.Error{Is: ErrFailed, Msg: msg, Cause: failure}
}

// A CorruptError says which file of a store is damaged, where, and how: it has the fields
// Path string, Offset int64, in bytes from the file's start, and Err error, which says what
// is wrong there and is what Unwrap returns. For a file that is missing, Path is the one
// that should be there. errors.Is finds [ErrCorrupt] in it.
type CorruptError = storefile.CorruptError

// A status is how far the store is, and whether it goes on.
type status struct {
	// mu guards all below, up to the next paragraph, and snapshots. It is only held for
	// moments.
	mu         sync.Mutex
	durable    uint64 // index of the last durable update
	err        error  // why the store takes no more updates: ErrFailed or ErrClosed
	changed    chan struct{}
	lastCommit time.Time
	stats      counters
	closing    bool // Close was called

	down      atomic.Bool   // err is set
	failed    chan struct{} // closed when the store has failed
	followers atomic.Int64  // sequences of Updates that are being read
}

// fail makes err the reason why the store takes no more updates, and returns it as
// callers get it. What waits to be applied is refused; what was applied and is not
// being written never will be. The caller holds neither batchMu nor mu.
func (s *Store) fail(err error) error {
	s.mu.Lock()
	first := s.failureLocked() == nil // ErrClosed may be of another store, in what this one has failed with
	if first {
		s.err = &storefile.Error{Is: ErrFailed, Msg: s.dir.Path + " has failed, close it and open it again", Cause: err}
		s.down.Store(true)
		close(s.failed)
	}
	failure := s.err
	s.announceLocked()
	s.mu.Unlock()
	if first {
		s.say.Error("store: failed", "dir", s.dir.Path, "error", err)
	}
	s.batchMu.Lock()
	s.fill.abandonLocked(failure)
	s.unwritten.Add(-int64(len(s.fill.buf)))
	s.fill.reset(s.fill.start)
	s.batchMu.Unlock()
	s.mu.Lock()
	s.announceLocked() // once more: a follower that looked meanwhile took that for pending
	s.mu.Unlock()
	s.refuseQueued()
	return failure
}

// Failed returns a channel that is closed when the store fails: a program that can't go on
// without it ends then, and is started again. Stats().Err is why. A store that is closed
// in order never fails.
func (s *Store) Failed() <-chan struct{} { return s.failed }

// failure returns why the store has failed, nil if it has not. The caller may hold
// batchMu, and not mu.
func (s *status) failure() error {
	if !s.down.Load() {
		return nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.failureLocked()
}

func (s *status) failureLocked() error {
	if errors.Is(s.err, ErrFailed) {
		return s.err
	}
	return nil
}

// whyDown returns why the store takes no more updates, nil if it does.
func (s *status) whyDown() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.err
}

// changedLocked returns a channel that is closed when one of the fields that mu
// guards, and somebody may wait for, changes.
func (s *status) changedLocked(wanted bool) <-chan struct{} {
	if wanted && s.changed == nil {
		s.changed = make(chan struct{})
	}
	return s.changed
}

// announceLocked wakes those that wait for a change. The caller holds mu.
func (s *status) announceLocked() {
	if s.changed != nil {
		close(s.changed)
		s.changed = nil
	}
}
