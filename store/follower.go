package store

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"sync"
	"time"

	"github.com/stateio/stateio/internal/storefile"
)

// FollowOptions change how [Follow] works. The zero value of each field stands for its
// default.
type FollowOptions struct {
	// Poll is how long to wait before looking for updates again where there were no more.
	// The default is 10 ms.
	Poll time.Duration
}

// A Follower keeps a machine in the state of a store that another process writes. Its
// methods may be called from any number of goroutines at once, but not from within the
// machine or View.
type Follower struct {
	dir  storefile.Dir
	m    clocked
	poll time.Duration

	cursor *cursor // of the goroutine that follows; before that, of Follow

	state sync.RWMutex // held exclusively while the machine changes, shared by View

	mu      sync.Mutex // guards all below
	status  FollowerStatus
	changed chan struct{} // closed when status changes, if somebody waits
	err     error         // why it ended

	cancel context.CancelFunc
	done   chan struct{} // closed when it has ended
}

// FollowerStatus says how far a [Follower] has come.
type FollowerStatus struct {
	Index uint64    // of the last update applied; never one before the end of a [Store.Change]
	Time  time.Time // of its commit; the zero time if it is not known
	// Current is when the follower last saw that there was no later update: the state is
	// at most that old.
	Current time.Time
	// Restored is how many snapshots were restored: more than one says that the follower
	// was slower than the store keeps updates.
	Restored int
}

// Follow gives m the state of the store in directory dir, as [Load] does, and keeps it in
// that state from then on: what another process, or this one, writes to the store is
// applied to m a moment later. It reads the files of the store, takes no lock and writes
// nothing. m must be in its initial state; only the follower may change it, and
// [Follower.View] reads it.
//
// While there is no store in dir, as when another is being restored there, the follower
// waits, and Status.Current stays as it is. It goes on in one of the same identity that holds
// what was followed, also in the copy of [Copy] and in what Repair has made of exactly that. It
// ends with ErrCorrupt in another, and in one that was set back to an earlier state, as by a
// backup, unless that gives it a later state as a whole: open the follower anew then, with another machine. What can't
// be told is a store that was set back and has dropped all logs up to the last update
// followed since, if its clock was ahead, so that this update bears the same time.
//
// The follower ends when ctx does, by Close, or with an error: [Follower.Done]. Nil opts
// are the defaults. Errors of Follow are those of Load.
//
// A panic of m's Apply goes on to the caller while Follow runs. Later it comes in a
// goroutine of the follower, and ends the process.
//
// A follower may see an update some moments before it is durable. If the power fails then,
// the store has it or not, and the follower is gone with the machine; if the store's disk
// fails, the follower may be ahead of what the store recovers, and ends with ErrCorrupt
// where it finds that out: begin anew with another machine.
func Follow(ctx context.Context, dir string, m Machine, opts *FollowOptions) (*Follower, error) {
	var o FollowOptions
	if opts != nil {
		o = *opts
	}
	if o.Poll < 0 {
		return nil, fmt.Errorf("store: FollowOptions.Poll is %v: it must not be negative", o.Poll)
	}
	setDefault(&o.Poll, defaultPoll)
	f, err := newFollower(ctx, dir, m)
	if err != nil {
		return nil, err
	}
	following := false
	defer func() {
		if !following { // also when the machine panics, or ends the goroutine
			f.cursor.close()
		}
	}()
	if err := f.catchUp(ctx); err != nil {
		return nil, err
	}
	following = true
	f.poll = o.Poll
	ctx, f.cancel = context.WithCancel(ctx)
	go f.run(ctx)
	return f, nil
}

// Load gives m the newest state of the store in directory dir, and returns the index of
// the last update in it. m must be in its initial state. It changes nothing on disk and
// takes no lock, so it works while the store is open, of which it may see updates some
// moments before they are durable.
//
// The errors are fs.ErrNotExist if there is no store in dir; that of ctx, when that ends
// meanwhile, between two changes, with the index up to there; [ErrCorrupt] for damage that is in the way; [ErrVersion] if a newer version of
// this package wrote the store; those of Restore, and a [*ReplayError]; and those of reading.
// After an error m may hold any part of the state.
func Load(ctx context.Context, dir string, m Machine) (index uint64, err error) {
	f, err := newFollower(ctx, dir, m)
	if err != nil {
		return 0, err
	}
	defer f.cursor.close()
	err = f.catchUp(ctx)
	return f.status.Index, err
}

// newFollower restores the newest snapshot, if there is one.
func newFollower(ctx context.Context, dir string, m Machine) (*Follower, error) {
	if m == nil {
		return nil, errors.New("store: following needs a Machine, not nil")
	}
	if dir == "" {
		return nil, errNoDir
	}
	f := &Follower{dir: filesOf(dir), m: clockedBy(m), done: make(chan struct{})}
	if _, err := f.dir.Find(); err != nil {
		return nil, err
	}
	return f, f.restore(ctx, 0)
}

