package faultfs

import (
	"io"
	"io/fs"
	"sync/atomic"
	"time"

	"github.com/stateio/stateio/internal/fsys"
)

// Open implements [fsys.FS].
func (f *FS) Open(path string, mode fsys.Mode, perm fs.FileMode) (fsys.File, error) {
	op := Op{Kind: OpOpen, Path: path}
	if mode == fsys.Create {
		op.Kind = OpCreate
	}
	var file fsys.File
	err := f.run(op, func() (err error) {
		file, err = f.fsys.Open(path, mode, perm)
		return err
	})
	if err != nil {
		closeQuietly(file)
		return nil, err
	}
	return newFaultyFile(f, file, path), nil
}

// Lock implements [fsys.FS].
func (f *FS) Lock(path string, perm fs.FileMode) (io.Closer, error) {
	var lock io.Closer
	err := f.run(Op{Kind: OpLock, Path: path}, func() (err error) {
		lock, err = f.fsys.Lock(path, perm)
		return err
	})
	if err != nil {
		closeQuietly(lock)
		return nil, err
	}
	return &faultyLock{f: f, lock: lock, path: path}, nil
}

// closeQuietly closes what an operation opened that was to fail afterwards.
func closeQuietly(c io.Closer) {
	if c != nil {
		_ = c.Close() // the fault's error is the one to return
	}
}

// Mkdir implements [fsys.FS].
func (f *FS) Mkdir(path string, perm fs.FileMode) error {
	return f.run(Op{Kind: OpMkdir, Path: path}, func() error { return f.fsys.Mkdir(path, perm) })
}

// Rename implements [fsys.FS].
func (f *FS) Rename(oldpath, newpath string) error {
	return f.run(Op{Kind: OpRename, Path: oldpath, NewPath: newpath}, func() error {
		return f.fsys.Rename(oldpath, newpath)
	})
}

// Remove implements [fsys.FS].
func (f *FS) Remove(path string) error {
	return f.run(Op{Kind: OpRemove, Path: path}, func() error { return f.fsys.Remove(path) })
}

// RemoveDir implements [fsys.FS].
func (f *FS) RemoveDir(path string) error {
	return f.run(Op{Kind: OpRemove, Path: path}, func() error { return f.fsys.RemoveDir(path) })
}

// Stat implements [fsys.FS].
func (f *FS) Stat(path string) (info fsys.Info, err error) {
	err = f.run(Op{Kind: OpStat, Path: path}, func() (err error) {
		info, err = f.fsys.Stat(path)
		return err
	})
	return info, err
}

// List implements [fsys.FS].
func (f *FS) List(dir string) (entries []fsys.Entry, err error) {
	err = f.run(Op{Kind: OpList, Path: dir}, func() (err error) {
		entries, err = f.fsys.List(dir)
		return err
	})
	return entries, err
}

// SyncDir implements [fsys.FS].
func (f *FS) SyncDir(dir string) error {
	return f.run(Op{Kind: OpSyncDir, Path: dir}, func() error { return f.fsys.SyncDir(dir) })
}

// SyncName implements [fsys.FS].
func (f *FS) SyncName(dir string) error {
	return f.run(Op{Kind: OpSyncDir, Path: fsys.Parent(dir)}, func() error { return f.fsys.SyncName(dir) })
}

// Hold implements [fsys.FS].
func (f *FS) Hold(dir string) (fsys.Held, error) {
	var held fsys.Held
	err := f.run(Op{Kind: OpHold, Path: dir}, func() (err error) {
		held, err = f.fsys.Hold(dir)
		return err
	})
	if err != nil {
		closeQuietly(held)
		return nil, err
	}
	return &faultyHeld{&FS{fsys: held, from: f.base()}, held, dir}, nil
}

// faultyHeld is a directory that is held through an FS.
type faultyHeld struct {
	*FS  // of held
	held fsys.Held
	dir  string
}

// LockDir implements [fsys.Held].
func (h *faultyHeld) LockDir() error {
	return h.run(Op{Kind: OpLockDir, Path: h.dir}, h.held.LockDir)
}

// Moved implements [fsys.Held].
func (h *faultyHeld) Moved() (moved bool, err error) {
	err = h.run(Op{Kind: OpStat, Path: h.dir}, func() (err error) {
		moved, err = h.held.Moved()
		return err
	})
	return moved, err
}

// Close gives the directory back, whatever it returns.
func (h *faultyHeld) Close() error { return h.close(Op{Kind: OpUnlock, Path: h.dir}, h.held) }

// faultyLock is a lock held through an FS.
type faultyLock struct {
	f    *FS
	lock io.Closer
	path string
}

// Close gives the lock back, whatever it returns.
func (l *faultyLock) Close() error {
	return l.f.close(Op{Kind: OpUnlock, Path: l.path}, l.lock)
}

