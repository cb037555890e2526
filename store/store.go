package store

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"github.com/stateio/stateio/internal/fsys"
	"github.com/stateio/stateio/internal/storefs"
)

// A Store keeps the state of a [Machine] in a directory. Its methods may be
// called from any number of goroutines at once, but not from within Apply or
// the function passed to View.
type Store struct {
	fs       fsys.FS
	dir      string
	opts     Options
	m        Machine
	id       [16]byte
	lock     io.Closer // of the directory
	recovery Recovery

	// snapshots is held while a snapshot is made, from capture to retention.
	snapshots sync.Mutex
	// commit is held by who writes to the log; it owns the fields of log that
	// are marked so.
	commit sync.Mutex
	woken  *signal // signal of the last batch, nil if nobody asked for it; guarded by commit
	// state orders the calls of the machine: held exclusively by Apply, Snapshot
	// and whoever needs to know that no update is between its reservation and
	// its place in the batch; shared by View.
	state sync.RWMutex
	// mu guards all below, and is only held for moments. The locks are taken in
	// the order in which they stand here.
	mu sync.Mutex

	log     *logFile // being written; nil while there was no space to make the first
	index   uint64   // of the last update applied
	fill    *batch   // updates applied and not yet taken for writing
	flight  *batch   // being written, or nil
	spare   *batch   // neither
	durable uint64   // index of the last durable update
	gate    bool     // no update may be applied: the log is being changed
	err     error    // why the store takes no more updates: ErrFailed or ErrClosed
	changed chan struct{}
	stats   counters

	user atomic.Int32 // calls of Apply and View's function that are under way

	snapshotIndex uint64 // of the newest snapshot; guarded by mu
	snapshotSize  int64  // of its file in bytes; guarded by mu
	hasSnapshot   bool   // guarded by mu
	autoAt        int64  // log bytes at which the next snapshot starts by itself; guarded by mu
	sinceSnapshot int64  // log bytes behind the newest snapshot; guarded by mu
	autoRunning   bool   // guarded by mu

	wake    chan struct{} // of the committer
	ctx     context.Context
	cancel  context.CancelFunc // ends background work
	workers sync.WaitGroup

	closing  bool          // Close was called; guarded by mu
	closed   chan struct{} // closed when Close is through
	closeErr error         // its result, then
}

// Open opens the store in the directory dir, which it makes if it is not there,
// gives m the state that the store holds, and returns it ready for use. m must
// be in its initial state, from which every update ever made is replayed as
// long as there is no snapshot. Nil opts are the defaults.
//
// Open changes nothing in the directory but for three things that it can prove
// to be without value: it cuts off the remainder of a commit that a crash
// interrupted before it was acknowledged, and removes files that were being
// written and an empty log. [Store.Recovery] tells what it found.
//
// The error is ErrLocked if the directory is open elsewhere; ErrCorrupt, with
// file and offset, if durable data is damaged or missing; ErrVersion if a newer
// version of this package wrote it; what Apply or Restore return; and whatever
// the file system says. A panic in the machine goes on to the caller. After
// an error m may hold any part of the state.
func Open(dir string, m Machine, opts *Options) (*Store, error) {
	o, err := opts.withDefaults()
	if err != nil {
		return nil, err
	}
	if m == nil {
		return nil, errors.New("store: opening a store needs a Machine, not nil")
	}
	s := &Store{
		fs: storefs.For(dir), dir: dir, opts: o, m: m,
		fill: new(batch), spare: new(batch),
		wake: make(chan struct{}, 1), closed: make(chan struct{}),
	}
	if _, ok := s.fs.(fsys.OS); ok {
		// The working directory may change while the store is open.
		if s.dir, err = filepath.Abs(dir); err != nil {
			return nil, fmt.Errorf("store: %w", err)
		}
	}
	if err := s.acquire(); err != nil {
		return nil, err
	}
	opened := false
	defer func() {
		if !opened { // also when the machine panics
			s.release()
		}
	}()
	if err := s.recover(); err != nil {
		return nil, err
	}
	s.ctx, s.cancel = context.WithCancel(context.Background())
	s.workers.Go(s.committer)
	opened = true
	return s, nil
}

// acquire takes the lock of the directory.
func (s *Store) acquire() error {
	if err := makeDir(s.fs, s.dir, s.opts.DirMode); err != nil {
		return err
	}
	l, err := list(s.fs, s.dir)
	if err != nil {
		return err
	}
	if l.empty() && len(l.foreign) > 0 {
		return fmt.Errorf("store: %s holds %s, which no store has made: give the store a directory of its own", s.dir, l.foreign[0])
	}
	if !l.lock && !l.empty() {
		// A directory that was copied here. Nothing is made in it before it is
		// known to be one that this version can use.
		if err := checkVersion(s.fs, s.dir, l); err != nil {
			return err
		}
	}
	s.lock, err = s.fs.Lock(filepath.Join(s.dir, lockName), s.opts.FileMode)
	if errors.Is(err, fsys.ErrLocked) {
		return &opError{is: ErrLocked, msg: fmt.Sprintf("%s is open elsewhere: close that store, or end that process, first", s.dir)}
	}
	if err != nil {
		return s.wrap("opening "+s.dir, err)
	}
	return nil
}

