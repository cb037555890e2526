package memfs

import (
	"fmt"
	"io"
	"io/fs"

	"github.com/stateio/stateio/internal/fsys"
)

// memFile is an open file of an FS.
type memFile struct {
	m      *FS
	inode  *inode
	path   string // guarded by m.mu
	mode   fsys.Mode
	locked bool // guarded by m.mu, as all below
	closed bool
}

// usable locks the file system for an operation and tells whether the file can
// be used at all. The caller unlocks.
func (f *memFile) usable(op string) error {
	f.m.mu.Lock()
	switch {
	case f.m.stopped:
		return pathError(op, f.path, fsys.ErrCrashed)
	case f.closed:
		return pathError(op, f.path, fs.ErrClosed)
	}
	return nil
}

// writable is usable for an operation that changes the file.
func (f *memFile) writable(op string) error {
	err := f.usable(op)
	if err == nil && f.mode == fsys.ReadOnly {
		err = pathError(op, f.path, errBadFile)
	}
	if err == nil && f.m.opts.Now != nil {
		f.inode.changed = f.m.opts.Now()
	}
	return err
}

// ReadAt implements [fsys.File].
func (f *memFile) ReadAt(p []byte, off int64) (int, error) {
	err := f.usable("read")
	defer f.m.mu.Unlock()
	if err != nil {
		return 0, err
	}
	if off < 0 {
		return 0, pathError("read", f.path, fs.ErrInvalid)
	}
	n := int(max(0, min(int64(len(p)), f.inode.cur.size-off)))
	f.inode.cur.read(p[:n], off, f.m.opts.PageSize)
	if n < len(p) {
		return n, io.EOF
	}
	return n, nil
}

// WriteAt implements [fsys.File].
func (f *memFile) WriteAt(p []byte, off int64) (int, error) {
	err := f.writable("write")
	defer f.m.mu.Unlock()
	if err != nil {
		return 0, err
	}
	if off < 0 {
		return 0, pathError("write", f.path, fs.ErrInvalid)
	}
	if off > maxFileSize-int64(len(p)) {
		return 0, pathError("write", f.path, errFileTooBig)
	}
	from, n := f.inode.cur.size, 0
	f.inode.expect(len(p) / f.m.opts.PageSize)
	for n < len(p) && err == nil {
		var wrote int
		wrote, err = f.writePage(p[n:], off+int64(n))
		n += wrote
	}
	if end := off + int64(n); n > 0 && end > from {
		f.inode.change(change{kind: growStep, from: from, size: end}, f.m.opts.PageSize)
	}
	return n, err
}

// writePage writes what of p goes into the page at off.
func (f *memFile) writePage(p []byte, off int64) (int, error) {
	ps := f.m.opts.PageSize
	i, at := off/int64(ps), int(off%int64(ps))
	n := min(len(p), ps-at)
	old := f.inode.cur.page(i)
	if old == nil {
		if err := f.m.charge(1); err != nil {
			return 0, pathError("write", f.path, err)
		}
	}
	page := zeros[:1:1]
	if !zero(old) || !zero(p[:n]) {
		page = make([]byte, max(len(old), at+n))
		copy(page, old)
		copy(page[at:], p[:n])
	}
	f.inode.change(change{kind: setPage, page: i, data: page}, ps)
	return n, nil
}

// charge takes space for n more pages.
func (m *FS) charge(n int64) error {
	if q := m.opts.Quota; q > 0 && (m.pages+n)*int64(m.opts.PageSize) > q {
		return fsys.NoSpace(errDiskFull)
	}
	m.pages += n
	return nil
}

// Sync implements [fsys.File].
func (f *memFile) Sync() error { return f.sync("sync") }

// Datasync implements [fsys.File].
func (f *memFile) Datasync() error { return f.sync("datasync") }

func (f *memFile) sync(op string) error {
	err := f.usable(op)
	defer f.m.mu.Unlock()
	if err == nil {
		f.inode.sync(f.m.opts.PageSize)
	}
	return err
}

