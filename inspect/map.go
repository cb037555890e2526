package inspect

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"iter"
	"os"
	"slices"
	"time"

	"github.com/stateio/stateio/internal/fsys"
	"github.com/stateio/stateio/internal/storefile"
	"github.com/stateio/stateio/internal/storefs"
)

// A FileKind says what a file of a [Map] is.
type FileKind uint8

// The kinds of files.
const (
	StateFile    FileKind = 1 + iota // one by itself
	LogFile                          // the updates after an index, of a store
	SnapshotFile                     // the state after an update, of a store
)

// String returns "state file", "log" or "snapshot"; these words do not change.
func (k FileKind) String() string {
	switch k {
	case StateFile:
		return "state file"
	case LogFile:
		return "log"
	case SnapshotFile:
		return "snapshot"
	}
	return fmt.Sprintf("unknown kind %d", uint8(k))
}

// A MapFile is one file of a [Map].
type MapFile struct {
	Path string
	Kind FileKind
	Size int64 // in bytes, when the map was opened
	// Base is the index in the name of a store's file: of the last update before the log,
	// or in the snapshot. Time is when that was committed, if it is known.
	Base uint64
	Time time.Time
	// Imported says that the log follows a state that no update has made.
	Imported bool
	Err      error // why the header can't be read

	store [16]byte
	later []uint64 // bases of the logs after it
}

// A Map is what a store, or a state file, consists of. It keeps no file open, so it need
// not be closed. Its methods may be called concurrently.
type Map struct {
	Path  string
	Store bool      // it is the directory of a store
	Files []MapFile // the logs and then the snapshots of a store, each by index

	dir      storefile.Dir
	identity [16]byte // of the newest log that has one
}

// OpenMap reads which files there are at path, a state file or the directory of a store:
// of those of a store the names and headers. [Map.Parts] reads the rest. It takes no lock,
// changes nothing, and works while the store is open: files that go meanwhile are left out.
// Errors are those of the file system; fs.ErrNotExist, if there is no store in a directory; and
// one that is [github.com/stateio/stateio/store.ErrCorrupt] where the making of a store was
// interrupted.
func OpenMap(path string) (*Map, error) {
	m := &Map{Path: path, dir: storefile.Dir{FS: storefs.For(path), Path: path}}
	if _, real := m.dir.FS.(fsys.OS); real {
		info, err := os.Stat(path) // before it is opened: opening a FIFO would wait
		switch {
		case err != nil:
			return nil, fmt.Errorf("inspect: %w", err)
		case info.Mode().IsRegular():
			m.Files = []MapFile{{Path: path, Kind: StateFile, Size: info.Size()}}
			return m, nil
		case !info.IsDir():
			return nil, fmt.Errorf("inspect: %s is neither a regular file nor a directory: name a state file, or the directory of a store", path)
		}
	}
	m.Store = true
	l, err := m.dir.List()
	if err != nil {
		return nil, fmt.Errorf("inspect: listing %s: %w", path, err)
	}
	if err := l.Interrupted(path); err != nil {
		return nil, err
	}
	if l.Empty() {
		return nil, fmt.Errorf("inspect: there is no store in %s: name the directory that has the *.log files: %w", path, fs.ErrNotExist)
	}
	for i, base := range l.Logs {
		m.add(MapFile{Path: m.dir.Log(base), Kind: LogFile, Base: base, later: l.Logs[i+1:]}, m.dir.LogHeader)
	}
	for _, base := range l.Snaps {
		m.add(MapFile{Path: m.dir.Snap(base), Kind: SnapshotFile, Base: base}, m.dir.SnapHeader)
	}
	return m, nil
}

// add adds f, unless it is gone.
func (m *Map) add(f MapFile, header func(base uint64) (storefile.Header, int64, error)) {
	h, size, err := header(f.Base)
	if errors.Is(err, fs.ErrNotExist) {
		return
	}
	if err == nil {
		f.Time, f.store, f.Imported = moment(h.Time), h.Store, h.Kind == storefile.ImportKind
		if f.Kind == LogFile {
			m.identity = h.Store
		}
	}
	f.Size, f.Err = size, err
	m.Files = append(m.Files, f)
}

// Missing returns what is wrong with the files of a store as a whole: those that are of
// another store, and those that are not there but must be. reaches tells of each log of
// Files, by its number there, the index of its last update and whether it ends with a
// seal; one that is damaged has none. A log that a store has begun since the map was opened
// is not in Files, and seems to be missing if the one before was read to its seal: of a
// store that is open, look again with another map.
func (m *Map) Missing(reaches func(i int) (last uint64, sealed bool)) []error {
	if !m.Store {
		return nil
	}
	var errs []error
	there := map[uint64]bool{}
	first, snaps, imported := uint64(0), 0, false
	for _, f := range m.Files {
		switch {
		case f.Err == nil && f.store != m.identity && m.identity != [16]byte{}:
			errs = append(errs, storefile.Corrupt(f.Path, 0, "it belongs to another store than the newest log"))
		case f.Kind == LogFile:
			imported = imported || f.Imported
		}
		if f.Kind == LogFile {
			there[f.Base] = true
		} else if snaps++; snaps == 1 {
			first = f.Base
		}
	}
	var need []uint64
	for i, f := range m.Files {
		if f.Kind == SnapshotFile {
			need = append(need, f.Base)
		} else if last, sealed := reaches(i); sealed && last >= first {
			need = append(need, last)
		}
	}
	if snaps == 0 {
		need = append(need, 0)
		if imported && there[0] {
			errs = append(errs, m.dir.MissingImport())
		}
	}
	slices.Sort(need)
	for _, base := range slices.Compact(need) {
		if !there[base] {
			errs = append(errs, m.dir.MissingLog(base))
		}
	}
	return errs
}

// Parts walks through file i of m, from a mark on that an earlier walk of it gave, and
// returns its parts. Damage is a part, and no error: an error says why reading failed, and
// ends the walk. A file that a store has dropped meanwhile is fs.ErrNotExist. The file is
// read once, in pieces, up to the size that it has then; of an update it keeps as much
// memory as that is long. A walk from a mark on does not check the seal of a log against
// what is before the mark.
func (m *Map) Parts(i int, from Mark) iter.Seq2[Part, error] {
	return func(give func(Part, error) bool) {
		f := m.Files[i]
		var err error
		stopped := false
		yield := func(p Part, err error) bool {
			stopped = stopped || !give(p, err)
			return !stopped
		}
		switch f.Kind {
		case LogFile:
			err = m.walkLog(f, from, yield)
		case SnapshotFile:
			err = m.walkSnapshot(f, yield)
		default:
			err = walkStateFile(f.Path, from, yield)
		}
		if err != nil && !stopped {
			yield(Part{}, err)
		}
	}
}

// ReadAt reads raw bytes of file i of m, as [io.ReaderAt] has it.
func (m *Map) ReadAt(i int, b []byte, off int64) (int, error) {
	f, _, err := storefile.Open(m.dir.FS, m.Files[i].Path)
	if err != nil {
		return 0, err
	}
	defer f.Close()
	n, err := f.ReadAt(b, off)
	if err != nil && err != io.EOF {
		err = fmt.Errorf("inspect: reading %s at offset %d: %w", m.Files[i].Path, off, err)
	}
	return n, err
}

// moment returns the time that is stored as t, the zero time for none.
func moment(t int64) time.Time {
	if t == 0 {
		return time.Time{}
	}
	return time.Unix(0, t)
}
