package store

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path/filepath"
	"slices"
	"time"

	"github.com/cespare/xxhash/v2"

	"github.com/stateio/stateio"
	"github.com/stateio/stateio/internal/entry"
	"github.com/stateio/stateio/internal/latelog"
	"github.com/stateio/stateio/internal/record"
	"github.com/stateio/stateio/internal/storedir"
	"github.com/stateio/stateio/internal/storefile"
	"github.com/stateio/stateio/internal/storefs"
	"github.com/stateio/stateio/logio"
)

// Backup writes the state as it is now to w, as one state file of package
// stateio, and returns the index of the last update in it, which is durable by
// then. [Import] makes a store of such a file, with that index and the identity of
// this store, and [VerifyBackup] checks it. Updates go on meanwhile, and memory
// does not depend on the size of the state.
//
// The file says where it ends, so one that was cut, or damaged in any other way, is
// noticed. To package stateio, and to the original, it is an epoch of a snapshot,
// which is the state, and of one update, which says that all of it is there; a
// program that reads it as such passes over that update, whose first bytes are
// "stateio\n". What was written before an error is not a backup, and is not taken
// for one.
//
// Nothing can interrupt a Write: while one of w blocks, so does Backup, also after ctx has
// ended and the store is closed. Give a connection a deadline for writing.
//
// The errors are those of w, of Machine.Snapshot and its io.WriterTo, of ctx,
// ErrFailed, ErrClosed and ErrReentrant; with Options.Shadow, those of Snapshot.
func (s *Store) Backup(ctx context.Context, w io.Writer) (index uint64, err error) {
	capture := s.captureNow
	if s.shadow != nil {
		capture = s.captureWritten
	}
	c, err := capture(ctx)
	if err != nil {
		return 0, err
	}
	defer func() {
		if cerr := s.giveBack(c); err == nil {
			err = cerr
		}
	}()
	if err := s.Sync(ctx); err != nil {
		return 0, err
	}
	return c.index, s.backup(ctx, c, w)
}

// captureNow captures the state as it is now. It does not wait longer than ctx.
func (s *Store) captureNow(ctx context.Context) (*capture, error) {
	if s.within(inApply, inCapture, inView) {
		return nil, errReentrant
	}
	if err := ctx.Err(); err != nil {
		return nil, backupNotMade(err)
	}
	type result struct {
		c   *capture
		err error
	}
	captured := make(chan result)
	go func() {
		var r result
		r.c, r.err = s.captureState(ctx)
		select {
		case captured <- r:
		case <-ctx.Done():
			if r.err == nil {
				_ = s.giveBack(r.c) // nobody is there to be told
			}
		}
	}()
	s.watch.arm()
	select {
	case r := <-captured:
		return r.c, r.err
	case <-ctx.Done():
		return nil, backupNotMade(ctx.Err())
	}
}

// backupNotMade is the error of a backup whose caller waits no longer.
func backupNotMade(err error) error { return fmt.Errorf("store: backup not made: %w", err) }

// captureState captures the state between two updates, unless ctx has ended by then: updates
// don't wait for what nobody waits for.
func (s *Store) captureState(ctx context.Context) (*capture, error) {
	s.state.Lock()
	defer s.state.Unlock()
	if err := ctx.Err(); err != nil {
		return nil, backupNotMade(err)
	}
	c := &capture{index: s.index.Load(), time: s.appliedAt.Load(), within: inWrite}
	if err := s.whyDown(); err != nil {
		return nil, err
	}
	return c, s.callSnapshot(c)
}

// backup writes the captured state to w as a state file.
func (s *Store) backup(ctx context.Context, c *capture, w io.Writer) error {
	h := storefile.Header{Kind: storefile.BackupKind, Store: s.dir.ID, Base: c.index, Salt: storedir.NewSalt(), Time: c.time}
	out := logio.NewWriter(contextWriter{ctx, w}, 0)
	err := storefile.AppendBackupEntry(out, entry.Head{Kind: entry.Snapshot}, h.Encode())
	if err == nil {
		err = s.backupState(ctx, c, out, h)
	}
	if err == nil {
		err = c.sound()
	}
	if err != nil {
		return fmt.Errorf("store: writing a backup of index %d: %w", c.index, storefile.Bare(err))
	}
	return nil
}