// restoreTries is how often a snapshot is looked for that is not dropped meanwhile.
const restoreTries = 10

// restore restores the newest snapshot that is whole, if its index is at least that,
// and goes on after it.
func (f *Follower) restore(ctx context.Context, least uint64) error {
	for tries := 1; ; tries++ {
		l, err := f.dir.List()
		if err != nil {
			return err
		}
		err = f.restoreOf(ctx, l, least)
		var machine *machineError
		if !errors.Is(err, fs.ErrNotExist) || errors.As(err, &machine) || tries == restoreTries {
			return err
		}
	}
}

// restoreOf is restore for the snapshots of l.
func (f *Follower) restoreOf(ctx context.Context, l *storefile.Listing, least uint64) error {
	if n := len(l.Snaps); least > 0 && (n == 0 || l.Snaps[n-1] < least) {
		return f.cursor.notRetained()
	}
	if err := errors.Join(f.dir.Chained(l, math.MaxUint64), f.dir.OneStore(l, math.MaxUint64)); err != nil {
		return err
	}
	load := &loader{dir: f.dir, m: f.m.m, machine: f.m, list: l, target: ^uint64(0), ctx: ctx}
	if f.cursor != nil {
		load.store, load.hasStore = f.cursor.store, f.cursor.known
	}
	err := f.restoreLocked(load)
	if load.machineError {
		err = &machineError{err} // it may hold a part of the state
	}
	if err == nil && load.report.Snapshot == "" && len(load.report.Refused) > 0 && (len(l.Logs) == 0 || l.Logs[0] > 0) {
		err = load.report.Refused[0].Err // it is in the way
	}
	if err == nil && load.report.Index < least {
		if err = f.cursor.notRetained(); len(load.report.Refused) > 0 {
			err = load.report.Refused[0].Err
		}
	}
	if err != nil {
		return err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.status.Index, f.status.Time = load.report.Index, moment(load.time)
	if load.report.Snapshot != "" {
		f.status.Restored++
	}
	if f.cursor != nil {
		f.cursor.close()
	}
	next := &cursor{dir: f.dir, next: load.report.Index + 1}
	if load.report.Snapshot != "" {
		next.mark = storefile.Mark{Index: load.report.Index, Time: load.time}
	}
	if f.cursor != nil {
		next.store, next.known = f.cursor.store, f.cursor.known
	}
	f.cursor = next
	return nil
}

// restoreLocked restores a snapshot while nothing reads.
func (f *Follower) restoreLocked(load *loader) error {
	f.state.Lock()
	defer f.state.Unlock() // also if the machine ends the goroutine
	return load.loadSnapshot()
}

// catchUp applies what is there.
func (f *Follower) catchUp(ctx context.Context) error {
	for {
		start := f.dir.FS.Now()
		var failed error
		_, err := f.cursor.read(ctx, ^uint64(0), func(u *logged) bool {
			if f.lacksState() {
				return false
			}
			failed = f.apply(u)
			return failed == nil
		})
		switch {
		case failed != nil:
			return failed
		case f.lacksState():
			if err := f.restore(ctx, 0); err != nil {
				return err
			}
			if f.status.Restored == 0 {
				return f.dir.MissingImport()
			}
		case errors.Is(err, errEnd):
			f.mu.Lock()
			f.status.Current = start
			f.announceLocked()
			f.mu.Unlock()
			return nil
		case errors.Is(err, ErrNotRetained) && ctx.Err() == nil:
			// The store dropped it before it was read here.
			if err := f.restore(ctx, f.cursor.next); err != nil {
				return err
			}
		case err != nil:
			return err
		case ctx.Err() != nil:
			return fmt.Errorf("store: following %s, up to update %d: %w", f.dir.Path, f.status.Index, ctx.Err())
		}
	}
}

// lacksState reports whether the store has had a state before its first update, and the
// follower none: a program has set it, and made a snapshot, after the follower had begun.
func (f *Follower) lacksState() bool {
	r := f.cursor.r
	return r != nil && r.Header.Kind == storefile.ImportKind && f.status.Restored == 0
}

// apply applies an update, and those that are one unit with it.
func (f *Follower) apply(u *logged) error {
	r := f.cursor.r
	if err := f.applyLocked(u); err != nil {
		return &ReplayError{Index: r.Index, Path: r.Path, Offset: r.Off, Err: err, unit: r.UnitStart}
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.status.Index, f.status.Time = r.Index, moment(r.Time)
	f.announceLocked()
	return nil
}

// applyLocked calls Apply while nothing reads, and shows no part of a unit.
func (f *Follower) applyLocked(u *logged) error {
	f.state.Lock()
	defer f.state.Unlock() // also if the machine ends the goroutine
	for ; u != nil; u = f.cursor.rest() {
		if err := f.m.replay(u); err != nil {
			return err
		}
	}
	return nil
}

// announceLocked tells the goroutines that wait that status has changed. The caller holds mu.
func (f *Follower) announceLocked() {
	if f.changed != nil {
		close(f.changed)
		f.changed = nil
	}
}

// run follows until ctx ends.
func (f *Follower) run(ctx context.Context) {
	defer close(f.done)
	defer f.cancel()
	defer func() { f.cursor.close() }()
	var err error = &storefile.Error{Is: ErrFailed, Msg: "following " + f.dir.Path + ": the machine ended the goroutine that it was called in (runtime.Goexit), and may hold a part of an update: begin anew, with another machine"}
	defer func() { f.end(err) }()
	err = f.follow(ctx)
}

// follow is run, but for its end.
func (f *Follower) follow(ctx context.Context) error {
	timer := time.NewTimer(f.poll)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-timer.C:
		}
		err := f.look(ctx)
		if ctx.Err() != nil {
			return nil
		}
		if err != nil {
			return err
		}
		timer.Reset(f.poll)
	}
}

