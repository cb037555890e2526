package storefile

import (
	"fmt"
	"io/fs"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/stateio/stateio/internal/fsys"
)

// The names of a store's files: digits of the index, and a suffix.
const (
	LockName   = "LOCK"
	LogSuffix  = ".log"
	SnapSuffix = ".snap"
	TmpSuffix  = ".tmp"
	// CopySuffix is that of a copy which is to replace a log with another name.
	CopySuffix = ".copy" + TmpSuffix
	// MakeSuffix is that of the first log of a store that is made of another file.
	MakeSuffix = ".import" + TmpSuffix
	nameDigits = 20
)

// A Listing is what a store's directory holds.
type Listing struct {
	Logs, Snaps []uint64 // base indexes, ascending
	Tmps        []string // names of files that were being written
	Making      string   // of Tmps, the log of a store that was being made of another file; "": none
	Foreign     []string // names of what no store has made, and that belongs elsewhere
	Lock        bool

	marks []uint64 // base indexes of logs as that of Making
}

// Empty reports whether no store has been made here.
func (l *Listing) Empty() bool { return len(l.Logs) == 0 && len(l.Snaps) == 0 }

// Same reports whether l and m name the same logs and snapshots.
func (l *Listing) Same(m *Listing) bool {
	return l.Making == m.Making && slices.Equal(l.Logs, m.Logs) && slices.Equal(l.Snaps, m.Snaps)
}

// FileName returns the name of the log or snapshot of index.
func FileName(index uint64, suffix string) string {
	name := make([]byte, nameDigits, nameDigits+len(CopySuffix)+len(LogSuffix))
	for i := range slices.Backward(name) {
		name[i] = '0' + byte(index%10)
		index /= 10
	}
	return string(append(name, suffix...))
}

// List reads the names in the directory. It refuses whatever has the name of a store's
// file and is not a regular file.
func (d Dir) List() (*Listing, error) {
	found, err := d.FS.List(d.Path)
	if err != nil {
		return nil, fmt.Errorf("store: %w", err)
	}
	l := &Listing{}
	for _, e := range found {
		index, suffix, tmp, ok := parseName(e.Name)
		switch {
		case !ok && e.Name != LockName:
			if !tolerated(e) {
				l.Foreign = append(l.Foreign, e.Name)
			}
			continue
		case e.Type != 0:
			return nil, fmt.Errorf("store: %s is %w, and has the name of a store's file: move it away",
				filepath.Join(d.Path, e.Name), fsys.ErrNotRegular)
		case !ok:
			l.Lock = true
		case tmp != "":
			l.Tmps = append(l.Tmps, e.Name)
			if tmp == MakeSuffix {
				l.Making, l.marks = e.Name, append(l.marks, index)
			}
		case suffix == LogSuffix:
			l.Logs = append(l.Logs, index)
		default:
			l.Snaps = append(l.Snaps, index)
		}
	}
	slices.Sort(l.Logs)
	slices.Sort(l.Snaps)
	return l, nil
}

// tolerated reports whether e may be beside a store that is made: what a new file system holds,
// and the directory in which stateio bench measures the disk before.
func tolerated(e fsys.Entry) bool {
	return e.Name == "lost+found" || strings.HasPrefix(e.Name, ".stateio-bench-") && e.Type.IsDir()
}

// Interrupted returns an error if the making of a store, by Import, Create, Repair or Copy, failed
// or was interrupted before there was one: what is there must not be taken for an empty
// store.
func (l *Listing) Interrupted(dir string) error {
	if !l.unmade() {
		return nil
	}
	return Corrupt(filepath.Join(dir, l.Making), 0, "the store was being made of something else (import, create, repair, backup) when that failed or was interrupted: do it again, a repair or backup into another directory; or, to begin with nothing, remove %s", dir)
}

// unmade reports whether what is there is what the making of a store has left: its first log
// under the name of Making, and besides at most the snapshot before that, and the empty log
// that is to follow it. It is a store once the first log has its name.
func (l *Listing) unmade() bool {
	if len(l.marks) == 0 || len(l.Logs) == 0 {
		return len(l.marks) > 0
	}
	foreign := func(index uint64) bool { return !slices.Contains(l.marks, index) }
	return len(l.Logs) == 1 && foreign(l.Logs[0]) && slices.Min(l.marks) < l.Logs[0] && !slices.ContainsFunc(l.Snaps, foreign)
}

// Find is List, for a directory that must hold a store. If there is none, the error is
// fs.ErrNotExist, whether there is a directory or not.
func (d Dir) Find() (*Listing, error) {
	l, err := d.List()
	if err == nil {
		err = l.Interrupted(d.Path)
	}
	if err == nil && l.Empty() {
		err = d.NoStore()
	}
	return l, err
}

// NoStore returns the error that says so of a directory without one.
func (d Dir) NoStore() error {
	return &Error{Is: fs.ErrNotExist, Msg: fmt.Sprintf("there is no store in %s: look whether the path is right and the volume mounted", d.Path)}
}

// IsFileName reports whether a store's files are named so, LOCK among them.
func IsFileName(name string) bool {
	_, _, _, ok := parseName(name)
	return ok || name == LockName
}

// parseName decodes the name of a log or snapshot. tmp is the suffix of a file that was
// being written; "": it has its name.
func parseName(name string) (index uint64, suffix, tmp string, ok bool) {
	for _, tmp = range []string{CopySuffix, MakeSuffix, TmpSuffix, ""} {
		if strings.HasSuffix(name, tmp) {
			name = strings.TrimSuffix(name, tmp)
			break
		}
	}
	suffix = filepath.Ext(name)
	digits := strings.TrimSuffix(name, suffix)
	if len(digits) != nameDigits || suffix != LogSuffix && suffix != SnapSuffix {
		return 0, "", "", false
	}
	index, err := strconv.ParseUint(digits, 10, 64)
	return index, suffix, tmp, err == nil
}

// Reaches reports whether there is a file to start from for the state of index.
func (l *Listing) Reaches(index uint64) bool {
	return l.HasSnapshot(index) || len(l.Logs) > 0 && l.Logs[0] == 0
}

// HasSnapshot reports whether there is a snapshot to start from for the state of
// index.
func (l *Listing) HasSnapshot(index uint64) bool {
	return len(l.Snaps) > 0 && l.Snaps[0] <= index
}

// WhyNot says why the state of index can't be had from a directory in which
// nothing is damaged.
func (l *Listing) WhyNot(index uint64, dir string) string {
	if len(l.Snaps) > 0 && index < l.Snaps[0] {
		// A crash may bring back some of the logs that were being removed.
		return fmt.Sprintf("logs that lead to the state of update %d were dropped from %s, after a snapshot of update %d", index, dir, l.Snaps[0])
	}
	return fmt.Sprintf("update %d is not yet durable in %s", index, dir)
}
