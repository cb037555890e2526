package store

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"iter"
	"log/slog"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/stateio/stateio/internal/fsys"
	"github.com/stateio/stateio/internal/fsys/memfs"
	"github.com/stateio/stateio/internal/latelog"
	"github.com/stateio/stateio/internal/storedir"
	"github.com/stateio/stateio/internal/storefile"
	"github.com/stateio/stateio/internal/storefs"
)

// A Store keeps the state of a [Machine] in a directory. Its methods may be
// called from any number of goroutines at once, but not from within Apply or
// the function passed to View.
//
// It is made of parts, each of which says what guards its fields.
type Store struct {
	opts     Options
	recovery Recovery

	dir storedir.Dir    // the files, and what keeps others out
	say *latelog.Logger // what an operator must know

	admission  // from the caller to the machine
	pending    // from the machine to the disk
	committing // onto the disk
	status     // what came of it
	snapshots
	lifetime

	watch watch
}

// The locks are taken in this order, and none is held while user code runs but apply and
// state: apply, commit, state, spaceMu, batchMu, mu. The queue has one of its own, which
// is held for moments and under any of them.

// Open opens the store in the directory dir, which it makes if it is not there,
// gives m the state that the store holds, and returns it ready for use. m must
// be in its initial state, from which every update ever made is replayed as
// long as there is no snapshot. Nil opts are the defaults.
//
// Open changes nothing in the directory but for three things that it can prove
// to be without value: it cuts off the remainder of a commit that a crash
// interrupted before it was acknowledged, and removes files that were being
// written and an empty log. A log that is shared with a copy of the directory, by a
// hard link, is copied first. [Store.Recovery] tells what it found.
//
// The error is ErrLocked if the directory is open elsewhere, in this process or
// another, by whatever name; one that tells of each lock if none can be had;
// ErrCorrupt, with file and offset, if durable data is damaged or missing; ErrVersion
// if a newer version of this package wrote it; fs.ErrNotExist, with Options.MustExist,
// if there is no store; what Restore returns; a [*ReplayError], with what Apply
// returned, if Apply refuses an update that it has accepted before; what a [TypeChecker]
// says, before anything is made; and whatever the file system says. A panic in the machine goes on to the caller. After an error m may
// hold any part of the state.
func Open(dir string, m Machine, opts *Options) (*Store, error) {
	return OpenContext(context.Background(), dir, m, opts)
}

// OpenContext is Open for a caller that does not wait longer than ctx: when that
// ends, the next update is not replayed, and no more of a snapshot is read, and the
// error is that of ctx. The store does not depend on ctx afterwards.
func OpenContext(ctx context.Context, dir string, m Machine, opts *Options) (*Store, error) {
	o, err := opts.withDefaults()
	if err != nil {
		return nil, err
	}
	if dir == "" {
		return nil, errNoDir
	}
	return openOn(ctx, storefs.For(dir), dir, m, o)
}

// OpenMemory opens a store that is kept in memory, and is gone when it is closed: for
// tests of a program, and for one that runs without a disk. Everything else is as with
// [Open], the same code and the same errors; m must be in its initial state. What is told
// as durable is not. Its log stays in memory until a snapshot replaces it, so
// Options.SnapshotBytes bounds how much that is. The default of Options.KeepSnapshots is 1, and
// MustExist does not count: a program may pass the options that it has.
func OpenMemory(m Machine, opts *Options) (*Store, error) {
	o, err := opts.withDefaults()
	if err != nil {
		return nil, err
	}
	if opts == nil || opts.KeepSnapshots == 0 {
		o.KeepSnapshots = 1
	}
	o.MustExist = false
	return openOn(context.Background(), memfs.New(memfs.Options{}), "/memory", m, o)
}

