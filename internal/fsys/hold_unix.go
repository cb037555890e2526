//go:build unix

package fsys

import (
	"cmp"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"sync"

	"golang.org/x/sys/unix"
)

// Hold implements [FS].
func (OS) Hold(dir string) (Held, error) {
	f, err := openDir(dir)
	if err != nil {
		var pe *fs.PathError
		if errors.As(err, &pe) {
			pe.Op = "hold"
		}
		return nil, err
	}
	return &osHeld{dir: filepath.Clean(dir), f: f, fd: int(f.Fd())}, nil
}

// osHeld is a directory of an OS that is held open.
type osHeld struct {
	OS
	dir string
	f   *os.File

	mu     sync.RWMutex // guards fd against Close; held shared by system calls on fd
	fd     int
	locked bool // guarded by mu, held exclusively
	closed bool
	list   sync.Mutex // guards the position of f
}

// at returns where path leads. It is valid until done is called.
func (h *osHeld) at(path string) (at spot, done func()) {
	h.mu.RLock()
	return h.spot(path), h.mu.RUnlock
}

// spot is at for a caller that holds mu.
func (h *osHeld) spot(path string) spot {
	if h.closed || filepath.Dir(path) != h.dir {
		return named(path)
	}
	return spot{h.fd, filepath.Base(path), path}
}

// Open implements [FS].
func (h *osHeld) Open(path string, mode Mode, perm fs.FileMode) (File, error) {
	at, done := h.at(path)
	defer done()
	return openAt(at, mode, perm)
}

// Lock implements [FS].
func (h *osHeld) Lock(path string, perm fs.FileMode) (io.Closer, error) {
	at, done := h.at(path)
	defer done()
	return lockAt(at, perm)
}

// Rename implements [FS].
func (h *osHeld) Rename(oldpath, newpath string) error {
	from, done := h.at(oldpath)
	defer done()
	return renameAt(from, h.spot(newpath))
}

// Remove implements [FS].
func (h *osHeld) Remove(path string) error {
	at, done := h.at(path)
	defer done()
	return removeAt(at)
}

// Stat implements [FS]. It allocates nothing, as lstat does not.
func (h *osHeld) Stat(path string) (Info, error) {
	h.mu.RLock()
	defer h.mu.RUnlock()
	return statAt(h.spot(path), "stat")
}

// holds reports whether dir is the directory that is held. If so, it stays open
// until done is called.
func (h *osHeld) holds(dir string) (done func(), ok bool) {
	h.mu.RLock()
	if h.closed || filepath.Clean(dir) != h.dir {
		h.mu.RUnlock()
		return nil, false
	}
	return h.mu.RUnlock, true
}

// SyncDir implements [FS].
func (h *osHeld) SyncDir(dir string) error {
	done, ok := h.holds(dir)
	if !ok {
		return h.OS.SyncDir(dir)
	}
	defer done()
	if err := syncOpenDir(h.f); err != nil {
		return &fs.PathError{Op: "syncdir", Path: dir, Err: NoSpace(err)}
	}
	return nil
}

// List implements [FS]. It asks for each type by name, for package os would ask by
// the path of the directory where the file system does not tell.
func (h *osHeld) List(dir string) ([]Entry, error) {
	done, ok := h.holds(dir)
	if !ok {
		return h.OS.List(dir)
	}
	defer done()
	h.list.Lock()
	defer h.list.Unlock()
	if _, err := h.f.Seek(0, io.SeekStart); err != nil {
		return nil, err
	}
	names, err := h.f.Readdirnames(-1)
	if err != nil {
		return nil, err
	}
	entries := make([]Entry, 0, len(names))
	for _, name := range names {
		info, err := statAt(spot{h.fd, name, filepath.Join(dir, name)}, "list")
		e, there, err := entryOf(name, info, err)
		if err != nil {
			return nil, err
		}
		if there {
			entries = append(entries, e)
		}
	}
	slices.SortFunc(entries, func(a, b Entry) int { return cmp.Compare(a.Name, b.Name) })
	return entries, nil
}

// entryOf returns the entry of a name that was looked at, unless it went meanwhile. One whose inode
// the disk does not give back is a name like any other: whoever opens it is told.
func entryOf(name string, info Info, err error) (e Entry, there bool, _ error) {
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return Entry{}, false, nil
	case err != nil && !Unreadable(err):
		return Entry{}, false, err
	}
	return Entry{Name: name, Type: info.Mode.Type()}, true, nil
}

// LockDir implements [Held]. A server of files may not lock what is open for reading
// only (EBADF), as a directory is, and a policy may allow to lock files and not
// directories (EACCES).
func (h *osHeld) LockDir() error {
	h.mu.Lock()
	defer h.mu.Unlock()
	err := fs.ErrClosed
	if !h.closed {
		err = lockFile(uintptr(h.fd))
	}
	if err == unix.EBADF || err == unix.EACCES {
		err = refusedError{err}
	}
	if err != nil {
		return &fs.PathError{Op: "lock", Path: h.dir, Err: err}
	}
	h.locked = true
	return nil
}

// Moved implements [Held].
func (h *osHeld) Moved() (bool, error) {
	h.mu.RLock()
	defer h.mu.RUnlock()
	if h.closed {
		return false, &fs.PathError{Op: "stat", Path: h.dir, Err: fs.ErrClosed}
	}
	held, err := fstat(uintptr(h.fd))
	if err == nil {
		var id FileID
		if id, err = idAt(h.dir); err == nil {
			return id != held.ID, nil
		}
	}
	if err == unix.ENOENT || err == unix.ENOTDIR {
		return true, nil
	}
	return false, &fs.PathError{Op: "stat", Path: h.dir, Err: err}
}

// Close implements [Held]. It unlocks first, as that of an osLock does.
func (h *osHeld) Close() error {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.locked {
		unlockFile(uintptr(h.fd))
	}
	h.locked, h.closed = false, true
	return h.f.Close()
}
