package storedir

import (
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"strings"

	"github.com/stateio/stateio/internal/fsys"
	"github.com/stateio/stateio/internal/storefile"
)

// AcquireNew is Acquire for a store that is to be made. mark is the path of its first log with
// storefile.MakeSuffix. A directory that is not there comes into being with an empty file of
// that name in it, in one step, so that nobody takes it for the one of a store without
// updates: made says so, also with an error. One that is there is as good, unless fresh says
// that there must be none: then the error is fs.ErrExist, and nothing in there is touched.
func (d *Dir) AcquireNew(mark string, fresh bool) (made bool, err error) {
	made, err = d.makeMarked(filepath.Base(mark))
	switch {
	case err != nil:
		return made, err
	case fresh && !made:
		return false, &storefile.Error{Is: fs.ErrExist, Msg: fmt.Sprintf("%s was not there before, and somebody else has made it meanwhile: leave that alone, and name another directory", d.Path)}
	}
	return made, d.acquire()
}

// makeMarked makes the directory with an empty file of that name in it, durably, unless
// there is something. Of that, it makes the name durable: an attempt before may have ended there.
//
// Commit point: the rename, made durable by SyncName. What a crash leaves before that has
// another name, and is no store either.
func (d *Dir) makeMarked(name string) (made bool, err error) {
	if there, err := isThere(d.FS, d.Path); err != nil {
		return false, err
	} else if there {
		return false, syncName(d.FS, d.Path) // List says what is wrong if it is no directory
	}
	if err := makeAbove(d.FS, d.Path, d.dirMode); err != nil {
		return false, err
	}
	aside, err := d.mkdirAside()
	if err != nil {
		return false, Wrap("making the directory", err)
	}
	mark := filepath.Join(aside, name)
	f, err := d.FS.Open(mark, fsys.Create, d.fileMode)
	if err == nil {
		err = errors.Join(f.Close(), d.FS.SyncDir(aside))
	}
	if err == nil {
		err = d.FS.Rename(aside, d.Path)
	}
	if err != nil {
		_ = d.FS.Remove(mark)
		_ = d.FS.RemoveDir(aside) // what stays is marked, or empty and of a name that nobody opens
		if there, _ := isThere(d.FS, d.Path); there {
			return false, syncName(d.FS, d.Path) // somebody else was first
		}
		return false, Wrap("making the directory", err)
	}
	return true, syncName(d.FS, d.Path)
}

const (
	asideTries = 100 // names for one directory: crashes may have left some
	asideName  = 200 // bytes of the name that another one is made of
)

// mkdirAside makes a directory beside the one to be, under a name that nobody has.
func (d *Dir) mkdirAside() (path string, err error) {
	parent, base := filepath.Split(d.Path)
	if len(base) > asideName {
		base = strings.ToValidUTF8(base[:asideName], "")
	}
	for n := 1; n <= asideTries; n++ {
		path = filepath.Join(parent, fmt.Sprint(base, ".", n, storefile.MakeSuffix))
		if err = d.FS.Mkdir(path, d.dirMode); !errors.Is(err, fs.ErrExist) {
			break
		}
	}
	return path, err
}
