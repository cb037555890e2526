package main

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/stateio/stateio"
	"github.com/stateio/stateio/inspect"
	"github.com/stateio/stateio/store"
)

// openJudged is openRead for what is taken as a whole, a state file or a backup. A log or a
// snapshot of a store is neither: one that is cut would pass for whole.
func openJudged(path string) (*os.File, int64, error) {
	file, size, err := openRead(path)
	if err != nil {
		return nil, 0, err
	}
	if err := ofNoStore(path, file, size); err != nil {
		return nil, 0, errors.Join(err, file.Close())
	}
	return file, size, nil
}

// ofNoStore returns an error if a file is a log or a snapshot of a store, by its header.
func ofNoStore(path string, file *os.File, size int64) error {
	ours, err := inspect.BelongsToStore(file)
	if err != nil || !ours {
		return err
	}
	is, err := store.IsBackup(file, size)
	if err != nil || is {
		return err
	}
	whole, err := inspect.HasEntry(file, size)
	if err != nil || !whole {
		return err
	}
	return fmt.Errorf("%s is a file of a store: name the directory that it is in", path)
}

// openRead opens a state file for reading, and returns its size.
func openRead(path string) (*os.File, int64, error) {
	info, err := os.Stat(path) // before it is opened: opening a FIFO would wait
	if err != nil {
		return nil, 0, absent(err)
	}
	if err := regular(path, info); err != nil {
		return nil, 0, err
	}
	file, err := os.Open(path)
	if err != nil {
		return nil, 0, absent(err)
	}
	if info, err = file.Stat(); err != nil {
		return nil, 0, errors.Join(err, file.Close())
	}
	return file, info.Size(), nil
}

// An opening says how a state file is opened for writing.
type opening struct {
	create bool      // if there is none
	cut    bool      // what it holds, if that is no whole entry
	warn   io.Writer // told what was cut, and what may surprise
}

// openWrite opens a state file for writing.
func openWrite(path string, how opening) (*os.File, *stateio.Writer, error) {
	for {
		file, err := openDirect(path, how.create)
		if err != nil {
			return nil, nil, err
		}
		w, err := how.writer(file, path)
		if w != nil && err == nil {
			return file, w, nil
		}
		if err := errors.Join(err, file.Close()); err != nil {
			return nil, nil, err
		}
	}
}

// writer returns the writer of an open state file. It is nil if path names another file by
// now: stateio compact has replaced it before it was locked.
func (how opening) writer(file *os.File, path string) (*stateio.Writer, error) {
	cut := false
	if _, err := lock(file); err == nil { // of another error NewFileWriter tells
		info, err := file.Stat()
		if err == nil {
			err = complete(file, info.Size())
		}
		if cut = how.cut && errors.Is(err, errIncomplete); err != nil && !cut {
			return nil, err
		}
	}
	w, err := stateio.NewFileWriter(file)
	switch {
	case errors.Is(err, stateio.ErrLocked):
		return nil, fmt.Errorf("%w; wait for it to end, or stop it", err)
	case errors.Is(err, stateio.ErrTaken):
		return nil, nil
	case err != nil:
		return nil, advise(err, path)
	case !isAt(file, path):
		return nil, nil
	case !cut:
		return w, nil
	}
	// What NewFileWriter has not refused would be cut off with the first update.
	if err := how.empty(file); err != nil {
		return nil, err
	}
	return stateio.NewFileWriter(file)
}

// empty cuts off all that a file holds, and says so.
func (how opening) empty(file *os.File) error {
	info, err := file.Stat()
	if err != nil {
		return err
	}
	if err := errors.Join(file.Truncate(0), file.Sync()); err != nil {
		return err
	}
	_, _ = fmt.Fprintf(how.warn, "stateio: %s: cut off the %s that it held, without a whole entry\n", printable(file.Name()), count(info.Size(), "byte"))
	return nil
}

