package stateio

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
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
// The error wraps [ErrLocked] if the file is locked, and is a [*CorruptError] if
// there is damage in the current epoch or behind it: then nothing is changed. It
// wraps [fs.ErrNotExist] if the file was removed, or replaced by another of its
// name, since it was opened.
// Other errors say why an operation on the file failed.
func NewFileWriter(osf *os.File) (*Writer, error) {
	fail := func(doing string, err error) (*Writer, error) {
		return nil, fmt.Errorf("stateio: %s %s: %w", doing, osf.Name(), err)
	}
	info, err := osf.Stat()
	if err != nil {
		return fail("opening", err)
	}
	if !info.Mode().IsRegular() {
		return fail("opening", errNotRegular)
	}
	if err := osfile.Lock(osf); err != nil {
		if errors.Is(err, ErrLocked) {
			err = fmt.Errorf("it is %w by another writer; only one at a time can have the file", err)
		}
		return fail("opening", err)
	}
	switch gone, err := osfile.Removed(osf); {
	case err != nil:
		return fail("opening", err)
	case gone:
		return fail("opening", errRemoved)
	}
	// What an earlier process left to be written is written, or known not to be.
	if err := osf.Sync(); err != nil {
		return fail("syncing", err)
	}
	size, err := osf.Seek(0, io.SeekEnd)
	if err != nil {
		return fail("finding the end of", err)
	}
	if size == 0 {
		if err := osfile.SyncDir(osf); err != nil {
			return fail("syncing the directory of", err)
		}
	}
	last, err := checkedEnd(osf, size)
	if err != nil {
		return nil, err
	}
	if size > last.last.End {
		if err := osf.Truncate(last.last.End); err != nil {
			return fail("cutting the torn tail off", err)
		}
		if err := osf.Sync(); err != nil {
			return fail("syncing", err)
		}
	}
	w := NewWriter(osf, last.last.End, last.epoch)
	w.file, w.path = osf, " of "+osf.Name()
	return w, nil
}

var (
	errNotRegular = errors.New("it is not a regular file")
	errRemoved    = fmt.Errorf("it has been removed, or replaced by another file of that name, since it was opened: open it anew: %w", fs.ErrNotExist)
)

// checkedEnd finds the end of a file of the given size, and reads all of the
// current epoch, so that nothing is appended behind damage.
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