// openOn opens the store in directory dir of a file system.
func openOn(ctx context.Context, fsy fsys.FS, dir string, m Machine, o Options) (_ *Store, err error) {
	if m == nil {
		return nil, errors.New("store: opening a store needs a Machine, not nil")
	}
	if err := checkType(m); err != nil {
		return nil, err
	}
	if dir, err = settled(fsy, dir); err != nil {
		return nil, err
	}
	say := latelog.New(o.Logger)
	s := &Store{
		opts:       o,
		dir:        storedir.New(fsy, dir, o.FileMode, o.DirMode, say),
		say:        say,
		admission:  admission{m: m, machine: clockedBy(m), applyWake: make(chan struct{}, 1)},
		pending:    pending{fill: new(batch), spare: new(batch)},
		committing: committing{commitWake: make(chan struct{}, 1), urgent: make(chan struct{}, 1), gathered: make(chan struct{}, 1)},
		status:     status{failed: make(chan struct{})},
		snapshots:  snapshots{snapshotBytes: o.SnapshotBytes, remade: map[uint64]bool{}},
		lifetime:   lifetime{closed: make(chan struct{}), settled: make(chan struct{})},
	}
	if o.Shadow != nil {
		s.shadow = &shadow{fresh: o.Shadow}
	}
	s.watch.s = s
	s.syncInterval.Store(int64(o.SyncInterval))
	if err := s.dir.Acquire(o.MustExist); err != nil {
		return nil, err
	}
	s.calls.Open()
	opened := false
	defer func() {
		if !opened { // also when the machine panics
			s.release()
		}
	}()
	if err := s.recover(ctx); err != nil {
		return nil, err
	}
	s.ctx, s.cancel = context.WithCancelCause(context.Background())
	s.workers.Go(s.applier)
	s.workers.Go(s.committer)
	opened = true
	return s, nil
}

var errNoDir = errors.New("store: the directory has no name: pass one, or \".\" for the working directory")

// Options change how a store works. The zero value of each field stands for
// its default. Open copies the struct.
type Options struct {
	// SnapshotBytes starts a snapshot by itself when this many bytes of log have
	// been written since the last one. 0, the default, means the size of the last
	// snapshot, and at least 64 MiB, so that snapshots at most double what is
	// written. Below zero: never, and the log grows until Snapshot is called.
	// Unless it is below zero, a disk that is nearly full starts one sooner, but mostly not
	// before the log is a sixteenth of the last snapshot; and so do more than 64 logs that
	// Open had to replay: each run of a program leaves one.
	// [Store.SetSnapshotBytes] changes it.
	SnapshotBytes int64

	// MustExist makes Open fail with fs.ErrNotExist where there is no store: a volume
	// that is not mounted, or a path with a mistake in it, is not a new store.
	MustExist bool

	// KeepSnapshots is the number of snapshots kept, with every update since the
	// oldest of them; the default is 2. With 1, a damaged snapshot can't be
	// replaced by an older one.
	KeepSnapshots int

	// KeepFor keeps snapshots and updates beyond KeepSnapshots, as many as are needed to
	// go back to any state of that time before now, by the times of commits: see
	// [RestoreAt] and [IndexAt]. Now is what the machine's clock says: one that jumps ahead
	// keeps less, but never less than KeepSnapshots. Snapshots whose time is still to come,
	// since a clock was ahead when they were made, count from when their files were changed
	// last. 0, the default, keeps no more.
	KeepFor time.Duration

	// MaxUpdate is the size of the largest update, in bytes; the default is
	// 64 MiB, and the most 1 GiB. Larger updates in the log are still read.
	MaxUpdate int

	// MaxPending is how many bytes of updates may wait to be written while a
	// commit is under way; further ones wait before they are applied. The default
	// is 4 MiB. A single update may be larger.
	MaxPending int

	// SyncInterval is the least time from one commit to the next. 0, the default,
	// commits each batch at once. With more, Update takes up to that much longer,
	// and the disk does less: useful with many writers or with Submit. A batch of
	// MaxPending bytes does not wait for it, nor do Sync, Flush, WaitIndex, ViewDurable,
	// Snapshot, Backup and Close. All updates of a commit have the time of its first one:
	// see [TimedMachine]. [Store.SetSyncInterval] changes it.
	SyncInterval time.Duration

	// PreallocateBytes is the most disk space that is set aside for the log at a
	// time, and zeroed; the default is 4 MiB. A new log begins with 16 KiB, and
	// doubles that. Small values make commits slower, large ones make one commit in
	// many take longer. Where there is less space than this, what is needed is set
	// aside, and as much again.
	PreallocateBytes int64

	// Shadow returns a second machine, in its initial state, that makes the snapshots. It
	// replays the log up to where a snapshot begins; then its Snapshot and WriteTo are
	// called, while nothing else is done there. So the machine that is used needs no copy
	// of its state, and no care for what runs concurrently with WriteTo: its Snapshot is
	// called for a state that was set before the first update, and else never. Updates wait
	// for a snapshot no longer than it takes to begin a log. Backup makes a snapshot, and
	// copies it. The price is the memory of a second state, and that each update is applied
	// a second time.
	//
	// It also proves, with each snapshot, that the machine has the state which a crash would
	// give back: an update that the shadow refuses is a [*ReplayError], and a difference
	// that a [Digester] tells is [ErrDiverged]. Then no snapshot is made, and the log is
	// kept. With [Untyped], typed machines can be shadows. One that is an io.Closer is closed
	// when it is used no more, at the latest by Close, even if it has not returned. Package
	// shadow has it in another process. Nil, the default: there is none.
	Shadow func() Machine

	// Progress is called by Open, one call at a time, with how many bytes were read, and how
	// many there are to read, about every 256 KiB and at the end. A snapshot counts twice, as
	// it is verified before the machine gets it; total changes where an older one has to be
	// used, and done never goes back. An Open that takes longer than some seconds tells
	// Logger as well how far it is. Nil, the default, is not called.
	Progress func(done, total int64)

	// FileMode and DirMode are the permissions of files and directories that the
	// store makes, less the umask: 0600 and 0700 by default. Those of existing
	// ones are not changed.
	FileMode, DirMode fs.FileMode

	// Logger gets what an operator must know: what Open found, at level Debug unless
	// something was damaged or cut off, and how far it is if it takes long; a snapshot
	// that failed; the store's failure; and waits that have lasted for seconds. It is
	// called in a goroutine of its own, one line at a time; a handler that blocks keeps
	// nobody waiting, and lines are lost when hundreds wait for it, or it panics. The
	// default is slog.Default().
	Logger *slog.Logger
}