// backupState writes the state and the end of a backup.
func (s *Store) backupState(ctx context.Context, c *capture, out *logio.Writer, h storefile.Header) error {
	var head [entry.HeadSize]byte
	entry.Head{Kind: entry.Snapshot}.Put(&head)
	at := record.Aligned(out.Tell())
	r, pipe := io.Pipe()
	defer func() { _ = r.Close() }() // ends writeTo also when w panics
	ended := make(chan error, 1)
	go func() {
		err := s.writeTo(ctx, c, pipe)
		_ = pipe.CloseWithError(err) // never fails
		ended <- err
	}()
	var digest xxhash.Digest
	digest.Reset()
	n, err := out.AppendFrom(io.MultiReader(bytes.NewReader(head[:]), io.TeeReader(r, &digest)))
	_ = r.CloseWithError(err) // never fails; ends writeTo if it has not ended
	if serr := <-ended; err == nil {
		err = serr
	}
	if err != nil {
		return err
	}
	end := storefile.EndOf(h, n-entry.HeadSize, digest.Sum64())
	return storefile.AppendBackupEntry(out, entry.Head{Kind: entry.Update, Epoch: uint64(at)}, end.Encode())
}

// contextWriter is an io.Writer until its context ends.
type contextWriter struct {
	ctx context.Context
	w   io.Writer
}

func (w contextWriter) Write(p []byte) (int, error) {
	if err := w.ctx.Err(); err != nil {
		return 0, err
	}
	return w.w.Write(p)
}

// BackupInfo says what a backup holds.
type BackupInfo struct {
	Store [16]byte // identity of the store that it was made of
	Index uint64   // of the last update in the state
	Bytes int64    // size of the state
	// Time is that of the commit of update Index; the zero time if it is not known.
	Time time.Time
}

// IsBackup reports whether the file in the first limit bytes of r begins as a backup
// does. It reads the first block. Errors are those of reading, and ErrVersion.
func IsBackup(r io.ReaderAt, limit int64) (bool, error) {
	h, err := storefile.HeaderOf(r, limit)
	if errors.Is(err, storefile.ErrNoHeader) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("store: reading %s: %w", storefile.NameOf(r), storefile.Bare(err))
	}
	return h.Kind == storefile.BackupKind, nil
}

// VerifyBackup reads the backup in the first limit bytes of r, as [Store.Backup]
// has written it, and makes sure that it is whole: nothing is missing, damaged, or
// of another backup. It holds no more than some blocks in memory.
//
// Errors are of type [*CorruptError] for a file that is not a whole backup;
// [ErrVersion], if a newer version of this package wrote it; that of ctx, and of
// reading.
func VerifyBackup(ctx context.Context, r io.ReaderAt, limit int64) (BackupInfo, error) {
	return RestoreBackup(ctx, io.Discard, r, limit)
}

// RestoreBackup is [VerifyBackup], and writes the state to w. What was written
// before an error is not to be used. The errors are also those of w.
func RestoreBackup(ctx context.Context, w io.Writer, r io.ReaderAt, limit int64) (BackupInfo, error) {
	b, err := storefile.OpenBackup(r, limit)
	if err != nil {
		return BackupInfo{}, err
	}
	_, err = b.WriteTo(contextWriter{ctx, w})
	return BackupInfo{Store: b.Header.Store, Index: b.Header.Base, Bytes: int64(b.End.Bytes), Time: moment(b.Header.Time)}, err
}

// Import makes a store in directory dir of the file in the first limit bytes of r.
// That is either a backup, as [Store.Backup] has written it: the store has its
// state, its index, and the identity of the store that it was made of. Or it is a
// state file of package stateio or its original: the store begins with the last
// snapshot of the file, at index 0, and the updates after it, which get the indexes
// from 1 on. dir must not hold a store; it is made if it is not there. Memory does
// not depend on the size of the state.
//
// The file must be whole. One that is empty, or ends in the middle of an entry, or
// is a backup without its end, is refused: it may have been cut.
//
// When Import returns nil, the store is durable. After an error or a crash there is no
// store: dir is as it was, or Open refuses what was begun. Import can be called again.
//
// The errors are ErrCorrupt if the file is not whole or damaged: a [*CorruptError] where the
// place is known, which wraps a [*stateio.CorruptError] for damage within a state file; ErrVersion if a newer version of
// this package wrote the backup; fs.ErrExist if there is a store; ErrTooLarge for an update
// of more than 1 GiB; ErrLocked, ErrNoSpace and others of the file system.
func Import(dir string, r io.ReaderAt, limit int64) error {
	src, err := openSource(r, limit)
	if err != nil {
		return damagedSource(fmt.Errorf("store: importing into %s: %w", dir, err))
	}
	_, err = makeStore(dir, nil, src, false)
	return damagedSource(err)
}