// look applies what has come since the cursor was at the end.
func (f *Follower) look(ctx context.Context) error {
	start := f.dir.FS.Now()
	idle, err := f.cursor.idle()
	if err != nil {
		return err
	}
	if !idle {
		before := list(f.dir)
		err := f.catchUp(ctx)
		if err != nil && !before.outdates(err) {
			return err
		}
		f.cursor.doubted = err != nil
		return nil
	}
	f.mu.Lock()
	f.status.Current = start
	f.mu.Unlock()
	return nil
}

func (f *Follower) end(err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.err = err
	f.announceLocked()
}

// View calls read while no update is applied, and returns what it returns; several calls
// of View run at once. Updates are applied when it has returned, those of a [Store.Change]
// together: as in the store, read never sees a part of one, unless the follower has ended with
// an error.
func (f *Follower) View(read func() error) error {
	f.state.RLock()
	defer f.state.RUnlock()
	return read()
}

// Status says how far the follower has come.
func (f *Follower) Status() FollowerStatus {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.status
}

// WaitIndex waits until update index was applied: a reader sees what a writer has been
// told. The errors are that of ctx; ErrClosed when the follower has ended before that; and
// after it has ended with an error, that one, whatever was applied before.
func (f *Follower) WaitIndex(ctx context.Context, index uint64) error {
	for {
		f.mu.Lock()
		reached, err := f.status.Index >= index, f.err
		if f.changed == nil {
			f.changed = make(chan struct{})
		}
		changed := f.changed
		f.mu.Unlock()
		if reached || err != nil {
			return err
		}
		select {
		case <-changed:
		case <-f.done:
			if err := f.Err(); err != nil {
				return err
			}
			return fmt.Errorf("store: waiting for update %d of %s: following has ended: %w", index, f.dir.Path, storefile.Bare(ErrClosed))
		case <-ctx.Done():
			return fmt.Errorf("store: waiting for update %d of %s: %w", index, f.dir.Path, ctx.Err())
		}
	}
}

// Done returns a channel that is closed when the follower has ended.
func (f *Follower) Done() <-chan struct{} { return f.done }

// Err returns why the follower has ended: nil while it works, and if it was closed or its
// context ended.
func (f *Follower) Err() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.err
}

// Close ends the follower and waits for that. It returns what Err does.
func (f *Follower) Close() error {
	f.cancel()
	<-f.done
	return f.Err()
}

// A listed is what a store's directory held when it was listed.
type listed struct {
	dir   storefile.Dir
	files *storefile.Listing
	err   error
}

func list(dir storefile.Dir) listed {
	files, err := dir.List()
	return listed{dir, files, err}
}

// absent reports whether there was no store, or one that was being made: one without a
// log is none.
func (l listed) absent() bool {
	return errors.Is(l.err, fs.ErrNotExist) || l.err == nil && (len(l.files.Logs) == 0 || l.files.Interrupted(l.dir.Path) != nil)
}

// outdates reports whether err, of reading the store since, may come of its being restored
// meanwhile, in its place or from elsewhere. It is no evidence of damage then: the next look
// is. An error of the machine is never outdated.
func (l listed) outdates(err error) bool {
	var machine *machineError
	var refused *ReplayError // by Apply, which is not called twice with an update
	if errors.As(err, &machine) || errors.As(err, &refused) {
		return false
	}
	return errors.Is(err, fs.ErrNotExist) || l.remade()
}

// remade reports whether files came or went since.
func (l listed) remade() bool {
	now := list(l.dir)
	return l.absent() || now.absent() || l.err == nil && now.err == nil && !l.files.Same(now.files)
}