const (
	defaultKeepSnapshots = 2
	defaultMaxUpdate     = 64 << 20
	maxMaxUpdate         = storefile.MaxUpdate
	defaultMaxPending    = 4 << 20
	defaultPreallocate   = 4 << 20
	minSnapshotBytes     = 64 << 20
)

// withDefaults returns a copy of o with every field set, or what is wrong.
func (o *Options) withDefaults() (Options, error) {
	var c Options
	if o != nil {
		c = *o
	}
	switch {
	case c.KeepSnapshots < 0:
		return c, fmt.Errorf("store: Options.KeepSnapshots is %d: it must be at least 1, or 0 for the default", c.KeepSnapshots)
	case c.KeepFor < 0:
		return c, fmt.Errorf("store: Options.KeepFor is %v: it must not be negative", c.KeepFor)
	case c.MaxUpdate < 0 || c.MaxUpdate > maxMaxUpdate:
		return c, fmt.Errorf("store: Options.MaxUpdate is %d: it must be between 1 and %d, or 0 for the default", c.MaxUpdate, maxMaxUpdate)
	case c.MaxPending < 0:
		return c, fmt.Errorf("store: Options.MaxPending is %d: it must not be negative", c.MaxPending)
	case c.SyncInterval < 0:
		return c, fmt.Errorf("store: Options.SyncInterval is %v: it must not be negative", c.SyncInterval)
	case c.PreallocateBytes < 0:
		return c, fmt.Errorf("store: Options.PreallocateBytes is %d: it must not be negative", c.PreallocateBytes)
	case c.FileMode&^fs.ModePerm != 0 || c.FileMode != 0 && c.FileMode&0o600 != 0o600:
		return c, fmt.Errorf("store: Options.FileMode is %v: it must be permissions that let the owner read and write", c.FileMode)
	case c.DirMode&^fs.ModePerm != 0 || c.DirMode != 0 && c.DirMode&0o700 != 0o700:
		return c, fmt.Errorf("store: Options.DirMode is %v: it must be permissions that let the owner do everything", c.DirMode)
	}
	setDefault(&c.KeepSnapshots, defaultKeepSnapshots)
	setDefault(&c.MaxUpdate, defaultMaxUpdate)
	setDefault(&c.MaxPending, defaultMaxPending)
	setDefault(&c.PreallocateBytes, defaultPreallocate)
	setDefault(&c.FileMode, 0o600)
	setDefault(&c.DirMode, 0o700)
	if c.Logger == nil {
		c.Logger = slog.Default()
	}
	return c, nil
}

