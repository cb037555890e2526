package store

import (
	"context"
	"errors"
	"fmt"
	"math"
	"path/filepath"
	"time"

	"github.com/stateio/stateio/internal/fsys"
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

	directory  // the files, and what keeps others out
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
// another, by whatever name; one that tells of each lock if none can be had; ErrCorrupt, with
// file and offset, if durable data is damaged or missing; ErrVersion if a newer
// version of this package wrote it; what Apply or Restore return; and whatever
// the file system says. A panic in the machine goes on to the caller. After
// an error m may hold any part of the state.
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

// openOn opens the store in directory dir of a file system.
func openOn(ctx context.Context, fsy fsys.FS, dir string, m Machine, o Options) (_ *Store, err error) {
	if m == nil {
		return nil, errors.New("store: opening a store needs a Machine, not nil")
	}
	s := &Store{
		opts:       o,
		directory:  newDirectory(fsy, dir, &o),
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
	if _, ok := s.fs.(fsys.OS); ok {
		// The working directory may change while the store is open.
		if s.dir, err = filepath.Abs(dir); err != nil {
			return nil, fmt.Errorf("store: %w", err)
		}
	}
	if err := s.acquire(o.MustExist); err != nil {
		return nil, err
	}
	s.slot.slot.Store(int32(takeSlot()))
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

// recover brings machine and directory into the state from which the store
// goes on.
func (s *Store) recover(ctx context.Context) error {
	start := time.Now()
	files, err := s.files().List()
	if err != nil {
		return err
	}
	l := &loader{dir: s.files(), m: s.m, machine: s.machine, list: files, target: math.MaxUint64, owner: true, ctx: ctx}
	err = l.load()
	if err != nil {
		return err
	}
	s.id, s.durable = l.store, l.report.Index
	s.index.Store(l.report.Index)
	s.appliedAt.Store(l.time)
	l.report.ClockAhead = ahead(l.time, s.fs.Now())
	err = s.tidy(files)
	switch {
	case err != nil:
	case l.tail == nil:
		err = s.begin()
	default:
		err = s.proceed(l)
	}
	if err != nil {
		return err
	}
	s.noteSnapshot(l)
	if err := s.finishInitial(); err != nil {
		return err
	}
	if err := s.countFiles(); err != nil {
		return err
	}
	l.report.Took = time.Since(start)
	s.recovery = l.report
	s.logRecovery()
	s.say.wait()
	return nil
}

// begin makes the first log of a new store. On a full disk that is left to the
// first update.
func (s *Store) begin() error {
	s.newID()
	// An Open before this one may have made the directory, and failed here.
	if err := s.fs.SyncName(s.dir); err != nil {
		return wrap("making a store", err)
	}
	log, err := s.createLog(0)
	if errors.Is(err, ErrNoSpace) {
		return nil
	}
	if err != nil {
		return err
	}
	s.setLog(log)
	return nil
}

// proceed makes the newest log ready to be written on.
func (s *Store) proceed(l *loader) error {
	path := l.tail.Path
	log, err := s.openTail(path)
	if err != nil {
		return err
	}
	err = log.becomeOwn()
	if err == nil || errors.Is(err, fsys.ErrNoSpace) { // then the first update makes the copy
		err = s.settleFiles(log, l)
	}
	if err != nil {
		_ = log.Close()
		return wrap("recovering "+path, err)
	}
	tail := &logFile{
		f: log, path: path, hdr: l.tail.Header, digest: l.tail.EndDigest, piece: min(max(minPiece, l.tail.End), s.opts.PreallocateBytes), most: s.opts.PreallocateBytes,
		end: l.tail.End, next: l.tail.End, durable: l.tail.End,
	}
	tail.size.Store(l.tail.End)
	s.setLog(tail)
	if s.first != nil {
		_ = s.first.Close() // it was empty, and is removed
		s.first = nil
	}
	return nil
}

// openTail opens the log that is written on, locked, unless exclude has. They differ
// when empty logs follow.
func (s *Store) openTail(path string) (*ownFile, error) {
	f := s.first
	if f != nil && path == s.firstPath {
		s.first = nil
		return s.own(f, path), nil
	}
	f, err := s.openLocked(path)
	if f == nil {
		return nil, err
	}
	return s.own(f, path), nil
}

// settleFiles makes durable what was recovered: what a process that was killed
// left in the cache is not. The newest log is open in f.
func (s *Store) settleFiles(f *ownFile, l *loader) error {
	for _, path := range l.toSync {
		if path == l.tail.Path {
			continue
		}
		if err := s.syncFile(path); err != nil {
			return err
		}
	}
	if l.report.TornBytes > 0 {
		if err := f.cutTail(l.tail.End); err != nil {
			return err
		}
	}
	if err := f.Sync(); err != nil {
		return err
	}
	for _, void := range l.voids {
		if err := s.fs.Remove(void); err != nil {
			return err
		}
	}
	return s.fs.SyncDir(s.dir)
}

// noteSnapshot sets what is known of the newest snapshot.
func (s *Store) noteSnapshot(l *loader) {
	if l.report.Snapshot != "" && len(l.report.Refused) == 0 {
		s.newest = snapshotInfo{true, l.report.SnapshotIndex, l.snapshotSize}
		s.stats.snapshotTime = s.modTime(l.report.Snapshot)
	}
	s.sinceSnapshot = l.report.Bytes - l.snapshotSize
	s.setAutoLocked()
	if l.report.Logs > manyLogs {
		s.autoAt = 0 // with the next commit
	}
}

// manyLogs is how many logs, one for each time the store was closed, may have to
// be replayed before a snapshot is due however small they are.
const manyLogs = 64

func (s *Store) logRecovery() {
	r := s.recovery
	for _, refused := range r.Refused {
		s.say.warn("store: snapshot is damaged, an older one was used", "path", refused.Path, "error", refused.Err)
	}
	s.batchMu.Lock()
	s.sayAheadLocked(s.appliedAt.Load(), s.fs.Now())
	s.batchMu.Unlock()
	if r.TornBytes > 0 {
		s.say.warn("store: cut off the remainder of an unfinished commit", "path", r.TornPath, "offset", r.TornOffset, "bytes", r.TornBytes)
	}
	if len(r.Refused) > 0 || r.TornBytes > 0 {
		s.say.info("store: open", "dir", s.dir, "recovery", lateString{r})
		return
	}
	s.say.debug("store: open", "dir", s.dir, "recovery", lateString{r})
}

// Recovery returns what Open found and did.
func (s *Store) Recovery() Recovery { return s.recovery }

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
