package main

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/stateio/stateio"
)

// A bench works in a directory of its own, whose name says so, and holds a lock in it as
// long as it runs. What a kill left is removed by the next one in the same place.
const (
	benchPrefix = ".stateio-bench-"
	benchLock   = "bench.lock"
)

// A benchDir is the directory of a bench that runs.
type benchDir struct {
	path string
	lock *os.File
}

// newBenchDir makes a directory for a bench in parent, and tells warn of those that it
// removed, or that are in the way.
func newBenchDir(parent string, warn io.Writer) (*benchDir, error) {
	for {
		path, err := os.MkdirTemp(parent, benchPrefix+"*")
		if err != nil {
			return nil, err
		}
		file, err := os.OpenFile(filepath.Join(path, benchLock), os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600)
		if errors.Is(err, fs.ErrNotExist) {
			continue // another bench took it for one that was left, just now
		}
		if err != nil {
			return nil, errors.Join(err, os.RemoveAll(path))
		}
		locked, err := lock(file)
		if errors.Is(err, stateio.ErrLocked) || !isAt(file, file.Name()) {
			_ = file.Close() // it is about to be removed
			continue
		}
		temporary.add(path)
		if locked { // where there are no locks, nobody removes anything
			removeOldBenches(parent, warn)
		}
		return &benchDir{path, file}, nil
	}
}

// remove removes the directory with all that is in it.
func (d *benchDir) remove() error {
	defer temporary.forget(d.path)
	return errors.Join(d.lock.Close(), os.RemoveAll(d.path))
}

// removeOldBenches removes the directories that benches in parent have left, and nothing
// else.
func removeOldBenches(parent string, warn io.Writer) {
	entries, err := os.ReadDir(parent)
	if err != nil {
		return
	}
	for _, e := range entries {
		number, ours := strings.CutPrefix(e.Name(), benchPrefix)
		if !ours || !e.IsDir() || number == "" || strings.Trim(number, "0123456789") != "" {
			continue
		}
		path := filepath.Join(parent, e.Name())
		switch removed, err := removeOldBench(path); {
		case err != nil:
			_, _ = fmt.Fprintf(warn, "stateio: %s seems to be left by a bench that was killed, and was not removed: %s\n", printable(path), escaped(err.Error()))
		case removed:
			_, _ = fmt.Fprintf(warn, "stateio: removed %s, which a bench that was killed had left\n", printable(path))
		}
	}
}

// removeOldBench removes the directory at path if a bench made it that runs no more.
func removeOldBench(path string) (removed bool, err error) {
	entries, err := os.ReadDir(path)
	if err != nil {
		return false, err
	}
	if len(entries) == 0 { // it was killed before it had the lock
		return os.Remove(path) == nil, nil
	}
	for _, e := range entries {
		if !slices.Contains([]string{benchLock, "plain", "store"}, e.Name()) {
			return false, fmt.Errorf("it holds %s, which bench does not make", e.Name())
		}
	}
	lock, err := os.OpenFile(filepath.Join(path, benchLock), os.O_RDWR|noFollow, 0)
	if err != nil {
		return false, fmt.Errorf("it has no lock: %w", err)
	}
	defer lock.Close()
	if err := stateio.Lock(lock); err != nil || !isAt(lock, lock.Name()) {
		return false, nil //nolint:nilerr // a bench that runs holds it
	}
	return true, os.RemoveAll(path)
}
