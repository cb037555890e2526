package store

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path/filepath"
	"slices"
	"sync/atomic"

	"github.com/stateio/stateio"
	"github.com/stateio/stateio/internal/record"
	"github.com/stateio/stateio/internal/storefile"
	"github.com/stateio/stateio/internal/storefs"
	"github.com/stateio/stateio/logio"
)

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
// When Import returns nil, the store is durable. After a crash before that there is no
// store, Open refuses what was begun, and Import can be called again.
//
// The errors are a [*CorruptError], which is also [stateio.ErrCorrupt] for a state
// file, if the file is not whole or damaged; fs.ErrExist if there is a store;
// ErrTooLarge, ErrLocked, ErrNoSpace and others of the file system.
func Import(dir string, r io.ReaderAt, limit int64) error {
	src, err := openSource(r, limit)
	if err != nil {
		return fmt.Errorf("store: importing into %s: %w", dir, err)
	}
	return makeStore(dir, nil, src)
}

// Create makes a store in directory dir whose state at index 0 is what state
// writes: the way in for a program that has kept its state elsewhere. Its machine
// gets the state by Restore whenever it is opened, until a snapshot replaces it. dir
// must not hold a store; it is made if it is not there. Of opts, FileMode and
// DirMode count, and nil opts are the defaults.
//
// When Create returns nil, the store is durable. After a crash before that there is no
// store, Open refuses what was begun, and Create can be called again.
//
// The errors are that of WriteTo; fs.ErrExist if there is a store; ErrLocked,
// ErrNoSpace and others of the file system.
func Create(dir string, state io.WriterTo, opts *Options) error {
	if state == nil {
		return errors.New("store: creating a store needs a state, not nil: Open makes one without")
	}
	return makeStore(dir, opts, &source{state: state})
}

// A source is what a store is made of.
type source struct {
	store [16]byte // identity; zeros: a new one
	index uint64   // of the last update in the state
	time  int64    // of its commit, in nanoseconds since 1970; 0: not known
	state io.WriterTo
	// next returns the updates after the state, which get indexes of their own, and a time
	// if they have none; io.EOF ends them. Nil: there are none.
	next func() (logged, error)
}

// openSource tells what r is.
func openSource(r io.ReaderAt, limit int64) (*source, error) {
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
	src := &source{next: func() (logged, error) {
		update, err := updates.Read()
		return logged{data: update}, err
	}}
	if state != nil {
		src.state = readerState{state}
	}
	return src, nil
}

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

// makeStore makes a store of src in dir.
func makeStore(dir string, opts *Options, src *source) error {
	o, err := opts.withDefaults()
	if err != nil {
		return err
	}
	if dir == "" {
		return errNoDir
	}
	d := newDirectory(storefs.For(dir), dir, &o)
	if err := d.acquire(o.MustExist); err != nil {
		return err
	}
	defer d.release()
	return d.importSource(src)
}

// importSource makes the files of a new store.
//
// Commit point: the name of the log, made durable by SyncDir. The snapshot is
// there before.
func (d *directory) importSource(src *source) error {
	files, err := d.files().List()
	if err != nil {
		return err
	}
	if err := d.mayImport(files); err != nil {
		return err
	}
	if d.id = src.store; d.id == ([16]byte{}) {
		d.newID()
	}
	// What an attempt before has left goes first, while the name is there that tells so.
	if err := d.remove(files.Snaps, storefile.SnapSuffix); err != nil {
		return err
	}
	path := d.path(src.index, storefile.LogSuffix)
	log, _, err := d.prepareLog(path+storefile.MakeSuffix, minPiece, defaultPreallocate)
	if err != nil {
		return err
	}
	err = d.fillNew(log, files, src)
	if err == nil {
		err = d.publishLog(log, path, src.index, src.time)
	}
	if err != nil {
		// The log goes last: without it, what is left would pass for a damaged store.
		if rerr := d.remove([]uint64{src.index}, storefile.SnapSuffix); rerr != nil && !errors.Is(rerr, fs.ErrNotExist) {
			return errors.Join(err, rerr, log.f.Close())
		}
		return d.discard(log, err)
	}
	_ = log.f.Close() // everything in it was synced
	return nil
}