// FailSync makes what was written since the last sync be what a failed one leaves: it is
// marked clean, and never reaches the disk. With revert, reads show what was there before.
func (f *memFile) FailSync(revert bool) {
	err := f.usable("sync")
	defer f.m.mu.Unlock()
	if err == nil {
		before := f.inode.cur.pages
		f.inode.failSync(revert, f.m.opts.PageSize)
		f.m.pages += f.inode.cur.pages - before
	}
}

// Preallocate implements [fsys.File].
func (f *memFile) Preallocate(off, n int64) error {
	err := f.writable("preallocate")
	defer f.m.mu.Unlock()
	if err != nil {
		return err
	}
	if off < 0 || n <= 0 || off+n < 0 {
		return pathError("preallocate", f.path, fmt.Errorf("%w: %d bytes at %d", fs.ErrInvalid, n, off))
	}
	if off+n > maxFileSize {
		return pathError("preallocate", f.path, errFileTooBig)
	}
	ps := int64(f.m.opts.PageSize)
	first, end := off/ps, (off+n+ps-1)/ps
	if err := f.m.charge(f.inode.cur.holes(first, end)); err != nil {
		return pathError("preallocate", f.path, err)
	}
	f.inode.change(change{kind: reserve, page: first, size: end}, f.m.opts.PageSize)
	if size := f.inode.cur.size; off+n > size {
		f.inode.change(change{kind: grow, from: size, size: off + n}, f.m.opts.PageSize)
	}
	return nil
}

// Truncate implements [fsys.File].
func (f *memFile) Truncate(size int64) error {
	err := f.writable("truncate")
	defer f.m.mu.Unlock()
	switch {
	case err != nil:
		return err
	case size < 0:
		return pathError("truncate", f.path, fs.ErrInvalid)
	case size > maxFileSize:
		return pathError("truncate", f.path, errFileTooBig)
	}
	cur := &f.inode.cur
	before := cur.pages
	if size > cur.size {
		f.inode.change(change{kind: grow, from: cur.size, size: size}, f.m.opts.PageSize)
	} else if size < cur.size {
		f.inode.change(change{kind: cut, size: size}, f.m.opts.PageSize)
	}
	f.m.pages += cur.pages - before
	return nil
}

// Stat implements [fsys.File].
func (f *memFile) Stat() (fsys.Info, error) {
	err := f.usable("stat")
	defer f.m.mu.Unlock()
	if err != nil {
		return fsys.Info{}, err
	}
	return f.inode.info(), nil
}

// DropCache implements [fsys.File].
func (f *memFile) DropCache() error {
	err := f.usable("dropcache")
	defer f.m.mu.Unlock()
	if err == nil {
		before := f.inode.cur.pages
		f.inode.dropCache(f.m.opts.PageSize)
		f.m.pages += f.inode.cur.pages - before
	}
	return err
}

// Lock implements [fsys.File].
func (f *memFile) Lock() error {
	err := f.usable("lock")
	defer f.m.mu.Unlock()
	switch {
	case err != nil:
		return err
	case f.inode.locked && !f.locked:
		return pathError("lock", f.path, fsys.ErrLocked)
	}
	f.inode.locked, f.locked = true, true
	return nil
}

// Renamed implements [fsys.File].
func (f *memFile) Renamed(path string) {
	f.m.mu.Lock()
	defer f.m.mu.Unlock()
	f.path = path
}

// Close implements [fsys.File].
func (f *memFile) Close() error {
	err := f.usable("close")
	defer f.m.mu.Unlock()
	if err == nil {
		f.closed = true
		if f.locked {
			f.inode.locked = false
		}
		f.inode.opens--
		f.m.release(f.inode)
	}
	return err
}

// memLock is a held lock of an FS.
type memLock struct {
	m      *FS
	inode  *inode
	path   string
	closed bool // guarded by m.mu
}

// Close gives the lock back.
func (l *memLock) Close() error {
	l.m.mu.Lock()
	defer l.m.mu.Unlock()
	switch {
	case l.m.stopped:
		return pathError("unlock", l.path, fsys.ErrCrashed)
	case l.closed:
		return pathError("unlock", l.path, fs.ErrClosed)
	}
	l.closed = true
	l.inode.locked = false
	l.inode.opens--
	l.m.release(l.inode)
	return nil
}
