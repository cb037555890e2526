package store

import (
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path/filepath"

	"github.com/stateio/stateio/internal/fsys"
	"github.com/stateio/stateio/internal/storefile"
	"github.com/stateio/stateio/internal/storefs"
)

// A directory is that of a store: where its files are, and what keeps others out. It is
// all that Import needs of one. What acquire and Open set does not change after that,
// but for lock, which follows the file LOCK; see ownLock.
type directory struct {
	fs  fsys.FS
	dir string
	id  [16]byte // of the store
	say *sayer

	fileMode, dirMode fs.FileMode // of what is made

	held      fsys.Held // dir; the same as fs
	lock      io.Closer // of the file LOCK; nil if there are no such locks
	first     fsys.File // the log that was the newest, locked, until one is in use
	firstPath string
}

// newDirectory returns the directory of that name, which is not acquired yet.
func newDirectory(fsy fsys.FS, dir string, o *Options) directory {
	return directory{fs: fsy, dir: dir, say: &sayer{logger: o.Logger}, fileMode: o.FileMode, dirMode: o.DirMode}
}

// path returns that of the log or snapshot of index.
func (d *directory) path(index uint64, suffix string) string {
	return filepath.Join(d.dir, storefile.FileName(index, suffix))
}

// files returns what reads the directory.
func (d *directory) files() storefile.Dir { return storefile.Dir{FS: d.fs, Path: d.dir} }

// filesIn returns what reads the directory dir, which may be in use elsewhere.
func filesIn(dir string) storefile.Dir { return storefile.Dir{FS: storefs.For(dir), Path: dir} }

// acquire opens the directory, made if it is not there, and locks it.
func (d *directory) acquire(mustExist bool) (err error) {
	if mustExist {
		if err := d.mustExist(); err != nil {
			return err
		}
	}
	if err := makeDir(d.fs, d.dir, d.dirMode); err != nil {
		return err
	}
	d.held, err = d.fs.Hold(d.dir)
	if errors.Is(err, fs.ErrPermission) {
		err = fmt.Errorf("the process needs the permissions to read, write and enter the directory: %w", err)
	}
	if err != nil {
		return wrap("opening "+d.dir, err)
	}
	d.fs = d.held
	defer func() {
		if err != nil {
			d.release()
		}
	}()
	l, err := d.files().List()
	if err != nil {
		return err
	}
	if l.Empty() && len(l.Foreign) > 0 {
		return fmt.Errorf("store: %s holds %s, which no store has made: give the store a directory of its own", d.dir, l.Foreign[0])
	}
	if !l.Lock && !l.Empty() {
		// A directory that was copied here. Nothing is made in it before it is
		// known to be one that this version can use.
		if err := d.files().CheckVersion(l); err != nil {
			return err
		}
	}
	return d.exclude()
}

// mustExist makes sure that there is a store.
func (d *directory) mustExist() error {
	l, err := d.files().List()
	if err == nil && l.Empty() && l.Making == "" {
		err = fmt.Errorf("store: %w", fs.ErrNotExist)
	}
	if errors.Is(err, fs.ErrNotExist) {
		return &opError{is: fs.ErrNotExist, msg: fmt.Sprintf("there is no store in %s, and Options.MustExist forbids to make one: look whether the path is right and the volume mounted", d.dir)}
	}
	return err
}

// release gives the locks back.
func (d *directory) release() {
	if d.first != nil {
		_ = d.first.Close() // nothing was written
	}
	_ = d.held.Close()
	if d.lock != nil {
		_ = d.lock.Close()
	}
}

// makeDir makes dir and the directories above it that are missing, durably.
func makeDir(fsy fsys.FS, dir string, perm fs.FileMode) error {
	_, err := fsy.Stat(dir)
	if err == nil {
		return nil // List says what is wrong if it is no directory
	}
	if !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("store: %w", err)
	}
	parent := filepath.Dir(dir)
	if parent != dir {
		if err := makeDir(fsy, parent, perm); err != nil {
			return err
		}
	}
	if err := fsy.Mkdir(dir, perm); err != nil && !errors.Is(err, fs.ErrExist) {
		return fmt.Errorf("store: making the directory: %w", err)
	}
	if err := fsy.SyncName(dir); err != nil {
		return fmt.Errorf("store: making the directory: %w", err)
	}
	return nil
}

// tidy removes what was being written when the store was last used.
func (d *directory) tidy(l *storefile.Listing) error {
	for _, name := range l.Tmps {
		if err := d.fs.Remove(filepath.Join(d.dir, name)); err != nil {
			return wrap("removing an unfinished file", err)
		}
	}
	return nil
}

func (d *directory) syncFile(path string) error {
	f, err := d.fs.Open(path, fsys.ReadWrite, 0)
	if err != nil {
		return err
	}
	defer f.Close()
	return f.Sync()
}

// createTmp makes a file that replaces what an attempt before may have left.
func (d *directory) createTmp(path string) (fsys.File, error) {
	f, err := d.makeTmp(path)
	if err != nil {
		return nil, wrap("making a file", err)
	}
	return f, nil
}

// makeTmp is createTmp with the error of the file system.
func (d *directory) makeTmp(path string) (fsys.File, error) {
	f, err := d.fs.Open(path, fsys.Create, d.fileMode)
	if errors.Is(err, fs.ErrExist) {
		if f := d.emptied(path); f != nil {
			return f, nil
		}
		if err = d.fs.Remove(path); err == nil {
			f, err = d.fs.Open(path, fsys.Create, d.fileMode)
		}
	}
	return f, err
}

// emptied returns what an attempt before has left, without its content, so that its name
// is there all the time. It is nil if the file has another name as well, or can't be
// emptied, as one of another user: then it is to be removed.
func (d *directory) emptied(path string) fsys.File {
	f, err := d.fs.Open(path, fsys.ReadWrite, 0)
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

// remove removes files, durably.
func (d *directory) remove(indexes []uint64, suffix string) error {
	if len(indexes) == 0 {
		return nil
	}
	for _, index := range indexes {
		if err := d.fs.Remove(d.path(index, suffix)); err != nil {
			return wrap("removing an old file", err)
		}
	}
	return wrap("removing old files", d.fs.SyncDir(d.dir))
}

// newID draws the identity of a new store.
func (d *directory) newID() { _, _ = rand.Read(d.id[:]) } // which never fails

// newSalt returns a random salt for a file's tags.
func newSalt() uint64 {
	var b [8]byte
	_, _ = rand.Read(b[:]) // which never fails
	return binary.LittleEndian.Uint64(b[:])
}

// wrap makes an error of the file system one of this package.
func wrap(doing string, err error) error {
	if err == nil {
		return nil
	}
	if errors.Is(err, fsys.ErrNoSpace) && !errors.Is(err, ErrNoSpace) {
		return &opError{is: ErrNoSpace, msg: doing, cause: err}
	}
	return fmt.Errorf("store: %s: %w", doing, err)
}