func setDefault[T comparable](field *T, value T) {
	var zero T
	if *field == zero {
		*field = value
	}
}

// Recovery returns what Open found and did.
func (s *Store) Recovery() Recovery { return s.recovery }

// Recovery is what [Open] found and did.
type Recovery struct {
	Index    uint64 // of the last update, 0 if there was none
	Snapshot string // path of the snapshot that was restored; empty: there was none
	// SnapshotIndex is the index of that snapshot.
	SnapshotIndex uint64
	Refused       []RefusedSnapshot // newer snapshots that are damaged or can't be read, newest first

	Logs    int    // files that were replayed
	Updates uint64 // that were replayed
	Bytes   int64  // read from the snapshot, once, and the logs

	// TornBytes were cut off the newest log, at offset TornOffset of TornPath,
	// because of TornReason: the remainder of a commit that a crash interrupted
	// before it was acknowledged. TornBytes is 0 when there was none.
	TornBytes  int64
	TornPath   string
	TornOffset int64
	TornReason string

	// ClockAhead is how far the time of the last commit was ahead of this machine's clock,
	// 0 if it was not. Then the clock was wrong when that was made, or is now.
	ClockAhead time.Duration

	Took time.Duration
}

// A RefusedSnapshot is one that could not be used.
type RefusedSnapshot struct {
	Path string
	Err  error // a *CorruptError, or why the disk does not give it back
}

// refused reports whether the snapshot at path is one of Refused.
func (r *Recovery) refused(path string) bool {
	return slices.ContainsFunc(r.Refused, func(s RefusedSnapshot) bool { return s.Path == path })
}

// Rate returns the bytes read in a second.
func (r Recovery) Rate() float64 {
	if r.Took <= 0 {
		return 0
	}
	return float64(r.Bytes) / r.Took.Seconds()
}

// String returns the report in one line.
func (r Recovery) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "recovered index %d", r.Index)
	if r.Snapshot != "" {
		fmt.Fprintf(&b, " from %s", filepath.Base(r.Snapshot))
	}
	for _, s := range r.Refused {
		fmt.Fprintf(&b, ", refused %s (%v)", filepath.Base(s.Path), s.Err)
	}
	fmt.Fprintf(&b, ", replayed %s of %s", plural(r.Updates, "update"), plural(r.Logs, "log"))
	if r.TornBytes > 0 {
		fmt.Fprintf(&b, ", cut %s off %s at offset %d (%s)",
			plural(r.TornBytes, "torn byte"), filepath.Base(r.TornPath), r.TornOffset, r.TornReason)
	}
	fmt.Fprintf(&b, ", read %.1f MB in %v (%.0f MB/s)", float64(r.Bytes)/1e6, r.Took.Round(time.Microsecond), r.Rate()/1e6)
	return b.String()
}

// plural returns a number with what it counts.
func plural[N int | int64 | uint64](n N, what string) string {
	if n != 1 {
		what += "s"
	}
	return fmt.Sprintf("%d %s", n, what)
}

// Index returns the number of updates applied since the beginning of time: the
// index of the last one. It may not be durable yet; see Sync.
func (s *Store) Index() uint64 { return s.index.Load() }

// SetSyncInterval changes Options.SyncInterval, from the next commit on.
func (s *Store) SetSyncInterval(d time.Duration) {
	s.syncInterval.Store(int64(max(0, d)))
	s.Flush()
}