// damagedSource makes an error that is of damage to a state file one of this package as well.
func damagedSource(err error) error {
	var c *stateio.CorruptError
	if !errors.As(err, &c) {
		return err
	}
	return &damagedFile{err, &CorruptError{Path: c.Path, Offset: c.Offset, Err: c}}
}

// A damagedFile is an error of damage to a state file.
type damagedFile struct {
	error
	corrupt *CorruptError
}

// Unwrap returns what the error wraps, and what else it is.
func (e *damagedFile) Unwrap() []error { return []error{e.error, e.corrupt} }

// Create makes a store in directory dir whose state at index 0 is what state
// writes: the way in for a program that has kept its state elsewhere. Its machine
// gets the state by Restore whenever it is opened, until a snapshot replaces it. dir
// must not hold a store; it is made if it is not there. Of opts, FileMode and
// DirMode count, and nil opts are the defaults.
//
// When Create returns nil, the store is durable. After an error or a crash there is no
// store: dir is as it was, or Open refuses what was begun. Create can be called again.
//
// The errors are those of opts and of WriteTo; fs.ErrExist if there is a store;
// ErrLocked, ErrNoSpace and others of the file system.
func Create(dir string, state io.WriterTo, opts *Options) error {
	if state == nil {
		return errors.New("store: creating a store needs a state, not nil: Open makes one without")
	}
	_, err := makeStore(dir, opts, &source{state: state}, false)
	return err
}

// A source is what a store is made of.
type source struct {
	store [16]byte // identity; zeros: a new one
	index uint64   // of the last update in the state
	time  int64    // of its commit, in nanoseconds since 1970; 0: not known
	state io.WriterTo
	// next returns the updates after the state, which get indexes of their own; io.EOF ends
	// them. Those of one unit stay one. Nil: there are none.
	next    func() (logged, error)
	untimed bool // they have no times, and get that of the import
}

// openSource tells what r is. Its errors are to be a part of the caller's.
func openSource(r io.ReaderAt, limit int64) (*source, error) {
	src, err := sourceOf(r, limit)
	return src, storefile.Bare(err)
}

func sourceOf(r io.ReaderAt, limit int64) (*source, error) {
	switch h, err := storefile.HeaderOf(r, limit); {
	case errors.Is(err, storefile.ErrNoHeader):
		return openStateFile(r, limit)
	case err != nil:
		return nil, err
	case h.Kind != storefile.BackupKind:
		return nil, fmt.Errorf("it is a %v of a store, and neither a backup nor a state file: copy the store's directory, or make a backup of it", h.Kind)
	}
	b, err := storefile.OpenBackup(r, limit)
	if err != nil {
		return nil, err
	}
	return &source{store: b.Header.Store, index: b.Header.Base, time: b.Header.Time, state: b}, nil
}

// openStateFile is openSource for a state file, of which all must be there.
func openStateFile(r io.ReaderAt, limit int64) (*source, error) {
	path := storefile.NameOf(r)
	tail, err := record.FindTail(r, limit)
	if err != nil {
		return nil, err
	}
	if !tail.Damaged {
		switch {
		case limit == 0:
			return nil, storefile.Corrupt(path, 0, "the file is empty: there is nothing to import")
		case !tail.Found:
			return nil, storefile.Corrupt(path, 0, "no whole entry is in the file: it was cut, or is no state file")
		case tail.Torn || tail.Last.End < limit:
			return nil, storefile.Corrupt(path, tail.Last.End, "the file ends in an entry that is not whole: if it is what a crash has left, cut it to %d bytes; else copy it again", tail.Last.End)
		}
	}
	state, _, _, updates, err := stateio.RestoreStream(r, limit)
	if err == nil {
		err = wholeStart(r, limit, path)
	}
	if err != nil {
		return nil, err
	}
	src := &source{untimed: true, next: func() (logged, error) {
		update, err := updates.Read()
		if err == nil && storefile.IsBackupEnd(update) {
			err = backupEndError{}
		}
		return logged{data: update}, err
	}}
	if state != nil {
		src.state = readerState{state}
	}
	return src, nil
}

