package fsys

import (
	"io"
	"io/fs"
	"path/filepath"
)

// A memView is a Mem as seen by the holder of one of its directories, or of none.
type memView struct {
	*Mem
	held *memHeld
}

// within reports whether the path of a directory is that of the one held. The
// caller holds mu.
func (m memView) within(dir string) bool {
	return m.held != nil && !m.held.closed && filepath.Clean(dir) == m.held.path
}

// find is that of the Mem for a path that does not lead into the directory held.
func (m memView) find(path string) (place, node, error) {
	if m.stopped || !m.within(filepath.Dir(path)) {
		return m.Mem.find(path)
	}
	at := place{m.held.dir, filepath.Base(path)}
	return at, at.dir.cur.get(at.name), nil
}

// findDir is that of the Mem for any directory but the one held.
func (m memView) findDir(path string) (*directory, error) {
	if m.stopped || !m.within(path) {
		return m.Mem.findDir(path)
	}
	return m.held.dir, nil
}

// Open implements [FS].
func (m *Mem) Open(path string, mode Mode, perm fs.FileMode) (File, error) {
	return memView{Mem: m}.Open(path, mode, perm)
}

// Lock implements [FS].
func (m *Mem) Lock(path string, perm fs.FileMode) (io.Closer, error) {
	return memView{Mem: m}.Lock(path, perm)
}

// Rename implements [FS]. A directory can be renamed only within its own
// parent, and only to a name that is free.
func (m *Mem) Rename(oldpath, newpath string) error { return memView{Mem: m}.Rename(oldpath, newpath) }

// Remove implements [FS].
func (m *Mem) Remove(path string) error { return memView{Mem: m}.Remove(path) }

// Stat implements [FS].
func (m *Mem) Stat(path string) (Info, error) { return memView{Mem: m}.Stat(path) }

// List implements [FS].
func (m *Mem) List(dir string) ([]Entry, error) { return memView{Mem: m}.List(dir) }

// SyncDir implements [FS].
func (m *Mem) SyncDir(dir string) error { return memView{Mem: m}.SyncDir(dir) }

// Hold implements [FS].
func (m *Mem) Hold(dir string) (Held, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	d, err := m.findDir(dir)
	if err != nil {
		return nil, pathError("hold", dir, err)
	}
	h := &memHeld{dir: d, path: filepath.Clean(dir)}
	h.memView = memView{m, h}
	return h, nil
}

// memHeld is a directory of a Mem that is held open.
type memHeld struct {
	memView
	dir    *directory
	path   string
	locked bool // guarded by mu of the Mem, as all below
	closed bool
}

// LockDir implements [Held].
func (h *memHeld) LockDir() error {
	h.mu.Lock()
	defer h.mu.Unlock()
	var err error
	switch {
	case h.stopped:
		err = ErrCrashed
	case h.closed:
		err = fs.ErrClosed
	case h.opts.NoDirLocks:
		err = refusedError{errBadFile}
	case h.dir.locked && !h.locked:
		err = ErrLocked
	}
	if err != nil {
		return pathError("lock", h.path, err)
	}
	h.dir.locked, h.locked = true, true
	return nil
}

// Moved implements [Held].
func (h *memHeld) Moved() (bool, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	switch {
	case h.stopped:
		return false, pathError("stat", h.path, ErrCrashed)
	case h.closed:
		return false, pathError("stat", h.path, fs.ErrClosed)
	}
	d, err := h.lookupDir(h.path)
	return err != nil || d != h.dir, nil
}

// Close implements [Held].
func (h *memHeld) Close() error {
	h.mu.Lock()
	defer h.mu.Unlock()
	switch {
	case h.stopped:
		return pathError("close", h.path, ErrCrashed)
	case h.closed:
		return pathError("close", h.path, fs.ErrClosed)
	}
	h.closed = true
	if h.locked {
		h.dir.locked = false
	}
	return nil
}