// SetSnapshotBytes changes Options.SnapshotBytes. A snapshot that is due with that
// starts with the next commit.
func (s *Store) SetSnapshotBytes(n int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.snapshotBytes = n
	s.setAutoLocked()
}

// Close waits for what is pending, gives up a snapshot that is being made, and
// releases the directory. An update in flight gets its result; one that was not
// applied yet gets ErrClosed. A second call waits for the first and returns the
// same.
//
// A snapshot that has started because Open had to replay more than 64 logs is not given up:
// Close waits for it, up to a minute. It starts with the first update of a run, so a program
// that is run again and again, and makes few updates each time, gets one every 64 runs. One
// whose snapshots take longer, or with Options.SnapshotBytes below zero, calls Snapshot.
//
// A WriteTo that does not return within seconds is left to itself, and so are Close of
// what it wrote and all methods of a shadow machine.
//
// The error is ErrFailed if the store had failed, or does now; or it says what
// kept it from sealing the log; what was acknowledged is durable in any case. With
// ErrReentrant, from within the store's own machine or View, nothing is closed.
func (s *Store) Close() error { return s.CloseContext(context.Background()) }

// CloseContext is Close for a caller that does not wait longer than ctx: after that
// the error is that of ctx, no update is taken any more, and closing goes on, without a
// snapshot.
func (s *Store) CloseContext(ctx context.Context) error {
	if s.within(inApply, inCapture, inView, inWrite, inHeldWrite) {
		return errReentrant
	}
	s.mu.Lock()
	first := !s.closing
	s.closing = true
	s.mu.Unlock()
	if first {
		s.shut()
		closing := func() {
			s.closeErr = s.close(ctx)
			close(s.closed)
		}
		if ctx.Done() == nil {
			closing()
		} else {
			go closing()
		}
	}
	select {
	case <-s.closed:
		return s.closeErr
	case <-ctx.Done():
		return fmt.Errorf("store: closing %s, which goes on: %w", s.dir.Path, ctx.Err())
	}
}

// Done returns a channel that is closed when the store is: when Close is through, whoever has
// called it. What belongs to the store, and has goroutines of its own, ends then.
func (s *Store) Done() <-chan struct{} { return s.closed }

// shut takes no more updates.
func (s *Store) shut() {
	s.mu.Lock()
	if s.tooManyLogs && s.index.Load() > s.recovery.Index {
		s.autoSnapshotLocked() // what was applied may not be committed yet
	}
	if s.err == nil {
		s.err = &storefile.Error{Is: ErrClosed, Msg: s.dir.Path + " is closed"}
	}
	s.down.Store(true)
	s.announceLocked()
	s.mu.Unlock()
	s.refuseQueued()
	s.Flush() // what awaitDue waits for is not what is pending
}

func (s *Store) close(ctx context.Context) error {
	s.awaitDue(ctx)
	s.cancel(&storefile.Error{Is: ErrClosed, Msg: "the snapshot was given up because the store was closed"})
	s.settleApply()
	close(s.settled)
	s.workers.Wait()
	if s.shadow != nil {
		s.shadow.end(s)
	}
	s.commit.Lock()
	defer s.commit.Unlock()
	s.gather()
	err := s.commitPending()
	if b := s.flightLost(err); b != nil {
		// Not by wrap: it is no ErrNoSpace, which says that nothing was applied.
		err = s.lose(b, fmt.Errorf("the store was closed before there was space: %v", err)) //nolint:errorlint // see above
	}
	if err == nil {
		err = s.protect()
	}
	s.watch.stop()
	s.release()
	s.say.Wait()
	return err
}

// dueWithin is how long Close waits for a snapshot that is due because of manyLogs.
const dueWithin = time.Minute