// openLocked opens a state file for being replaced, and locks it. Unlike openWrite
// it changes and reads nothing.
func openLocked(path string) (*os.File, error) {
	for {
		file, err := openDirect(path, false)
		if err != nil {
			return nil, err
		}
		if _, err = lock(file); errors.Is(err, stateio.ErrLocked) {
			err = fmt.Errorf("%s is %w by another writer; wait for it to end, or stop it", path, stateio.ErrLocked)
		}
		if err == nil && isAt(file, path) {
			return file, nil
		}
		if err := errors.Join(err, file.Close()); err != nil {
			return nil, err
		}
	}
}

// openDirect opens path for reading and writing unless it is a symbolic link, no
// regular file, or one of a store.
func openDirect(path string, create bool) (*os.File, error) {
	info, err := os.Lstat(path)
	switch {
	case err == nil:
		if err := regular(path, info); err != nil {
			return nil, err
		}
	case !create || !errors.Is(err, fs.ErrNotExist) || os.IsPathSeparator(path[len(path)-1]):
		return nil, unwritten(err)
	default:
		if err := notOfStore(path, nil); err != nil {
			return nil, err
		}
	}
	flags := os.O_RDWR | noFollow
	if create {
		flags |= os.O_CREATE
	}
	file, err := os.OpenFile(path, flags, 0o600)
	if err != nil {
		return nil, unwritten(err)
	}
	if err := notOfStore(path, file); err != nil {
		return nil, errors.Join(err, file.Close())
	}
	return file, nil
}

// isAt reports whether file is what path names.
func isAt(file *os.File, path string) bool {
	opened, err := file.Stat()
	if err != nil {
		return false
	}
	named, err := os.Lstat(path)
	return err == nil && os.SameFile(opened, named)
}

// regular returns an error if info is not that of a regular file.
func regular(path string, info fs.FileInfo) error {
	switch mode := info.Mode(); {
	case mode.IsRegular():
		return nil
	case mode&fs.ModeSymlink != 0:
		return fmt.Errorf("%s is a symbolic link, and is not followed for writing: name the file itself", path)
	case mode.IsDir():
		return usageError{fmt.Errorf("%s is a directory, and this command is for state files: files, log, stat, verify and restore show what is in a store", path)}
	}
	return fmt.Errorf("%s is not a regular file: a state file must be one", path)
}

// look is what to do where nothing is at a path that is to be read.
const look = "look whether the path is right and the volume mounted"

// absent adds to an error of opening what is to be read what to do about it.
func absent(err error) error { return missing(err, look, look) }

// unwritten does so for a file that is to be written.
func unwritten(err error) error {
	return missing(err, "stateio append creates a state file", "create it first")
}

// missing adds to an error of opening what is not there, or in no directory, what to do then.
func missing(err error, file, directory string) error {
	var path *fs.PathError
	if !errors.Is(err, fs.ErrNotExist) || !errors.As(err, &path) {
		return err
	}
	dir := filepath.Dir(path.Path)
	if os.IsPathSeparator(path.Path[len(path.Path)-1]) {
		dir = path.Path
	}
	if _, err := os.Stat(dir); errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("%s: there is no directory %s: %s: %w", path.Path, dir, directory, fs.ErrNotExist)
	}
	return fmt.Errorf("%s: %w; %s", path.Path, fs.ErrNotExist, file)
}

// advise adds to an error about damage to a file what to do about it.
func advise(err error, path string) error {
	var has advised
	if !errors.Is(err, stateio.ErrCorrupt) || errors.As(err, &has) {
		return err
	}
	return advised{fmt.Errorf("%w; stateio verify %s lists all of the damage, stateio epochs what restore --epoch gives back", err, shellWord(path))}
}

// An advised is an error that has been given its advice.
type advised struct{ error }

func (e advised) Unwrap() error { return e.error }

// adviseStore does the same for a store.
func adviseStore(err error, dir string) error {
	if !errors.Is(err, store.ErrCorrupt) {
		return err
	}
	return fmt.Errorf("%w; stateio verify %s lists all of the damage, and says what can be had", err, shellWord(dir))
}
