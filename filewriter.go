package stateio

import (
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/stateio/stateio/internal/fsys"
)

// NewFileWriter returns a writer that appends to a state file, of any length
// down to nothing. The file must be open for reading and writing. Every entry
// is fsynced before it is acknowledged.
//
// Call it before [RestoreFile] of the same *os.File: what is restored before may lack updates
// that another writer has made since, and the next snapshot would make those obsolete.
//
// It takes an advisory lock on the file, which other open files of it then can't
// have, and which is there until the file is closed; the same *os.File may be given
// to NewFileWriter again (on Windows see [Lock]). It reads the current epoch,
// checks it, cuts off a torn tail, and syncs the file, so that what it found is
// durable. A new file is synced together with its directory.
//
// The epoch is read from storage, not from the page cache, where the platform allows it
// (Linux), so that opening takes as long as the disk takes to read it: after an fsync that
// failed, the cache may show what is not on the disk, anywhere in the batch that was to be
// synced.
//
// What a file holds that has no whole entry stays there until the first entry is
// appended, and is cut off before that is written: it may be what a crash left of a first write, or
// a few bytes that were never meant for this package, and 4 bytes can't tell.
//
// The writer watches the file. Before and after it writes, it checks that the file
// has the size it should have, and that its name, osf.Name() at this time, still
// leads to it. A file that was removed, moved, replaced, emptied, cut or written to
// by others meanwhile gives an error that wraps [ErrTaken], and nothing more is
// acknowledged. A name that leads nowhere now is not watched: a file may be
// unlinked before, have no name from the start, or come as a descriptor with a
// name of its own. A program that changes its root directory calls NewFileWriter
// after that. What is changed in place, without changing the size, is not noticed.
//
// The error wraps [ErrLocked] if the file is locked, and is a [*CorruptError] if
// there is damage in the current epoch or after it: then nothing is changed. It
// wraps [ErrTaken] and [fs.ErrNotExist] if the file's name leads to another regular
// file: it was replaced since it was opened. Other errors say why an operation on
// the file failed; one that wraps [errors.ErrUnsupported] may say that the file
// system has no locks. [NewWriter] does without, where the caller sees to it that
// there is one writer.
func NewFileWriter(osf *os.File) (*Writer, error) {
	fail := func(doing string, err error) (*Writer, error) {
		return nil, fmt.Errorf("stateio: %s %s: %w", doing, osf.Name(), err)
	}
	info, err := fsys.StatFile(osf)
	if err != nil {
		return fail("opening", err)
	}
	if !info.Mode().IsRegular() {
		return fail("opening", errNotRegular)
	}
	if err := lock(osf, "opening"); err != nil {
		return nil, err
	}
	watch, err := fsys.NewWatch(osf)
	if err != nil {
		return fail("opening", err)
	}
	// What an earlier process left to be written is written, or known not to be.
	if err := syncFile(osf); err != nil {
		return fail("syncing", err)
	}
	size, err := osf.Seek(0, io.SeekEnd)
	if err != nil {
		return fail("finding the end of", err)
	}
	if size == 0 && watch.Named() {
		if err := fsys.SyncFileName(osf.Name()); err != nil {
			return fail("syncing the directory of", err)
		}
	}
	last, err := checkedEnd(osf, size)
	if err != nil {
		return nil, err
	}
	w := NewWriter(osf, last.last.End, last.epoch)
	w.file, w.watch, w.path = osf, watch, osf.Name()
	switch {
	case size == last.last.End:
	case !last.found:
		w.stale = size
	default:
		if err := truncateFile(osf, last.last.End); err != nil {
			return fail("cutting the torn tail off", err)
		}
		if err := syncFile(osf); err != nil {
			return fail("syncing", err)
		}
	}
	return w, nil
}

// prepare makes the file ready for an entry at the writer's offset, where it must
// end.
func (w *Writer) prepare() error {
	if err := w.watch.Size(max(w.off, w.stale)); err != nil {
		return err
	}
	if w.stale > 0 {
		if err := truncateFile(w.file, 0); err != nil {
			return err
		}
		if err := syncFile(w.file); err != nil {
			return err
		}
		w.stale = 0
	}
	// The file's position may have been moved since.
	_, err := w.file.Seek(w.off, io.SeekStart)
	return err
}

// cut takes back what was written of entries after a write has failed, and reports
// whether the file holds what it held of entries before, for certain. It cuts off nothing but that.
func (w *Writer) cut() bool {
	if w.file == nil || w.watch.Check(max(w.at, w.stale)) != nil {
		return false
	}
	return w.at == w.off || truncateFile(w.file, w.off) == nil && syncFile(w.file) == nil
}

var errNotRegular = errors.New("it is not a regular file")

// checkedEnd finds the end of a file of the given size, and reads all of the current
// epoch from storage, so that nothing is appended after damage. The file was synced: only
// clean pages can be dropped from the cache.
func checkedEnd(osf *os.File, size int64) (end, error) {
	forget(osf, 0)
	f, err := newFile(osf, size)
	if err != nil {
		return end{}, err
	}
	last, err := f.end()
	if err != nil {
		return end{}, err
	}
	return last, f.check(last)
}

// check reads the whole current epoch, and returns an error if it is damaged.
func (f file) check(last end) error {
	updates, _, err := f.openEpoch(last.epoch, last.last.End)
	if err != nil {
		return err
	}
	for _, err := range updates.All() {
		if err != nil {
			return err
		}
	}
	return nil
}