// checkVersion makes sure that the newest file of a store is of a version that
// this package knows.
func checkVersion(fs fsys.FS, dir string, l *listing) error {
	name, k := "", logKind
	if len(l.logs) > 0 {
		name = fileName(l.logs[len(l.logs)-1], logSuffix)
	} else {
		name, k = fileName(l.snaps[len(l.snaps)-1], snapSuffix), snapKind
	}
	path := filepath.Join(dir, name)
	f, size, err := openFile(fs, path)
	if err != nil {
		return err
	}
	defer f.Close()
	e := newEntries(f, path, 0, min(size, int64(headerSize)))
	defer e.close()
	if _, err = readHeader(e, k, 0); errors.Is(err, ErrVersion) {
		return err
	}
	return nil // what else is wrong is found, and told better, later
}

// recover brings machine and directory into the state from which the store
// goes on.
func (s *Store) recover() error {
	start := time.Now()
	files, err := list(s.fs, s.dir)
	if err != nil {
		return err
	}
	l := &loader{fs: s.fs, dir: s.dir, m: s.m, list: files, target: math.MaxUint64, owner: true}
	err = l.load()
	if err != nil {
		return err
	}
	s.id, s.index, s.durable = l.store, l.report.Index, l.report.Index
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
	l.report.Took = time.Since(start)
	s.recovery = l.report
	s.logRecovery()
	return nil
}

// begin makes the first log of a new store. On a full disk that is left to the
// first update.
func (s *Store) begin() error {
	s.newID()
	// An Open before this one may have made the directory, and failed here.
	if err := s.fs.SyncDir(filepath.Dir(s.dir)); err != nil {
		return s.wrap("making a store", err)
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
	path := l.tail.path
	f, err := s.fs.Open(path, fsys.ReadWrite, 0)
	if err != nil {
		return s.wrap("opening", err)
	}
	if err := s.settleFiles(f, l); err != nil {
		_ = f.Close()
		return s.wrap("recovering "+path, err)
	}
	s.setLog(&logFile{
		f: f, path: path, hdr: l.tail.hdr, digest: l.tail.endDigest, piece: s.opts.PreallocateBytes,
		size: l.tail.end, end: l.tail.end, next: l.tail.end, durable: l.tail.end,
	})
	return nil
}

// settleFiles makes durable what was recovered: what a process that was killed
// left in the cache is not. The newest log is open in f.
func (s *Store) settleFiles(f fsys.File, l *loader) error {
	for _, path := range l.toSync {
		if path == l.tail.path {
			continue
		}
		if err := s.syncFile(path); err != nil {
			return err
		}
	}
	if l.report.TornBytes > 0 {
		if err := f.Truncate(l.tail.end); err != nil {
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

func (s *Store) syncFile(path string) error {
	f, err := s.fs.Open(path, fsys.ReadWrite, 0)
	if err != nil {
		return err
	}
	defer f.Close()
	return f.Sync()
}

// setLog makes log the one that is written.
func (s *Store) setLog(log *logFile) {
	s.log = log
	s.fill.start = log.next
}

// tidy removes what was being written when the store was last used.
func (s *Store) tidy(l *listing) error {
	for _, name := range l.tmps {
		if err := s.fs.Remove(filepath.Join(s.dir, name)); err != nil {
			return s.wrap("removing an unfinished file", err)
		}
	}
	return nil
}

// noteSnapshot sets what is known of the newest snapshot.
func (s *Store) noteSnapshot(l *loader) {
	if l.report.Snapshot != "" && len(l.report.Refused) == 0 {
		s.hasSnapshot, s.snapshotIndex = true, l.report.SnapshotIndex
		s.snapshotSize = l.snapshotSize
	}
	s.sinceSnapshot = l.report.Bytes - l.snapshotSize
	s.setAuto()
	if l.report.Logs > manyLogs && s.opts.SnapshotBytes >= 0 {
		s.autoAt = 0 // with the next commit
	}
}

// manyLogs is how many logs, one for each time the store was closed, may have to
// be replayed before a snapshot is due however small they are.
const manyLogs = 64

func (s *Store) logRecovery() {
	r := s.recovery
	for _, refused := range r.Refused {
		s.opts.Logger.Warn("store: snapshot is damaged, an older one was used", "path", refused.Path, "error", refused.Err)
	}
	if r.TornBytes > 0 {
		s.opts.Logger.Warn("store: cut off the remainder of an unfinished commit", "path", r.TornPath, "offset", r.TornOffset, "bytes", r.TornBytes)
	}
	s.opts.Logger.Info("store: open", "dir", s.dir, "recovery", r.String())
}

// Recovery returns what Open found and did.
func (s *Store) Recovery() Recovery { return s.recovery }

// Index returns the number of updates applied since the beginning of time: the
// index of the last one. It may not be durable yet; see Sync.
func (s *Store) Index() uint64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.index
}

// wrap makes an error of the file system one of this package.
func (s *Store) wrap(doing string, err error) error {
	if err == nil {
		return nil
	}
	if errors.Is(err, fsys.ErrNoSpace) && !errors.Is(err, ErrNoSpace) {
		return &opError{is: ErrNoSpace, msg: doing, cause: err}
	}
	return fmt.Errorf("store: %s: %w", doing, err)
}

// newID draws the identity of a new store.
func (s *Store) newID() { _, _ = rand.Read(s.id[:]) } // which never fails

// newSalt returns a random salt for a file's tags.
func newSalt() uint64 {
	var b [8]byte
	_, _ = rand.Read(b[:]) // which never fails
	return binary.LittleEndian.Uint64(b[:])
}
