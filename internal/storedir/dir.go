package storedir

import (
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path/filepath"
	"strings"

	"github.com/stateio/stateio/internal/fsys"
	"github.com/stateio/stateio/internal/latelog"
	"github.com/stateio/stateio/internal/storefile"
)

// A Dir is the directory of a store, for the one that writes it: where its files are,
// with what reads them, and what keeps others out. What Acquire and the opening of the
// store set does not change after that, but for the lock, which follows the file LOCK;
// see ownLock. It is not copied once it is in use: its logs refer to it.
type Dir struct {
	storefile.Dir          // FS leads into the directory that is held, once it is acquired
	ID            [16]byte // of the store

	say               *latelog.Logger
	fileMode, dirMode fs.FileMode // of what is made

	held      fsys.Held // the directory; the same as FS
	lock      io.Closer // of the file LOCK; nil if there are no such locks
	first     fsys.File // the log that was the newest, locked, until one is in use
	firstPath string
}

// New returns the directory dir of a file system, which is not acquired yet. Files and
// directories that are made get these permissions, less the umask; say is told what an
// operator must know.
func New(fsy fsys.FS, dir string, fileMode, dirMode fs.FileMode, say *latelog.Logger) Dir {
	return Dir{Dir: storefile.Dir{FS: fsy, Path: filepath.Clean(dir)}, say: say, fileMode: fileMode, dirMode: dirMode}
}

// Acquire opens the directory, made if it is not there unless it must exist, and locks it,
// until Release. The error is ErrLocked if it is open elsewhere; fs.ErrNotExist if it must
// exist, and there is no store; one that says so if it holds what no store has made;
// storefile.ErrVersion for a copy of a store that a later version has written; and what the
// file system says.
func (d *Dir) Acquire(mustExist bool) error {
	if mustExist {
		if err := d.mustExist(); err != nil {
			return err
		}
	}
	if err := makeDir(d.FS, d.Path, d.dirMode); err != nil {
		return err
	}
	return d.acquire()
}

// acquire is Acquire for a directory that is there.
func (d *Dir) acquire() (err error) {
	d.held, err = d.FS.Hold(d.Path)
	if errors.Is(err, fs.ErrPermission) {
		err = fmt.Errorf("the process needs the permissions to read, write and enter the directory: %w", err)
	}
	if err != nil {
		return Wrap("opening "+d.Path, err)
	}
	d.FS = d.held
	defer func() {
		if err != nil {
			d.Release()
		}
	}()
	l, err := d.List()
	if err != nil {
		return err
	}
	if l.Empty() && len(l.Foreign) > 0 {
		return fmt.Errorf("store: %s holds %s, which no store has made: give the store a directory of its own", d.Path, l.Foreign[0])
	}
	if !l.Lock && !l.Empty() {
		// A directory that was copied here. Nothing is made in it before it is
		// known to be one that this version can use.
		if err := d.CheckVersion(l); err != nil {
			return err
		}
	}
	return d.exclude()
}

// mustExist makes sure that there is a store.
func (d *Dir) mustExist() error {
	l, err := d.List()
	if err == nil && l.Empty() && l.Making == "" {
		err = fmt.Errorf("store: %w", fs.ErrNotExist)
	}
	if errors.Is(err, fs.ErrNotExist) {
		return &storefile.Error{Is: fs.ErrNotExist, Msg: fmt.Sprintf("there is no store in %s, and Options.MustExist forbids making one: check that the path is right and the volume is mounted", d.Path)}
	}
	return err
}

// Release gives the directory and the locks back.
func (d *Dir) Release() {
	if d.first != nil {
		_ = d.first.Close() // nothing was written
	}
	_ = d.held.Close()
	if d.lock != nil {
		_ = d.lock.Close()
	}
}

// makeDir makes dir, if it is not there, and the directories above it that are missing, durably.
func makeDir(fsy fsys.FS, dir string, perm fs.FileMode) error {
	if there, err := isThere(fsy, dir); there || err != nil {
		return err // List says what is wrong if it is no directory
	}
	if err := makeAbove(fsy, dir, perm); err != nil {
		return err
	}
	return mkdir(fsy, dir, perm)
}

