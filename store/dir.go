package store

import (
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/stateio/stateio/internal/fsys"
)

const (
	lockName   = "LOCK"
	logSuffix  = ".log"
	snapSuffix = ".snap"
	tmpSuffix  = ".tmp"
	nameDigits = 20
)

// A listing is what a store's directory holds.
type listing struct {
	logs, snaps []uint64 // base indexes, ascending
	tmps        []string // names of files that were being written
	foreign     []string // names of what no store has made
	lock        bool
}

// empty reports whether no store has been made here.
func (l *listing) empty() bool { return len(l.logs) == 0 && len(l.snaps) == 0 }

func fileName(index uint64, suffix string) string {
	return fmt.Sprintf("%0*d%s", nameDigits, index, suffix)
}

// list reads the directory dir of a store. It refuses whatever has the name of
// a store's file and is not a regular file.
func list(fsy fsys.FS, dir string) (*listing, error) {
	found, err := fsy.List(dir)
	if err != nil {
		return nil, fmt.Errorf("store: %w", err)
	}
	l := &listing{}
	for _, e := range found {
		index, suffix, tmp, ok := parseName(e.Name)
		switch {
		case !ok && e.Name != lockName:
			if e.Name != "lost+found" {
				l.foreign = append(l.foreign, e.Name)
			}
			continue
		case e.Type != 0:
			return nil, fmt.Errorf("store: %s is %w, and has the name of a store's file: move it away",
				filepath.Join(dir, e.Name), fsys.ErrNotRegular)
		case !ok:
			l.lock = true
		case tmp:
			l.tmps = append(l.tmps, e.Name)
		case suffix == logSuffix:
			l.logs = append(l.logs, index)
		default:
			l.snaps = append(l.snaps, index)
		}
	}
	slices.Sort(l.logs)
	slices.Sort(l.snaps)
	return l, nil
}

// parseName decodes the name of a log or snapshot.
func parseName(name string) (index uint64, suffix string, tmp, ok bool) {
	name, tmp = strings.CutSuffix(name, tmpSuffix)
	suffix = filepath.Ext(name)
	digits := strings.TrimSuffix(name, suffix)
	if len(digits) != nameDigits || suffix != logSuffix && suffix != snapSuffix {
		return 0, "", false, false
	}
	index, err := strconv.ParseUint(digits, 10, 64)
	return index, suffix, tmp, err == nil
}

func (s *Store) path(index uint64, suffix string) string {
	return filepath.Join(s.dir, fileName(index, suffix))
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
	if err := fsy.SyncDir(parent); err != nil {
		return fmt.Errorf("store: making the directory: %w", err)
	}
	return nil
}