// awaitDue waits for the end of a snapshot that is due because of manyLogs. A program that runs
// briefly, again and again, would never have one, and leave one more log each time.
func (s *Store) awaitDue(ctx context.Context) {
	s.mu.Lock()
	due := s.auto
	if !s.tooManyLogs {
		due = nil
	}
	s.mu.Unlock()
	if due == nil {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, dueWithin)
	defer cancel()
	select {
	case <-due.done:
	case <-ctx.Done():
		s.say.Warn("store: closing gave up a snapshot that is due after many runs: without one, each leaves another log to be replayed", "dir", s.dir.Path)
	}
}

// settleApply waits until what is being applied is in the batch. Nothing more will be:
// what is queued is refused, also what comes while this holds apply.
func (s *Store) settleApply() {
	s.apply.Lock()
	s.unlockApply(idle)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.announceLocked() // a follower that looked meanwhile took what was refused for pending
}

// protect ends the log with a seal and an empty log after it, so that any
// damage to it, and the loss of any file, will be noticed. Without that, all
// is durable nevertheless, so it is no error if there is no space for it.
func (s *Store) protect() error {
	if s.log == nil {
		return nil
	}
	if index := s.index.Load(); s.log.Header.Base < index {
		next, err := s.prepareLog(s.dir.Log(index)+storefile.TmpSuffix, 0)
		if err == nil {
			err = s.switchLog(next, index)
		}
		if err != nil && !errors.Is(err, ErrNoSpace) {
			return err
		}
	}
	// Zeros up to the end of a file mean the same as its end.
	_ = s.log.File.Truncate(s.log.End)
	return nil
}

// release closes the files and gives the locks back.
func (s *Store) release() {
	if s.log != nil {
		_ = s.log.File.Close() // everything in it was synced, or the store has failed
	}
	s.calls.Release()
	s.dir.Release()
}

// A lifetime is what ends with the store.
type lifetime struct {
	ctx     context.Context
	cancel  context.CancelCauseFunc // ends background work
	workers sync.WaitGroup          // all that goes on in the background
	settled chan struct{}           // closed by Close when nothing more is applied

	closed   chan struct{} // closed when Close is through
	closeErr error         // its result, then
}

// A Keeper keeps the state of a [Machine]: on one computer, as a *Store does, of [Open] or
// [OpenMemory], or on several, as the Node of package cluster does. A program that holds a
// Keeper takes any of them, and changes the line that opens it. Its methods may be called
// from any number of goroutines at once, but not from within the machine.
type Keeper interface {
	// Update makes an update, and returns when it is durable. An error that is ErrUnknown
	// leaves open whether it was made; with all others it was not, and will not be. The
	// slice is the caller's: whatever the error, it is neither kept nor changed once Update
	// has returned. A Keeper that still needs it, to send it on or to log it, makes a copy.
	Update(ctx context.Context, update []byte) (result any, err error)
	// Sync waits until all that was acknowledged is durable, and seen by readers of this
	// Keeper: on a cluster, what any node has acknowledged.
	Sync(ctx context.Context) error
	// ViewLocal calls read while no update is applied to the state that this Keeper has. A
	// node of a cluster may lack what other nodes have acknowledged, unless Sync is called
	// before.
	ViewLocal(read func() error) error
	// Index returns the number of updates applied since the beginning of time.
	Index() uint64
	// WaitIndex waits until update index is durable, and seen by readers of this Keeper.
	WaitIndex(ctx context.Context, index uint64) error
	// Updates returns the updates from index from on that are kept, in order, and then
	// those that come, until ctx ends. Their Data is the caller's. The error is
	// ErrNotRetained for those that are not kept any more.
	Updates(ctx context.Context, from uint64) iter.Seq2[Update, error]
	// Snapshot makes a snapshot of the state as it is now.
	Snapshot(ctx context.Context) error
	// Backup writes the state as it is now as one state file.
	Backup(ctx context.Context, w io.Writer) (index uint64, err error)
	// Close waits for what is pending and closes.
	Close() error
	// CloseContext is Close for a caller that does not wait longer than ctx.
	CloseContext(ctx context.Context) error
}

var _ Keeper = (*Store)(nil)

// ViewLocal is [Store.View]: the state of a store is here. It makes a Store a [Keeper].
func (s *Store) ViewLocal(read func() error) error { return s.View(read) }