// A backupEndError says that a state file is none. The log of a store may hold an update that
// looks like the end of a backup, as it may hold any.
type backupEndError struct{}

func (backupEndError) Error() string {
	return "it is the end of a backup, so the file is a backup whose beginning is damaged"
}

func (backupEndError) Is(target error) bool { return target == ErrCorrupt }

// wholeStart makes sure that the file begins with a whole entry, or a hole that
// stateio.Truncate has left: a backup whose header is damaged is no state file.
func wholeStart(r io.ReaderAt, limit int64, path string) error {
	var start [record.HeaderSize]byte
	b, err := record.ReadAt(r, start[:], 0, limit)
	if err != nil || record.Zero(b) {
		return err
	}
	first := logio.NewReader(io.NewSectionReader(r, 0, limit), 0)
	_, err = first.Stream()
	if errors.Is(err, logio.ErrCorrupted) || err == nil && first.Offset() != 0 {
		return storefile.Corrupt(path, 0, "the first entry is damaged")
	}
	return err
}

// A readerState is a state that is read.
type readerState struct{ io.Reader }

func (s readerState) WriteTo(w io.Writer) (int64, error) { return io.Copy(w, s.Reader) }

// makeStore makes a store of src in dir, which must not exist if it is to be fresh. made says
// that dir is there now and was not before.
func makeStore(dir string, opts *Options, src *source, fresh bool) (made bool, err error) {
	o, err := opts.withDefaults()
	if err != nil {
		return false, err
	}
	if dir == "" {
		return false, errNoDir
	}
	fsy := storefs.For(dir)
	if dir, err = settled(fsy, dir); err != nil {
		return false, err
	}
	d := storedir.New(fsy, dir, o.FileMode, o.DirMode, latelog.New(o.Logger))
	made, err = d.AcquireNew(markOf(&d, src), fresh)
	if err != nil {
		return made, err
	}
	defer d.Release()
	return made, importSource(&d, src)
}

// markOf returns the path of the first log of a store that is made of src, while it is made.
func markOf(d *storedir.Dir, src *source) string { return d.Log(src.index) + storefile.MakeSuffix }

// importSource makes the files of a new store.
//
// Commit point: the name of the first log, made durable by SyncDir. The snapshot is
// there before, and so is the empty log that follows, if the first one holds updates, and so
// a seal. Until then the first log has a name that tells what all that is.
func importSource(d *storedir.Dir, src *source) error {
	files, err := d.List()
	if err != nil {
		return err
	}
	if err := mayImport(d, files); err != nil {
		return err
	}
	if d.ID = src.store; d.ID == ([16]byte{}) {
		d.NewID()
	}
	// What an attempt before has left goes first, while the name is there that tells so.
	d.CloseFirst()
	if err := d.Remove(files.Snaps, storefile.SnapSuffix); err != nil {
		return err
	}
	if err := d.Remove(files.Logs, storefile.LogSuffix); err != nil {
		return err
	}
	path := d.Log(src.index)
	mark, returned := markOf(d, src), false
	defer func() {
		if !returned { // the user's code has panicked, or ended the goroutine
			_ = d.MarkUnmade(mark)
		}
	}()
	err = makeFiles(d, path, files, src)
	returned = true
	if err != nil {
		err = errors.Join(err, d.MarkUnmade(mark))
	}
	return err
}

// makeFiles makes the log at path, and before it the snapshot that the store begins with.
func makeFiles(d *storedir.Dir, path string, files *storefile.Listing, src *source) error {
	log, _, err := d.PrepareLog(path+storefile.MakeSuffix, storedir.MinPiece, defaultPreallocate)
	if err != nil {
		return err
	}
	filled := false
	defer func() {
		if !filled { // the user's code has panicked, or ended the goroutine
			_ = giveUpNew(d, log, src.index, src.index, nil)
		}
	}()
	last, at, err := fillNew(d, log, files, src)
	filled = true
	if err == nil && last > src.index {
		err = d.MakeNext(last, at)
	}
	if err == nil {
		err = d.PublishLog(log, path, src.index, src.time)
	}
	if err != nil {
		return giveUpNew(d, log, src.index, last, err)
	}
	_ = log.File.Close() // everything in it was synced
	return nil
}