// makeAbove makes the directories above dir that are missing, durably. So is the name of the lowest
// that is there: an attempt before may have made it, and have ended there.
func makeAbove(fsy fsys.FS, dir string, perm fs.FileMode) error {
	parent := filepath.Dir(dir)
	if parent == dir {
		return nil
	}
	there, err := isThere(fsy, parent)
	switch {
	case err != nil:
		return err
	case there && parent == filepath.Dir(parent):
		return nil // the root has no name
	case there:
		return syncName(fsy, parent)
	}
	if err := makeAbove(fsy, parent, perm); err != nil {
		return err
	}
	return mkdir(fsy, parent, perm)
}

// mkdir makes a directory, which somebody else may be making, too, durably.
func mkdir(fsy fsys.FS, dir string, perm fs.FileMode) error {
	if err := fsy.Mkdir(dir, perm); err != nil && !errors.Is(err, fs.ErrExist) {
		return Wrap("making the directory", err)
	}
	return syncName(fsy, dir)
}

func syncName(fsy fsys.FS, dir string) error {
	return Wrap("making the directory", fsy.SyncName(dir))
}

func isThere(fsy fsys.FS, path string) (bool, error) {
	_, err := fsy.Stat(path)
	if err == nil || errors.Is(err, fs.ErrNotExist) {
		return err == nil, nil
	}
	return false, fmt.Errorf("store: %w", err)
}

// Tidy removes what was being written when the store was last used.
func (d *Dir) Tidy(l *storefile.Listing) error {
	for _, name := range l.Tmps {
		if err := d.FS.Remove(filepath.Join(d.Path, name)); err != nil {
			return Wrap("removing an unfinished file", err)
		}
	}
	return nil
}

// SyncFile makes the file at path durable.
func (d *Dir) SyncFile(path string) error {
	f, err := d.FS.Open(path, fsys.ReadWrite, 0)
	if err != nil {
		return err
	}
	defer f.Close()
	return f.Sync()
}

// createTmp makes a file that replaces what an attempt before may have left.
func (d *Dir) createTmp(path string) (fsys.File, error) {
	f, err := d.makeTmp(path)
	if err != nil {
		return nil, Wrap("making a file", err)
	}
	return f, nil
}

// makeTmp is createTmp with the error of the file system.
func (d *Dir) makeTmp(path string) (fsys.File, error) {
	f, err := d.FS.Open(path, fsys.Create, d.fileMode)
	if errors.Is(err, fs.ErrExist) {
		if f := d.emptied(path); f != nil {
			return f, nil
		}
		if strings.HasSuffix(path, storefile.MakeSuffix) {
			return d.exchange(path)
		}
		if err = d.FS.Remove(path); err == nil {
			f, err = d.FS.Open(path, fsys.Create, d.fileMode)
		}
	}
	return f, err
}

// exchange puts an empty file in the place of the mark at path, which is there all the time:
// without it, a program would take the directory for that of a new store.
func (d *Dir) exchange(path string) (fsys.File, error) {
	aside := strings.TrimSuffix(path, storefile.MakeSuffix) + storefile.TmpSuffix
	f, err := d.makeTmp(aside)
	if err != nil {
		return nil, err
	}
	if err := d.FS.Rename(aside, path); err != nil {
		_ = f.Close() // nothing was written
		_ = d.FS.Remove(aside)
		return nil, err
	}
	f.Renamed(path)
	return f, nil
}

// emptied returns what an attempt before has left, without its content, so that its name
// is there all the time. It is nil if the file has another name as well, or can't be
// emptied, as one of another user: then it is to be removed.
func (d *Dir) emptied(path string) fsys.File {
	f, err := d.FS.Open(path, fsys.ReadWrite, 0)
	if err != nil {
		return nil
	}
	info, err := f.Stat()
	if err == nil && info.Links == 1 && f.Truncate(0) == nil {
		return f
	}
	_ = f.Close() // nothing was written
	return nil
}

// Remove removes the files of these indexes, durably. suffix tells which: logs or snapshots.
func (d *Dir) Remove(indexes []uint64, suffix string) error {
	if len(indexes) == 0 {
		return nil
	}
	for _, index := range indexes {
		if err := d.FS.Remove(filepath.Join(d.Path, storefile.FileName(index, suffix))); err != nil {
			return Wrap("removing an old file", err)
		}
	}
	return Wrap("removing old files", d.FS.SyncDir(d.Path))
}

// NewID draws the identity of a new store.
func (d *Dir) NewID() { _, _ = rand.Read(d.ID[:]) } // which never fails

// NewSalt returns a random salt for a file's tags.
func NewSalt() uint64 {
	var b [8]byte
	_, _ = rand.Read(b[:]) // which never fails
	return binary.LittleEndian.Uint64(b[:])
}
