package memfs

import (
	"fmt"
	"io"
	"io/fs"
	"math"
	"os"
	"slices"
	"sync"
	"syscall"
	"time"

	"github.com/stateio/stateio/internal/fsys"
)

const (
	maxPageSize     = 4096
	defaultPageSize = 4096
	maxFileSize     = 1 << 36 // bytes
)

// Options are the ways in which disks and kernels differ. The zero value is
// a page cache of 4 KiB pages on a disk without end that shows zeros in pages
// never written.
type Options struct {
	// PageSize is the unit that a power cut keeps or loses, in bytes: 512 for a
	// sector or 4096, the default, for a page.
	PageSize int
	// Garbage lets a power cut leave noise, or an older page of the same file, in
	// a page that was written for the first time and has not reached the disk.
	Garbage bool
	// Quota is the space on the disk in bytes; 0: no limit.
	Quota int64
	// Now is the clock; nil: that of the process.
	Now func() time.Time
	// NoDirLocks makes fsys.Held.LockDir fail, as file systems of a network do.
	NoDirLocks bool
}

// FS is a file system in memory that knows what a power cut would take away:
// see [FS.Crash]. It keeps the promises of fsys.FS and not one more. Make one with
// [New]; its root, "/" or ".", is an empty directory. There are no symbolic
// links, and permissions are recorded but not enforced.
//
// An FS and its Files may be used by any number of goroutines at once.
type FS struct {
	opts Options

	mu      sync.Mutex // guards everything below and every inode and directory
	root    *directory
	steps   []step // names changed and not yet on the disk, oldest first
	pages   int64  // pages in use by files that have a name or are open
	files   uint64 // files made so far
	stopped bool
}

// New returns an empty file system. It panics if the page size is neither
// 512 nor 4096.
func New(opts Options) *FS {
	if opts.PageSize == 0 {
		opts.PageSize = defaultPageSize
	}
	if opts.PageSize != 512 && opts.PageSize != 4096 {
		panic(fmt.Sprintf("fsys: page size %d is neither 512 nor 4096", opts.PageSize))
	}
	return &FS{opts: opts, root: &directory{perm: 0o755}}
}

// SetQuota changes the space on the disk, in bytes; 0 removes the limit. What
// is in use stays, even above the quota.
func (m *FS) SetQuota(bytes int64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.opts.Quota = bytes
}

// Used returns the space in use in bytes: whole pages, written or set aside by
// Preallocate, of files that have a name or are open.
func (m *FS) Used() int64 {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.pages * int64(m.opts.PageSize)
}

// Open implements [fsys.FS].
func (m memView) Open(path string, mode fsys.Mode, perm fs.FileMode) (fsys.File, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	f, err := m.openLocked(path, mode, perm)
	if err != nil {
		return nil, pathError("open", path, err)
	}
	f.opens++
	return &memFile{m: m.FS, inode: f, path: path, mode: mode}, nil
}

func (m memView) openLocked(path string, mode fsys.Mode, perm fs.FileMode) (*inode, error) {
	if mode < fsys.ReadOnly || mode > fsys.Create {
		return nil, fmt.Errorf("%w: mode %d", fs.ErrInvalid, mode)
	}
	at, n, err := m.find(path)
	if err != nil {
		return nil, err
	}
	switch {
	case n == nil && mode == fsys.Create:
		return m.createLocked(at, perm), nil
	case n == nil:
		return nil, syscall.ENOENT
	case mode == fsys.Create:
		return nil, syscall.EEXIST
	}
	return asFile(n)
}

func (m *FS) createLocked(at place, perm fs.FileMode) *inode {
	m.files++
	f := &inode{perm: perm.Perm(), ino: m.files, links: 1}
	m.take(set{at, f})
	return f
}

// find is lookup for an operation that a stopped file system refuses.
func (m *FS) find(path string) (place, node, error) {
	if m.stopped {
		return place{}, nil, fsys.ErrCrashed
	}
	return m.lookup(path)
}

func asFile(n node) (*inode, error) {
	f, ok := n.(*inode)
	if !ok {
		return nil, fmt.Errorf("%w but %s", fsys.ErrNotRegular, fsys.TypeName(n.info().Mode))
	}
	return f, nil
}

// Lock implements [fsys.FS].
func (m memView) Lock(path string, perm fs.FileMode) (io.Closer, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	f, err := m.lockLocked(path, perm)
	if err != nil {
		return nil, pathError("lock", path, err)
	}
	return &memLock{m: m.FS, inode: f, path: path}, nil
}

func (m memView) lockLocked(path string, perm fs.FileMode) (*inode, error) {
	at, n, err := m.find(path)
	if err != nil {
		return nil, err
	}
	if n == nil {
		n = m.createLocked(at, perm)
	}
	f, err := asFile(n)
	if err != nil {
		return nil, err
	}
	if f.locked {
		return nil, fsys.ErrLocked
	}
	f.locked = true
	f.opens++
	return f, nil
}

// Mkdir implements [fsys.FS].
func (m *FS) Mkdir(path string, perm fs.FileMode) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	at, n, err := m.find(path)
	switch {
	case err != nil:
		return pathError("mkdir", path, err)
	case n != nil:
		return pathError("mkdir", path, syscall.EEXIST)
	}
	m.take(set{at, &directory{perm: perm.Perm()}})
	return nil
}