// giveUpNew removes what was made of a new store, whose first log is that of the updates after
// first up to last, because of err, which it returns. That log goes last: without it, what is
// left would pass for a damaged store. If it may have its name, all stays, and is the store then.
func giveUpNew(d *storedir.Dir, log *storedir.Log, first, last uint64, err error) error {
	if errors.Is(err, storedir.ErrStays) {
		_ = log.File.Close() // without the mark it must not go
		return err
	}
	rerr := removeIfThere(d, first, storefile.SnapSuffix)
	if rerr == nil && last > first {
		rerr = removeIfThere(d, last, storefile.LogSuffix)
	}
	if rerr != nil {
		return errors.Join(err, rerr, log.File.Close())
	}
	return d.Discard(log, err)
}

// removeIfThere removes one file, durably.
func removeIfThere(d *storedir.Dir, index uint64, suffix string) error {
	err := d.Remove([]uint64{index}, suffix)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}

// fillNew writes all of a new store but the header of its first log, which has the name that
// tells Open of a making that was interrupted, and the log after it. It returns the index of
// the last update, and the time of its commit.
func fillNew(d *storedir.Dir, log *storedir.Log, files *storefile.Listing, src *source) (last uint64, at int64, err error) {
	if err := storedir.Wrap("importing", d.FS.SyncDir(d.Path)); err != nil {
		return 0, 0, err
	}
	files.Tmps = slices.DeleteFunc(files.Tmps, func(name string) bool { return name == filepath.Base(log.Path) })
	if err := d.Tidy(files); err != nil {
		return 0, 0, err
	}
	if src.state != nil {
		if err := importState(d, src); err != nil {
			return 0, 0, err
		}
		if src.index == 0 {
			log.Header.Kind = storefile.ImportKind
		}
	}
	return importUpdates(d, log, src)
}

// importState writes the snapshot that the store begins with.
func importState(d *storedir.Dir, src *source) error {
	m := &storedir.SnapshotMaker{Dir: d, Ctx: context.Background(), Commits: func() uint64 { return 0 }, Progress: new(storedir.Progress)}
	_, err := m.Write(storedir.State{
		Index: src.index, Time: src.time,
		WriteTo: func(w io.Writer) (err error) {
			defer recovered(&err, "WriteTo of the state")
			_, err = src.state.WriteTo(w)
			return err
		},
		Sound: func() error { return nil },
	})
	var damage *CorruptError
	if errors.As(err, &damage) && filepath.Dir(damage.Path) != d.Path {
		return fmt.Errorf("store: importing into %s: %w", d.Path, storefile.Bare(damage)) // of what is imported
	}
	return err
}

// mayImport makes sure that there is no store yet. What an import has left that was
// interrupted is none.
func mayImport(d *storedir.Dir, files *storefile.Listing) error {
	none := files.Empty() || files.Interrupted(d.Path) != nil
	for _, base := range files.Logs {
		void, err := d.Void(base) // as what follows the first log is
		if err != nil && none {
			return err
		}
		none = none && void
	}
	if none {
		return nil
	}
	return &storefile.Error{Is: fs.ErrExist, Msg: d.Path + " holds a store already: import into another directory"}
}

// read returns the next update.
func (src *source) read() (logged, error) {
	if src.next == nil {
		return logged{}, io.EOF
	}
	return src.next()
}

// importUpdates writes updates into a log that has no name yet, and seals it. It returns the
// index of the last one, and the time of its commit.
func importUpdates(d *storedir.Dir, log *storedir.Log, src *source) (last uint64, at int64, err error) {
	w := storedir.NewFiller(log, src.index, src.time)
	now := max(nanoseconds(d.FS.Now()), src.time)
	for index := src.index + 1; ; index++ {
		u, err := src.read()
		switch {
		case errors.Is(err, io.EOF):
			err = w.Finish()
			last, at := w.Last()
			return last, at, err
		case err != nil:
			return 0, 0, fmt.Errorf("store: importing update %d: %w", index, storefile.Bare(err))
		case len(u.data) > maxMaxUpdate:
			return 0, 0, &storefile.Error{Is: ErrTooLarge, Msg: fmt.Sprintf("importing update %d of %d bytes: the most is %d", index, len(u.data), maxMaxUpdate)}
		}
		if src.untimed {
			u.at = now
		}
		if err := w.Add(storedir.Fill{Data: u.data, Time: u.at, State: u.state, Index: u.index, UnitEnd: u.unitEnd}); err != nil {
			return 0, 0, err
		}
	}
}
