package store

import (
	"errors"
	"fmt"
	"io/fs"

	"github.com/stateio/stateio/internal/fsys"
	"github.com/stateio/stateio/internal/storefile"
)

// prepareLog makes a log under the temporary name tmp and sets disk space aside: piece
// bytes if that is more than it needs, and never more than most bytes at once. short says
// that it could not have as much as it wanted.
func (d *directory) prepareLog(tmp string, piece, most int64) (log *logFile, short bool, err error) {
	f, err := d.createTmp(tmp)
	if err != nil {
		return nil, false, err
	}
	log = &logFile{
		f: d.own(f, tmp), path: tmp, hdr: storefile.Header{Kind: storefile.LogKind, Store: d.id, Salt: newSalt()}, piece: min(piece, most), most: most,
		next: int64(storefile.HeaderSize), durable: int64(storefile.HeaderSize), end: int64(storefile.HeaderSize),
	}
	if err := lockLog(f); err != nil {
		return nil, false, d.discard(log, wrap("making a log", err))
	}
	short, err = log.setAside(int64(storefile.HeaderSize+storefile.TailRoom), nil)
	if err != nil {
		return nil, short, d.discard(log, err)
	}
	if err := f.Sync(); err != nil {
		return nil, short, d.discard(log, wrap("making a log", err))
	}
	return log, short, nil
}

// lockLog locks a log that nobody else has locked, where that can be done: the lock
// keeps out whoever opens the log for writing.
func lockLog(f fsys.File) error {
	if err := f.Lock(); !errors.Is(err, errors.ErrUnsupported) {
		return err
	}
	return nil
}

// writeHeader gives a prepared log its header, durably, or gives it up. at is the time of
// the commit of update base, in nanoseconds since 1970.
func (d *directory) writeHeader(log *logFile, base uint64, at int64) error {
	log.hdr.Base, log.hdr.Time = base, at
	b := log.hdr.AppendTo(nil)
	log.digest = storefile.Digest(0).AddAll(b, 0)
	_, err := log.f.WriteAt(b, 0)
	if err == nil {
		err = log.f.Datasync()
	}
	if err != nil {
		return d.discard(log, wrap("making a log", err))
	}
	return nil
}

// publishLog gives a prepared log its header, as writeHeader does, and its name.
func (d *directory) publishLog(log *logFile, path string, base uint64, at int64) error {
	err := d.writeHeader(log, base, at)
	if err != nil {
		return err
	}
	tmp := log.path
	log.path = path
	if err = d.fs.Rename(tmp, path); err != nil {
		_ = d.fs.Remove(tmp) // whatever happened, it has one of the names
	} else {
		log.f.Renamed(path)
		err = d.fs.SyncDir(d.dir)
	}
	if err != nil {
		return d.unpublish(log, err)
	}
	return nil
}

// errStays says that a log which was given up is there, or may be after a crash.
// The log before must not go on then: nobody would look for what it holds after
// where the new one begins.
var errStays = errors.New("it may still be there")

// unpublish gives up a log that may have its name, because of err, durably. If
// that fails, the error is errStays, and never ErrNoSpace.
func (d *directory) unpublish(log *logFile, err error) error {
	_ = d.discard(log, err)
	_, gone := d.fs.Stat(log.path)
	switch {
	case gone == nil:
		gone = errors.New("it can't be removed")
	case errors.Is(gone, fs.ErrNotExist):
		if gone = d.fs.SyncDir(d.dir); gone == nil {
			return wrap("making a log", err)
		}
	}
	return fmt.Errorf("store: making a log: %w; removing %s again: %w: %w", err, log.path, errStays, gone)
}

// discard gives up a log that is not in use, because of err, which it returns. One
// without its name, or without updates, is removed by the next Open if it stays.
func (d *directory) discard(log *logFile, err error) error {
	_ = log.f.Close()
	_ = d.fs.Remove(log.path)
	return err
}
