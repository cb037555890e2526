package storedir

import (
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"

	"github.com/stateio/stateio/internal/fsys"
	"github.com/stateio/stateio/internal/storefile"
)

// exclude keeps everybody else from opening the directory, until release. It takes
// three locks, since each of them can fail to do so:
//
//   - that of the file LOCK, which stores of all versions take, and which works on
//     Windows. Whoever removes the file, or copies the directory with hard links,
//     undoes it;
//   - that of the directory, which can't be removed while it is in use. File systems
//     of a network, and Windows, do not have it;
//   - that of the newest log, which is what is written. Each later log is locked
//     before it gets its name. This one also keeps out stores that share a log by a
//     hard link, and tools for state files.
//
// A lock that somebody has is ErrLocked. One that the system or the file system
// does not have, or does not let anybody take, is done without, as long as there
// is another.
func (d *Dir) exclude() error {
	var missing []error
	locks := []func() error{d.lockName, d.lockDir, d.lockNewest}
	for _, lock := range locks {
		if err := lock(); errors.Is(err, errors.ErrUnsupported) {
			missing = append(missing, err)
		} else if err != nil {
			return err
		}
	}
	switch taken := len(locks) - len(missing); taken {
	case 0:
		return fmt.Errorf("store: %s can't be locked, so a second process could write to it: use a file system that has locks, and let the process call flock: %w",
			d.Path, errors.Join(missing...))
	case 1:
		return nil
	}
	return Wrap("opening "+d.Path, d.ownLock())
}

// lockName takes the lock of the file LOCK.
func (d *Dir) lockName() (err error) {
	path := filepath.Join(d.Path, storefile.LockName)
	d.lock, err = d.FS.Lock(path, d.fileMode)
	if errors.Is(err, fsys.ErrLocked) {
		msg := fmt.Sprintf("%s is open elsewhere: close that store, or end that process, first", d.Path)
		if info, err := d.FS.Stat(path); err == nil && info.Links > 1 {
			msg += fmt.Sprintf("; or, if that store lies in another directory, of which this one is a copy with hard links (cp -al), remove %s, which they share", path)
		}
		return &storefile.Error{Is: ErrLocked, Msg: msg}
	}
	return Wrap("opening "+d.Path, err)
}

// lockDir takes the lock of the directory.
func (d *Dir) lockDir() error {
	err := d.held.LockDir()
	if errors.Is(err, fsys.ErrLocked) {
		return &storefile.Error{Is: ErrLocked, Msg: fmt.Sprintf("%s is open elsewhere: another process has the directory locked, though not the file %s in it, which somebody may have removed: end that process first", d.Path, storefile.LockName)}
	}
	return Wrap("opening "+d.Path, err)
}

// errNoLog says that there is no log that could be locked.
var errNoLog = fmt.Errorf("there is no log yet: %w", errors.ErrUnsupported)

// lockTries is how many times lockNewest looks for the newest log. Each time that it
// has another one, somebody else has made it meanwhile.
const lockTries = 10

// lockNewest opens and locks the newest log, if there is one. Whoever has the store
// open has that one locked, and the one before it until this one is in use.
func (d *Dir) lockNewest() error {
	for range lockTries {
		path, err := d.newestLog()
		if err != nil {
			return err
		}
		if path == "" {
			return errNoLog
		}
		f, err := d.openLocked(path)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if f == nil {
			return err
		}
		same, serr := d.isNewest(f, path)
		if same {
			d.first, d.firstPath = f, path
			return err
		}
		_ = f.Close() // nothing was written
		if serr != nil {
			return serr
		}
	}
	return &storefile.Error{Is: ErrLocked, Msg: fmt.Sprintf("%s is open elsewhere: logs come and go in it: end the process that makes them first", d.Path)}
}

// newestLog returns the path of the newest log, or "".
func (d *Dir) newestLog() (string, error) {
	l, err := d.List()
	if err != nil || len(l.Logs) == 0 {
		return "", err
	}
	return d.Log(l.Logs[len(l.Logs)-1]), nil
}

// openLocked opens a log to be written, and locks it. The file is returned with an
// errors.ErrUnsupported, too.
func (d *Dir) openLocked(path string) (fsys.File, error) {
	f, err := d.FS.Open(path, fsys.ReadWrite, 0)
	if err != nil {
		return nil, Wrap("opening a log", err)
	}
	err = f.Lock()
	if err == nil || errors.Is(err, errors.ErrUnsupported) {
		return f, err
	}
	defer func() { _ = f.Close() }() // nothing was written
	if !errors.Is(err, fsys.ErrLocked) {
		return nil, Wrap("locking a log", err)
	}
	msg := fmt.Sprintf("%s is open elsewhere: another process has %s locked: end that process first", d.Path, path)
	if info, err := f.Stat(); err == nil && info.Links > 1 {
		msg += "; or, if that is the store of another directory, of which this one is a copy with hard links (cp -al), wait until it has made two updates, or put a copy of the file in its place"
	}
	return nil, &storefile.Error{Is: ErrLocked, Msg: msg}
}

// isNewest reports whether the log open in f is still the newest one, and has that
// path.
func (d *Dir) isNewest(f fsys.File, path string) (bool, error) {
	now, err := d.newestLog()
	if err != nil || now != path {
		return false, err
	}
	named, err := d.FS.Stat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, Wrap("opening a log", err)
	}
	info, err := f.Stat()
	return err == nil && info.Links > 0 && info.ID == named.ID, Wrap("opening a log", err)
}

// ownLock makes LOCK a file of its own, if it shares it with another store by a hard
// link: else one of them could not be opened while the other is. It needs another
// lock meanwhile. If there is no new one, because somebody else is trying just now,
// the next Open makes it.
func (d *Dir) ownLock() error {
	if d.lock == nil {
		return nil
	}
	path := filepath.Join(d.Path, storefile.LockName)
	info, err := d.FS.Stat(path)
	if errors.Is(err, fs.ErrNotExist) || err == nil && info.Links < 2 {
		return nil
	}
	if err == nil {
		err = d.FS.Remove(path)
	}
	if err != nil {
		return err
	}
	lock, err := d.FS.Lock(path, d.fileMode)
	if errors.Is(err, fsys.ErrLocked) {
		return nil
	}
	if err == nil {
		_ = d.lock.Close() // nothing was written
		d.lock = lock
	}
	return err
}