// Rename implements [fsys.FS].
func (m memView) Rename(oldpath, newpath string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if err := m.renameLocked(oldpath, newpath); err != nil {
		return &os.LinkError{Op: "rename", Old: oldpath, New: newpath, Err: err}
	}
	return nil
}

func (m memView) renameLocked(oldpath, newpath string) error {
	from, n, err := m.find(oldpath)
	if err != nil {
		return err
	}
	to, over, err := m.find(newpath)
	if err != nil {
		return err
	}
	_, isDir := n.(*directory)
	_, overDir := over.(*directory)
	switch {
	case n == nil:
		return syscall.ENOENT
	case n == over:
		return nil
	case overDir || isDir && over != nil:
		return syscall.EEXIST
	case isDir && from.dir != to.dir:
		return errCrossDevice
	}
	m.take(set{from, nil}, set{to, n})
	if f, ok := over.(*inode); ok {
		m.unname(f)
	}
	return nil
}

// Remove implements [fsys.FS].
func (m memView) Remove(path string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	at, n, err := m.find(path)
	if err != nil {
		return pathError("remove", path, err)
	}
	switch n := n.(type) {
	case nil:
		return pathError("remove", path, syscall.ENOENT)
	case *directory:
		return pathError("remove", path, syscall.EISDIR)
	case *inode:
		m.take(set{at, nil})
		m.unname(n)
	}
	return nil
}

// RemoveDir implements [fsys.FS].
func (m *FS) RemoveDir(path string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	at, n, err := m.find(path)
	d, isDir := n.(*directory)
	switch {
	case err != nil:
	case n == nil:
		err = syscall.ENOENT
	case !isDir:
		err = syscall.ENOTDIR
	case len(d.cur) > 0 || at.dir == nil:
		err = syscall.EEXIST
	default:
		m.take(set{at, nil})
		return nil
	}
	return pathError("rmdir", path, err)
}

// Link gives the file that has the name oldpath another one, newpath, which must be
// free. It is durable after SyncDir of the directory of newpath. It is no operation
// of an FS: the one to hold against a store is somebody else's.
func (m *FS) Link(oldpath, newpath string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if err := m.linkLocked(oldpath, newpath); err != nil {
		return &os.LinkError{Op: "link", Old: oldpath, New: newpath, Err: err}
	}
	return nil
}

func (m *FS) linkLocked(oldpath, newpath string) error {
	_, n, err := m.find(oldpath)
	if err != nil {
		return err
	}
	to, over, err := m.find(newpath)
	switch {
	case err != nil:
		return err
	case n == nil:
		return syscall.ENOENT
	case over != nil:
		return syscall.EEXIST
	}
	f, err := asFile(n)
	if err != nil {
		return err
	}
	m.take(set{to, f})
	f.links++
	f.linked = true
	return nil
}

// unname is called when f has lost a name.
func (m *FS) unname(f *inode) {
	f.links--
	m.release(f)
}

// release returns the space of f if nothing keeps it.
func (m *FS) release(f *inode) {
	if f.links == 0 && f.opens == 0 {
		m.pages -= f.cur.pages
	}
}

// Stat implements [fsys.FS].
func (m memView) Stat(path string) (fsys.Info, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	_, n, err := m.find(path)
	if err == nil && n == nil {
		err = syscall.ENOENT
	}
	if err != nil {
		return fsys.Info{}, pathError("stat", path, err)
	}
	return n.info(), nil
}

// ModTime implements [fsys.FS]. It can tell if Options.Now is set.
func (m memView) ModTime(path string) (time.Time, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	_, n, err := m.find(path)
	if f, ok := n.(*inode); ok && err == nil {
		return f.changed, nil
	}
	if err == nil {
		err = syscall.ENOENT
	}
	return time.Time{}, pathError("stat", path, err)
}

// List implements [fsys.FS].
func (m memView) List(dir string) ([]fsys.Entry, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	d, err := m.findDir(dir)
	if err != nil {
		return nil, pathError("list", dir, err)
	}
	entries := make([]fsys.Entry, len(d.cur))
	for i, n := range d.cur {
		entries[i] = fsys.Entry{Name: n.name, Type: n.node.info().Mode.Type()}
	}
	return slices.Clip(entries), nil
}

// SyncDir implements [fsys.FS].
func (m memView) SyncDir(dir string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	d, err := m.findDir(dir)
	if err != nil {
		return pathError("syncdir", dir, err)
	}
	m.syncSteps(d)
	return nil
}

func (m *FS) findDir(path string) (*directory, error) {
	if m.stopped {
		return nil, fsys.ErrCrashed
	}
	return m.lookupDir(path)
}

// SyncName implements [fsys.FS].
func (m *FS) SyncName(dir string) error { return m.SyncDir(fsys.Parent(dir)) }

func pathError(op, path string, err error) error {
	return &fs.PathError{Op: op, Path: path, Err: err}
}

// Now implements [fsys.FS].
func (m *FS) Now() time.Time {
	if m.opts.Now == nil {
		return time.Now()
	}
	return m.opts.Now()
}

// Free implements [fsys.FS].
func (m *FS) Free(dir string) (int64, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if _, err := m.findDir(dir); err != nil {
		return 0, pathError("free", dir, err)
	}
	if m.opts.Quota == 0 {
		return math.MaxInt64, nil
	}
	return max(0, m.opts.Quota-m.pages*int64(m.opts.PageSize)), nil
}