// close closes c even if the operation is to fail, as kernels do.
func (f *FS) close(op Op, c io.Closer) error {
	fault := f.begin(&op)
	err := c.Close()
	if fault != nil && (err == nil || f.isStopped()) {
		err = f.failure(&op, fault)
	}
	return f.end(&op, err)
}

func (f *FS) isStopped() bool {
	f = f.base()
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.stopped
}

// faultyFile is a file opened through an FS.
type faultyFile struct {
	f    *FS
	file fsys.File
	at   atomic.Pointer[string] // where it is now
}

func newFaultyFile(f *FS, file fsys.File, path string) *faultyFile {
	ff := &faultyFile{f: f, file: file}
	ff.at.Store(&path)
	return ff
}

func (f *faultyFile) path() string { return *f.at.Load() }

// Renamed implements [fsys.File].
func (f *faultyFile) Renamed(path string) {
	f.at.Store(&path)
	f.file.Renamed(path)
}

// Lock implements [fsys.File].
func (f *faultyFile) Lock() error {
	return f.f.run(Op{Kind: OpFlock, Path: f.path()}, f.file.Lock)
}

// A syncFailer can fail a sync as a kernel does whose disk refuses the pages.
type syncFailer interface{ FailSync(revert bool) }

// ReadAt implements [fsys.File].
func (f *faultyFile) ReadAt(p []byte, off int64) (int, error) {
	return f.move(OpRead, f.file.ReadAt, p, off)
}

// WriteAt implements [fsys.File].
func (f *faultyFile) WriteAt(p []byte, off int64) (int, error) {
	return f.move(OpWrite, f.file.WriteAt, p, off)
}

// move does a read or a write, of which a fault can let a part happen.
func (f *faultyFile) move(kind Kind, call func([]byte, int64) (int, error), p []byte, off int64) (int, error) {
	op := Op{Kind: kind, Path: f.path(), Off: off, Len: int64(len(p))}
	fault := f.f.begin(&op)
	if fault == nil {
		n, err := call(p, off)
		return n, f.f.end(&op, err)
	}
	part := min(len(p), max(0, fault.Short))
	if fault.After {
		part = len(p)
	}
	n := 0
	if part > 0 {
		var err error
		if n, err = call(p[:part], off); err != nil {
			return n, f.f.end(&op, err)
		}
	}
	return n, f.f.end(&op, f.f.failure(&op, fault))
}

// Sync implements [fsys.File].
func (f *faultyFile) Sync() error { return f.sync(OpSync, f.file.Sync) }

// Datasync implements [fsys.File].
func (f *faultyFile) Datasync() error { return f.sync(OpDatasync, f.file.Datasync) }

func (f *faultyFile) sync(kind Kind, call func() error) error {
	op := Op{Kind: kind, Path: f.path()}
	fault := f.f.begin(&op)
	if fault == nil {
		return f.f.end(&op, call())
	}
	if s, ok := f.file.(syncFailer); ok && !fault.After && !fault.Stop {
		s.FailSync(fault.Revert)
	}
	if fault.After {
		if err := call(); err != nil {
			return f.f.end(&op, err)
		}
	}
	return f.f.end(&op, f.f.failure(&op, fault))
}

// Preallocate implements [fsys.File].
func (f *faultyFile) Preallocate(off, n int64) error {
	return f.f.run(Op{Kind: OpPreallocate, Path: f.path(), Off: off, Len: n}, func() error {
		return f.file.Preallocate(off, n)
	})
}

// Truncate implements [fsys.File].
func (f *faultyFile) Truncate(size int64) error {
	return f.f.run(Op{Kind: OpTruncate, Path: f.path(), Off: size}, func() error {
		return f.file.Truncate(size)
	})
}

// Stat implements [fsys.File].
func (f *faultyFile) Stat() (info fsys.Info, err error) {
	err = f.f.run(Op{Kind: OpStat, Path: f.path()}, func() (err error) {
		info, err = f.file.Stat()
		return err
	})
	return info, err
}

// DropCache implements [fsys.File].
func (f *faultyFile) DropCache() error {
	return f.f.run(Op{Kind: OpDropCache, Path: f.path()}, f.file.DropCache)
}

// Close closes the file, whatever it returns.
func (f *faultyFile) Close() error {
	return f.f.close(Op{Kind: OpClose, Path: f.path()}, f.file)
}

// ModTime implements [fsys.FS].
func (f *FS) ModTime(path string) (time.Time, error) { return f.fsys.ModTime(path) }

// Now implements [fsys.FS].
func (f *FS) Now() time.Time { return f.fsys.Now() }

// Free implements [fsys.FS].
func (f *FS) Free(dir string) (n int64, err error) {
	err = f.run(Op{Kind: OpFree, Path: dir}, func() (err error) {
		n, err = f.fsys.Free(dir)
		return err
	})
	return n, err
}
