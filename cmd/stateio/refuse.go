package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/stateio/stateio"
	"github.com/stateio/stateio/inspect"
	"github.com/stateio/stateio/store"
)

// whatItMayBe says what a file without a whole entry may be.
const whatItMayBe = "It is what a crash left of a first write, the beginning of a copy that broke off, or no state file"

// complete returns an error if an open file of a given size holds something, but
// no whole entry. Package stateio takes it for empty if a crash may have left it,
// because a program must come up again; a person may have named the wrong file, or
// rely on a copy that is none.
func complete(file *os.File, size int64) error {
	if size == 0 {
		return nil
	}
	has, err := inspect.HasEntry(file, size)
	if has || err != nil {
		return err
	}
	if _, _, _, err := stateio.Restore(file, size); err != nil {
		return advise(err, file.Name()) // a better reason
	}
	return fmt.Errorf("%s holds %s, but %w. %s. Nothing was changed; append --cut-incomplete and snapshot --cut-incomplete begin it anew",
		file.Name(), count(size, "byte"), errIncomplete, whatItMayBe)
}

// notOfStore returns an error if the file at path, open as file, is one of a store:
// only package store may write to it. A nil file is one that does not exist.
func notOfStore(path string, file *os.File) error {
	name := filepath.Base(path)
	belongs, err := ofStore(name, file)
	switch {
	case !belongs || err != nil:
		return err
	case isLock(name) || storeName(name):
		return fmt.Errorf("%s belongs to the store in %s; name the directory. Nothing was changed", path, filepath.Dir(path))
	case isBackup(file):
		return fmt.Errorf("%s is a backup of a store, which stays as it was made: stateio import makes a store of it. Nothing was changed", path)
	}
	return fmt.Errorf("%s begins as the files of a store do, and only package store may write to such a file: "+
		"name the directory of the store. Nothing was changed", path)
}

// isBackup reports whether an open file begins as a backup does.
func isBackup(file *os.File) bool {
	info, err := file.Stat()
	if err != nil {
		return false
	}
	is, err := store.IsBackup(file, info.Size())
	return is && err == nil
}

// ofStore reports whether a file is one of a store: it begins like one, or it has the
// name of one and is no state file. What a crash left of a header is none.
func ofStore(name string, file *os.File) (bool, error) {
	if isLock(name) {
		return true, nil
	}
	if file != nil {
		if ours, err := inspect.BelongsToStore(file); ours || err != nil {
			return ours, err
		}
	}
	if !storeName(name) {
		return false, nil
	}
	has, err := hasEntry(file)
	return !has, err
}

// notAStoresName returns an error if a store has files of that name, and no state file has it:
// a file that comes there would be taken for one of the store's, or replace one.
func notAStoresName(path string) error {
	name := filepath.Base(path)
	if !isLock(name) && !storeName(name) {
		return nil
	}
	file, err := os.Open(path)
	if err == nil {
		defer file.Close()
	} else if file = nil; !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	belongs, err := ofStore(name, file)
	if !belongs || err != nil {
		return err
	}
	return fmt.Errorf("%s is the name of a file of a store: name another file. Nothing was changed", path)
}

// isLock reports whether a store has its lock under that name.
func isLock(name string) bool { return strings.EqualFold(name, "LOCK") }

// hasEntry reports whether a file has a whole entry. A nil file has none.
func hasEntry(file *os.File) (bool, error) {
	if file == nil {
		return false, nil
	}
	info, err := file.Stat()
	if err != nil {
		return false, err
	}
	return inspect.HasEntry(file, info.Size())
}

// isNode reports whether path is the directory of a node of module cluster.
func isNode(path string) bool {
	info, err := os.Stat(filepath.Join(path, "NODE"))
	return err == nil && info.Mode().IsRegular() && isDir(filepath.Join(path, "wal"))
}

// storeName reports whether a store has files of that name: 20 digits, and what
// the file holds.
func storeName(name string) bool {
	digits, ok := strings.CutSuffix(name, ".log")
	if !ok {
		digits, ok = strings.CutSuffix(name, ".snap")
	}
	return ok && len(digits) == 20 && strings.Trim(digits, "0123456789") == ""
}

// oneName returns an error if the open file has more names than one, and says what
// doing something to it would do under the others.
func oneName(file *os.File, doing string) error {
	n, err := links(file)
	if n <= 1 || err != nil {
		return err
	}
	return fmt.Errorf("%s has %d names (hard links), and %s. Nothing was changed; give it a content of its own first (cp -p %s copy && mv copy %[4]s)",
		file.Name(), n, doing, shellWord(file.Name()))
}