// fillNew writes all of a new store but the header of its log, which has the name that
// tells Open of a making that was interrupted.
func (d *directory) fillNew(log *logFile, files *storefile.Listing, src *source) error {
	if err := wrap("importing", d.fs.SyncDir(d.dir)); err != nil {
		return err
	}
	files.Tmps = slices.DeleteFunc(files.Tmps, func(name string) bool { return name == filepath.Base(log.path) })
	if err := d.tidy(files); err != nil {
		return err
	}
	if src.state != nil {
		if err := d.importState(src); err != nil {
			return err
		}
		if src.index == 0 {
			log.hdr.Kind = storefile.ImportKind
		}
	}
	return d.importUpdates(log, src)
}

// importState writes the snapshot that the store begins with.
func (d *directory) importState(src *source) error {
	m := &snapshotMaker{
		d: d, ctx: context.Background(), commits: func() uint64 { return 0 }, written: new(atomic.Int64), moved: new(atomic.Uint64), stage: new(atomic.Int32),
		writeTo: func(c *capture, w io.Writer) (err error) {
			defer recovered(&err, "WriteTo of the state")
			_, err = c.state.WriteTo(w)
			return err
		},
	}
	_, err := m.write(&capture{index: src.index, time: src.time, state: src.state})
	var damage *CorruptError
	if errors.As(err, &damage) && filepath.Dir(damage.Path) != d.dir {
		return fmt.Errorf("store: importing into %s: %w", d.dir, damage) // of what is imported
	}
	return err
}

// mayImport makes sure that there is no store yet. What an import has left that was
// interrupted is none.
func (d *directory) mayImport(files *storefile.Listing) error {
	if files.Empty() || files.Interrupted(d.dir) != nil {
		return nil
	}
	return &opError{is: fs.ErrExist, msg: d.dir + " holds a store already: import into another directory"}
}

// read returns the next update.
func (src *source) read() (logged, error) {
	if src.next == nil {
		return logged{}, io.EOF
	}
	return src.next()
}

// importPiece is how much is written at once, in bytes.
const importPiece = 256 << 10

// importUpdates writes updates into a log that has no name yet.
func (d *directory) importUpdates(log *logFile, src *source) error {
	var buf []byte
	now := max(d.fs.Now().UnixNano(), src.time)
	for index := src.index + 1; ; index++ {
		u, err := src.read()
		if err != nil && !errors.Is(err, io.EOF) {
			return fmt.Errorf("store: importing update %d: %w", index, err)
		}
		if err == nil {
			if err := importable(u.data, index); err != nil {
				return err
			}
			tag := storefile.Tag{Index: index, Timed: true, Time: u.at, State: u.state}
			if u.at == 0 {
				tag.Time = now
			}
			// Each one is a commit: all of them are durable before the log is.
			buf = storefile.AppendEntry(buf, log.end+int64(len(buf)), log.hdr.Salt, tag, u.data)
		}
		if err != nil || len(buf) >= importPiece {
			if _, err := log.f.WriteAt(buf, log.end); err != nil {
				return wrap("importing", err)
			}
			log.end += int64(len(buf))
			buf = buf[:0]
		}
		if err != nil {
			return wrap("importing", log.f.Truncate(log.end))
		}
	}
}

// importable says why an update of a state file can't be imported.
func importable(update []byte, index uint64) error {
	switch {
	case len(update) > maxMaxUpdate:
		return &opError{is: ErrTooLarge, msg: fmt.Sprintf("importing update %d of %d bytes: the most is %d", index, len(update), maxMaxUpdate)}
	case storefile.IsBackupEnd(update):
		return &opError{is: ErrCorrupt, msg: fmt.Sprintf("importing update %d: it is the end of a backup, so the file is a backup whose beginning is damaged", index)}
	}
	return nil
}
