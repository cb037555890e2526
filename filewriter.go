package stateio

import (
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/stateio/stateio/internal/osfile"
)

// NewFileWriter returns a writer that appends to a state file, of any length
// down to nothing. The file must be open for reading and writing. Every entry
// is fsynced before it is acknowledged.
//
// It takes an advisory lock on the file, which other open files of it then can't
// have, and which is there until the file is closed; the same *os.File may be
// given to NewFileWriter again. It reads the current epoch, checks it, cuts off a
// torn tail, and syncs the file, so that what it found is durable. A new file is
// synced together with its directory.
//
// What a file holds that has no whole entry stays there until the first entry is
// appended, and is then cut off: it may be what a crash left of a first write, or
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
	info, err := osfile.Stat(osf)
	if err != nil {
		return fail("opening", err)
	}
	if !info.Mode().IsRegular() {
		return fail("opening", errNotRegular)
	}
	if err := osfile.Lock(osf); err != nil {
		if errors.Is(err, ErrLocked) {
			return fail("opening", fmt.Errorf("it is %w by another writer; only one at a time can have the file", err))
		}
		return fail("locking", fmt.Errorf("%w: without a lock another writer would not be kept out", err))
	}
	watch, err := osfile.NewWatch(osf)
	if err != nil {
		return fail("opening", err)
	}
	// What an earlier process left to be written is written, or known not to be.
	if err := osf.Sync(); err != nil {
		return fail("syncing", err)
	}
	size, err := osf.Seek(0, io.SeekEnd)
	if err != nil {
		return fail("finding the end of", err)
	}
	if size == 0 && watch.Named() {
		if err := osfile.SyncDir(osf.Name()); err != nil {
			return fail("syncing the directory of", err)
		}
	}
	last, err := checkedEnd(osf, size)
	if err != nil {
		return nil, err
	}
	w := NewWriter(osf, last.last.End, last.epoch)
	w.file, w.watch, w.path = osf, watch, " of "+osf.Name()
	switch {
	case size == last.last.End:
	case !last.found:
		w.stale = size
	default:
		if err := osf.Truncate(last.last.End); err != nil {
			return fail("cutting the torn tail off", err)
		}
		if err := osf.Sync(); err != nil {
			return fail("syncing", err)
		}
	}
	return w, nil
}

var errNotRegular = errors.New("it is not a regular file")

// checkedEnd finds the end of a file of the given size, and reads all of the
// current epoch, so that nothing is appended after damage.
func checkedEnd(osf *os.File, size int64) (end, error) {
	if err := forgetLast(osf, size); err != nil {
		return end{}, err
	}
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
