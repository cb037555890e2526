package memfs

import (
	"io"
	"io/fs"
	"path/filepath"
	"time"

	"github.com/stateio/stateio/internal/fsys"
)

// A memView is an FS as seen by the holder of one of its directories, or of none.
type memView struct {
	*FS
	held *memHeld
}

// within reports whether the path of a directory is that of the one held. The
// caller holds mu.
func (m memView) within(dir string) bool {
	return m.held != nil && !m.held.closed && filepath.Clean(dir) == m.held.path
}

// find is that of the FS for a path that does not lead into the directory held.
func (m memView) find(path string) (place, node, error) {
	if m.stopped || !m.within(filepath.Dir(path)) {
		return m.FS.find(path)
	}
	at := place{m.held.dir, filepath.Base(path)}
	return at, at.dir.cur.get(at.name), nil
}

// findDir is that of the FS for any directory but the one held.
func (m memView) findDir(path string) (*directory, error) {
	if m.stopped || !m.within(path) {
		return m.FS.findDir(path)
	}
	return m.held.dir, nil
}

// Open implements [fsys.FS].
func (m *FS) Open(path string, mode fsys.Mode, perm fs.FileMode) (fsys.File, error) {
	return memView{FS: m}.Open(path, mode, perm)
}

// Lock implements [fsys.FS].
func (m *FS) Lock(path string, perm fs.FileMode) (io.Closer, error) {
	return memView{FS: m}.Lock(path, perm)
}

// Rename implements [fsys.FS]. A directory can be renamed only within its own
// parent, and only to a name that is free.
func (m *FS) Rename(oldpath, newpath string) error { return memView{FS: m}.Rename(oldpath, newpath) }

// Remove implements [fsys.FS].
func (m *FS) Remove(path string) error { return memView{FS: m}.Remove(path) }

// Stat implements [fsys.FS].
func (m *FS) Stat(path string) (fsys.Info, error) { return memView{FS: m}.Stat(path) }

// ModTime implements [fsys.FS].
func (m *FS) ModTime(path string) (time.Time, error) { return memView{FS: m}.ModTime(path) }

// List implements [fsys.FS].
func (m *FS) List(dir string) ([]fsys.Entry, error) { return memView{FS: m}.List(dir) }

// SyncDir implements [fsys.FS].
func (m *FS) SyncDir(dir string) error { return memView{FS: m}.SyncDir(dir) }

// Hold implements [fsys.FS].
func (m *FS) Hold(dir string) (fsys.Held, error) {
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

// memHeld is a directory of an FS that is held open.
type memHeld struct {
	memView
	dir    *directory
	path   string
	locked bool // guarded by mu of the FS, as all below
	closed bool
}

// LockDir implements [fsys.Held].
func (h *memHeld) LockDir() error {
	h.mu.Lock()
	defer h.mu.Unlock()
	var err error
	switch {
	case h.stopped:
		err = fsys.ErrCrashed
	case h.closed:
		err = fs.ErrClosed
	case h.opts.NoDirLocks:
		err = fsys.Refused(errBadFile)
	case h.dir.locked && !h.locked:
		err = fsys.ErrLocked
	}
	if err != nil {
		return pathError("lock", h.path, err)
	}
	h.dir.locked, h.locked = true, true
	return nil
}

// Moved implements [fsys.Held].
func (h *memHeld) Moved() (bool, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	switch {
	case h.stopped:
		return false, pathError("stat", h.path, fsys.ErrCrashed)
	case h.closed:
		return false, pathError("stat", h.path, fs.ErrClosed)
	}
	d, err := h.lookupDir(h.path)
	return err != nil || d != h.dir, nil
}

// Close implements [fsys.Held].
func (h *memHeld) Close() error {
	h.mu.Lock()
	defer h.mu.Unlock()
	switch {
	case h.stopped:
		return pathError("close", h.path, fsys.ErrCrashed)
	case h.closed:
		return pathError("close", h.path, fs.ErrClosed)
	}
	h.closed = true
	if h.locked {
		h.dir.locked = false
	}
	return nil
}
