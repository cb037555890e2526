package main

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"

	"github.com/stateio/stateio"
	"github.com/stateio/stateio/inspect"
	"github.com/stateio/stateio/internal/record"
	"github.com/stateio/stateio/store"
)

// openRead opens a state file for reading, and returns its size.
func openRead(path string) (*os.File, int64, error) {
	info, err := os.Stat(path) // before it is opened: opening a FIFO would wait
	if err != nil {
		return nil, 0, missing(err)
	}
	if err := regular(path, info); err != nil {
		return nil, 0, err
	}
	file, err := os.Open(path)
	if err != nil {
		return nil, 0, missing(err)
	}
	if info, err = file.Stat(); err != nil {
		return nil, 0, errors.Join(err, file.Close())
	}
	return file, info.Size(), nil
}

// openWrite opens a state file for writing, creates it if create says so, locks
// it, and cuts a torn tail off.
func openWrite(path string, create bool) (*os.File, error) {
	for {
		file, err := openDirect(path, create)
		if err != nil {
			return nil, err
		}
		held, err := lock(file, path)
		if held {
			return file, nil
		}
		if err := errors.Join(err, file.Close()); err != nil {
			return nil, err
		}
	}
}

// lock makes an open state file ready for appending. It reports false if path
// names another file by now: stateio compact has replaced it before it was
// locked.
func lock(file *os.File, path string) (bool, error) {
	if err := checkStart(file); err != nil {
		return false, err
	}
	// The writer is not used: it syncs every entry by itself.
	_, err := stateio.NewFileWriter(file)
	switch {
	case errors.Is(err, stateio.ErrLocked):
		return false, fmt.Errorf("%w; wait for it to end, or stop it", err)
	case errors.Is(err, fs.ErrNotExist):
		return false, nil
	case err != nil:
		return false, advise(err, path)
	}
	return isAt(file, path), nil
}

// checkStart returns an error unless file is empty, begins with an entry, or with
// what a crash may have left of one. Package stateio checks that, too, but it
// must allow for more: here a person may have named the wrong file, whose content
// would be taken for a torn tail and cut off.
func checkStart(file *os.File) error {
	var buf [record.HeaderSize]byte
	n, err := file.ReadAt(buf[:], 0)
	if err != nil && !errors.Is(err, io.EOF) {
		return err
	}
	h := record.Decode(buf[:])
	switch {
	case n < len(buf), h.Offset == 0 && h.Type == record.Full && h.Length <= record.MaxData,
		h.Offset == 0 && h.Type == record.First && h.Length == record.MaxData:
		return nil
	}
	info, err := file.Stat()
	if err != nil {
		return err
	}
	for _, err := range inspect.Entries(file, info.Size()) {
		var d *inspect.Damage
		if errors.As(err, &d) && d.Place == inspect.TornTail && d.Offset == 0 {
			return fmt.Errorf("%s is no state file, by all appearance: it holds no entry, and does not begin like one. "+
				"Nothing was changed; if it is one, whose first write a power failure cut short, remove it", file.Name())
		}
		break
	}
	return nil
}

// openDirect opens path for reading and writing unless it is a symbolic link or
// no regular file.
func openDirect(path string, create bool) (*os.File, error) {
	info, err := os.Lstat(path)
	switch {
	case err == nil:
		if err := regular(path, info); err != nil {
			return nil, err
		}
	case !create || !errors.Is(err, fs.ErrNotExist):
		return nil, missing(err)
	}
	flags := os.O_RDWR | noFollow
	if create {
		flags |= os.O_CREATE
	}
	file, err := os.OpenFile(path, flags, 0o600)
	if err != nil {
		return nil, missing(err)
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
		return fmt.Errorf("%s is a directory: this is for state files; append, snapshot, restore, log and verify work on stores, too", path)
	}
	return fmt.Errorf("%s is not a regular file: a state file must be one", path)
}

// missing adds to an error of opening a file what to do about it.
func missing(err error) error {
	var path *fs.PathError
	if errors.Is(err, fs.ErrNotExist) && errors.As(err, &path) {
		return fmt.Errorf("%s: %w; stateio append creates a state file", path.Path, fs.ErrNotExist)
	}
	return err
}

// advise adds to an error about damage to a file what to do about it.
func advise(err error, path string) error {
	if !errors.Is(err, stateio.ErrCorrupt) {
		return err
	}
	return fmt.Errorf("%w; stateio verify %s lists all of the damage, stateio epochs what restore --epoch gives back", err, path)
}

// adviseStore does the same for a store.
func adviseStore(err error, dir string) error {
	if !errors.Is(err, store.ErrCorrupt) {
		return err
	}
	return fmt.Errorf("%w; stateio verify %s lists all of the damage, stateio restore --at gives back what is before it", err, dir)
}
