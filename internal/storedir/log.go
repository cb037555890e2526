package storedir

import (
	"bytes"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"

	"github.com/stateio/stateio/internal/fsys"
	"github.com/stateio/stateio/internal/storefile"
)

// A Log is a log that is written. It has two sides, each for one goroutine at a time: what
// is written there, with the exported fields, and the disk space that is set aside, with
// SetAside and Piece. Size may be called by anybody.
//
// The first side holds Writing from a write to the end of its sync, unless it knows that no space
// is set aside meanwhile.
type Log struct {
	File    *OwnFile
	Path    string
	Header  storefile.Header
	Writing sync.Mutex

	End    int64            // of what was written; whoever writes to File moves it
	Digest storefile.Digest // of the records before End; likewise

	size  atomic.Int64 // bytes of disk space set aside
	piece int64        // how much to set aside next, if there is that much
	most  int64        // the largest piece
}

// OpenTail opens the newest log that is in use to be written on, locked, unless Acquire has
// locked it. They differ when empty logs follow.
func (d *Dir) OpenTail(path string) (*OwnFile, error) {
	f := d.first
	if f != nil && path == d.firstPath {
		d.first = nil
		return d.own(f, path), nil
	}
	f, err := d.openLocked(path)
	if f == nil {
		return nil, err
	}
	return d.own(f, path), nil
}

// Continue returns the log in f, which is to go on where r has found its end. No more than
// most bytes of disk space are set aside for it at once.
func Continue(f *OwnFile, r *storefile.LogReader, most int64) *Log {
	log := &Log{
		File: f, Path: r.Path, Header: r.Header, End: r.End, Digest: r.EndDigest,
		piece: min(max(MinPiece, r.End), most), most: most,
	}
	log.size.Store(r.End)
	return log
}

// CloseFirst closes the log that Acquire has locked, if it is not the one that OpenTail has
// opened: it is empty, and not needed any more once that is in use.
func (d *Dir) CloseFirst() {
	if d.first != nil {
		_ = d.first.Close()
		d.first = nil
	}
}

// Size returns how many bytes of disk space the log has.
func (log *Log) Size() int64 { return log.size.Load() }

// Piece returns how many bytes SetAside would set aside next, if there is that much.
func (log *Log) Piece() int64 { return log.piece }

// Intact makes sure that nobody has removed, moved or replaced the log, which was written up
// to end, or cut it to less than size.
func (log *Log) Intact(size, end int64) error {
	info, err := log.File.Look(end)
	switch {
	case err != nil:
		return err
	case info.Size < size:
		return fmt.Errorf("somebody has cut the file from %d bytes to %d", size, info.Size)
	}
	return nil
}

// AppendControl writes a control entry after all that was written, up to update index,
// makes it durable, and makes sure that it is in the file that has the log's name. ErrNoSpace
// says that there was no space for it: it is not there then, and the log may go on.
//
// In a copy with hard links, made before the next log was there, a seal would
// miss that one: so this is the moment to look for other names.
func (log *Log) AppendControl(c storefile.Control, index uint64) error {
	b := storefile.AppendEntry(nil, log.End, log.Header.Salt, storefile.Tag{Index: index + 1, Control: true}, c.Encode())
	err := log.File.BecomeOwn()
	if err == nil {
		_, err = log.File.WriteAt(b, log.End)
	}
	switch {
	case errors.Is(err, fsys.ErrNoSpace) && log.lacks(b):
		return Wrap("sealing "+log.Path, err)
	case err != nil:
		return err
	}
	if err := log.File.Datasync(); err != nil {
		return err
	}
	log.Digest = log.Digest.AddAll(b, log.End)
	log.End += int64(len(b))
	_, err = log.File.Look(log.End)
	return err
}

// lacks reports whether b is not there after what was written to the log, or only a part of it.
func (log *Log) lacks(b []byte) bool {
	there := make([]byte, len(b))
	_, err := log.File.ReadAt(there, log.End)
	return err == nil && !bytes.Equal(there, b)
}

// FitToSeal makes sure that another log may follow log: that log has its name, in the
// directory that has its own, so that the next one comes to lie beside it where it is
// looked for; and no other name, for the seal is for this store alone.
func (d *Dir) FitToSeal(log *Log) error {
	moved, err := d.held.Moved()
	if moved {
		err = fmt.Errorf("the directory was moved or removed while it was open, or something was mounted over it: let %s lead to it again", d.Path)
	}
	if err == nil {
		if _, err = d.FS.Stat(log.Path); err != nil {
			err = fmt.Errorf("the one in use has lost its name: %w", err)
		}
	}
	if err == nil {
		if _, err = log.File.Look(log.End); err != nil {
			err = fmt.Errorf("the one in use is not in the directory: %w", err)
		}
	}
	if err == nil {
		err = log.File.BecomeOwn()
	}
	return err
}
