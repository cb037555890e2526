package storedir

import (
	"errors"
	"fmt"
	"io/fs"
	"strings"

	"github.com/stateio/stateio/internal/fsys"
	"github.com/stateio/stateio/internal/storefile"
)

// PrepareLog makes a log under the temporary name tmp and sets disk space aside: piece
// bytes if that is more than it needs, and never more than most bytes at once. short says
// that it could not have as much as it wanted.
func (d *Dir) PrepareLog(tmp string, piece, most int64) (log *Log, short bool, err error) {
	f, err := d.createTmp(tmp)
	if err != nil {
		return nil, false, err
	}
	log = &Log{
		File: d.own(f, tmp), Path: tmp, Header: storefile.Header{Kind: storefile.LogKind, Store: d.ID, Salt: NewSalt()}, End: int64(storefile.HeaderSize),
		piece: min(piece, most), most: most,
	}
	if err := lockLog(f); err != nil {
		return nil, false, d.Discard(log, Wrap("making a log", err))
	}
	short, err = log.SetAside(int64(storefile.HeaderSize+storefile.TailRoom), nil)
	if err != nil {
		return nil, short, d.Discard(log, err)
	}
	if err := f.Sync(); err != nil {
		return nil, short, d.Discard(log, Wrap("making a log", err))
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

// WriteHeader gives a prepared log its header, durably, or gives it up. at is the time of
// the commit of update base, in nanoseconds since 1970.
func (d *Dir) WriteHeader(log *Log, base uint64, at int64) error {
	log.Header.Base, log.Header.Time = base, at
	b := log.Header.AppendTo(nil)
	log.Digest = storefile.Digest(0).AddAll(b, 0)
	_, err := log.File.WriteAt(b, 0)
	if err == nil {
		err = log.File.Datasync()
	}
	if err != nil {
		return d.Discard(log, Wrap("making a log", err))
	}
	return nil
}

// PublishLog gives a prepared log its header, as WriteHeader does, and its name. If that
// fails, the log is given up, durably; if that fails, too, the error is ErrStays, and never
// ErrNoSpace.
//
// Commit point: the rename, made durable by SyncDir.
func (d *Dir) PublishLog(log *Log, path string, base uint64, at int64) error {
	err := d.WriteHeader(log, base, at)
	if err != nil {
		return err
	}
	tmp := log.Path
	log.Path = path
	making := strings.HasSuffix(tmp, storefile.MakeSuffix)
	if err = d.FS.Rename(tmp, path); err == nil {
		log.File.Renamed(path)
		err = d.FS.SyncDir(d.Path)
	} else if !making {
		_ = d.FS.Remove(tmp) // whatever happened, it has one of the names
	}
	if err != nil && making {
		// Nobody must find the directory without the log and without the mark.
		if merr := d.MarkUnmade(tmp); merr != nil {
			return fmt.Errorf("store: making a log: %w; %s: %w: %w", err, log.Path, ErrStays, merr)
		}
	}
	if err != nil {
		return d.Unpublish(log, err)
	}
	return nil
}

// Unpublish gives up a log that may have its name, and holds no update, because of err,
// durably. If that fails, the error is ErrStays, and never ErrNoSpace.
func (d *Dir) Unpublish(log *Log, err error) error {
	_ = d.Discard(log, err)
	_, gone := d.FS.Stat(log.Path)
	switch {
	case gone == nil:
		gone = errors.New("it can't be removed")
	case errors.Is(gone, fs.ErrNotExist):
		if gone = d.FS.SyncDir(d.Path); gone == nil {
			return Wrap("making a log", err)
		}
	}
	return fmt.Errorf("store: making a log: %v; removing %s again: %w: %w", storefile.Bare(err), log.Path, ErrStays, storefile.Bare(gone)) //nolint:errorlint // err may be ErrNoSpace
}

// Discard gives up a log that is not in use, because of err, which it returns. One
// without its name, or without updates, is removed by the next Open if it stays. The first
// one of a store that is being made stays, for MarkUnmade.
func (d *Dir) Discard(log *Log, err error) error {
	_ = log.File.Close()
	if !strings.HasSuffix(log.Path, storefile.MakeSuffix) {
		_ = d.FS.Remove(log.Path)
	}
	return err
}

// MarkUnmade leaves an empty file at path, which is that of the first log of a store with
// storefile.MakeSuffix: the making of the store has failed, and Open must not take the
// directory for that of a new one.
func (d *Dir) MarkUnmade(path string) error {
	f, err := d.makeTmp(path)
	if err == nil {
		err = errors.Join(f.Close(), d.FS.SyncDir(d.Path))
	}
	if err != nil {
		return fmt.Errorf("store: making %s, which tells programs that %s holds no store: remove that directory before one opens it: %w", path, d.Path, storefile.Bare(err))
	}
	return nil
}
