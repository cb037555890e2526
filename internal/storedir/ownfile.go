package storedir

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"runtime"
	"sync"
	"sync/atomic"

	"github.com/stateio/stateio/internal/fsys"
	"github.com/stateio/stateio/internal/storefile"
)

// An OwnFile is the file of a log, to which nobody else's name leads.
//
// A copy of a store that was made with hard links (cp -al) shares the log with it.
// What one of them appends, seals or cuts would then appear in the other, or vanish
// from it. So once Stat, which follows each commit, has seen a second name, the next
// change goes to a copy of the file, which takes its place in the directory. Up to
// one commit may go to the shared file before that is noticed; a copy that has it
// is still a whole state of this store.
//
// Its methods may be called from any number of goroutines at once.
type OwnFile struct {
	d      *Dir
	shared atomic.Bool // the file had another name when it was last looked at

	mu   sync.RWMutex // held shared by what is done with f, exclusively to exchange it
	f    fsys.File
	path string
	err  error // why the file must not be changed any more; shared is set then
	// tail says that what the file has from offset end on is to go before anything is written,
	// and is not to be copied; shared is set then, too.
	tail bool
	end  int64
}

func (d *Dir) own(f fsys.File, path string) *OwnFile {
	return &OwnFile{d: d, f: f, path: path}
}

// Stat implements fsys.File.
func (o *OwnFile) Stat() (fsys.Info, error) {
	o.mu.RLock()
	defer o.mu.RUnlock()
	return o.stat()
}

// stat is Stat for a caller that holds mu.
func (o *OwnFile) stat() (fsys.Info, error) {
	info, err := o.f.Stat()
	if err == nil && info.Links > 1 {
		o.shared.Store(true)
	}
	return info, err
}

// Look is Stat, and makes sure that the name of the file leads to it: what is written to a
// file that was moved, or replaced, is not in the directory any more. end is up to where the
// file was written. That the name can't be looked at is no evidence of such a thing.
func (o *OwnFile) Look(end int64) (fsys.Info, error) {
	o.mu.RLock()
	defer o.mu.RUnlock()
	info, err := o.stat()
	if err == nil && info.Links == 0 {
		err = errors.New("somebody has removed the file")
	}
	if err != nil {
		return info, err
	}
	named, err := o.d.FS.Stat(o.path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return info, errors.New("somebody has moved the file, or taken its name away")
	case err == nil && named.ID != info.ID && !o.alike(end):
		return info, errors.New("somebody has put another file in its place")
	}
	return info, nil
}

// alike reports whether what has the name of the file holds what was written last, before
// offset end: then nothing is missing in the directory. There are file systems of a network
// that number a file anew while it is open. The caller holds mu.
func (o *OwnFile) alike(end int64) bool {
	const enough = 64 << 10 // has the header of a record, and so a checksum, in it
	named, err := o.d.FS.Open(o.path, fsys.ReadOnly, 0)
	if err != nil {
		return false
	}
	defer func() { _ = named.Close() }() // opened for reading
	from := max(0, end-enough)
	var last [2][]byte
	for i, f := range []fsys.File{o.f, named} {
		last[i] = make([]byte, end-from)
		if _, err := f.ReadAt(last[i], from); err != nil {
			return false
		}
	}
	return bytes.Equal(last[0], last[1])
}

// unshare exchanges the file, if it has another name.
func (o *OwnFile) unshare() error {
	if !o.shared.Load() {
		return nil
	}
	info, err := o.exchange()
	if err == nil && info.Links > 1 {
		_ = o.d.ownLock() // if it is shared, so it stays until the store is opened again
		o.d.say.Warn("store: the log had another name, a hard link, so it was copied", "path", info.path, "names", info.Links, "bytes", info.Size)
	}
	return err
}

// BecomeOwn looks for another name, and exchanges the file if it has one.
func (o *OwnFile) BecomeOwn() error {
	if _, err := o.Stat(); err != nil {
		return err
	}
	return o.unshare()
}

// A sharedFile is what a file was that had another name.
type sharedFile struct {
	fsys.Info
	path string
}

// exchange puts a copy of the file in its place, durably, if it still has another
// name, and cuts off what CutTail has left there.
//
// Commit point: the rename, made durable by SyncDir. An error before it has changed
// nothing. One after it is final, since what is written now may be gone after a
// crash, and is not ErrNoSpace.
func (o *OwnFile) exchange() (sharedFile, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.err != nil {
		return sharedFile{}, o.err
	}
	info, err := o.f.Stat()
	was := sharedFile{info, o.path}
	if err == nil && info.Links > 1 {
		err = o.replace(info)
	}
	if err != nil {
		return was, fmt.Errorf("replacing %s, which has %d names, by a copy: %w", o.path, info.Links, err)
	}
	if err := o.cutLeft(); err != nil {
		return was, fmt.Errorf("cutting off the remainder of an unfinished commit in %s: %w", o.path, err)
	}
	o.shared.Store(false)
	return was, nil
}

// cutLeft cuts off what CutTail has left to a copy, if none was made: the other name is gone.
// The caller holds mu.
func (o *OwnFile) cutLeft() error {
	if !o.tail {
		return nil
	}
	if err := errors.Join(o.f.Truncate(o.end), o.f.Sync()); err != nil {
		return err
	}
	o.tail = false
	return nil
}

// IsLost reports whether the file must not be changed any more, until the store is opened again: a copy
// has taken its place, or may have, and it is not known whether a crash will undo that.
func (o *OwnFile) IsLost() bool {
	o.mu.RLock()
	defer o.mu.RUnlock()
	return o.err != nil
}

// replace makes the copy and gives it the name. The caller holds mu.
func (o *OwnFile) replace(info fsys.Info) error {
	tmp, size := o.path+storefile.CopySuffix, info.Size
	if o.tail {
		size = min(size, o.end)
	}
	f, err := o.copyTo(tmp, size)
	if err != nil {
		return err
	}
	if runtime.GOOS == "windows" {
		_ = o.f.Close() // what is open there can't be replaced
	}
	if err := o.d.FS.Rename(tmp, o.path); err != nil && !o.renamed(f, err) {
		_ = f.Close()
		_ = o.d.FS.Remove(tmp)
		return cmp.Or(o.err, err)
	}
	f.Renamed(o.path)
	_ = o.f.Close() // everything in it is in the copy
	o.f, o.tail = f, false
	if err := o.d.FS.SyncDir(o.d.Path); err != nil {
		o.err = fmt.Errorf("%s was replaced by a copy, which may be undone by a crash: %v", o.path, err) //nolint:errorlint // it is no ErrNoSpace
		return o.err
	}
	return nil
}

// renamed reports whether copy has taken the place of the file in spite of err, the
// error of the rename. If that can't be told, the file must not be changed any more.
// The caller holds mu.
func (o *OwnFile) renamed(copy fsys.File, err error) bool {
	named, serr := o.d.FS.Stat(o.path)
	is, ierr := copy.Stat()
	was, werr := o.f.Stat()
	switch {
	case errors.Join(serr, ierr, werr) != nil:
	case named.ID == is.ID:
		return true
	case named.ID == was.ID:
		return false
	}
	o.err = fmt.Errorf("it can't be told which file has the name %s: %v", o.path, err) //nolint:errorlint // it is no ErrNoSpace
	o.shared.Store(true)
	return false
}

// copyTo copies the file, locked and synced.
func (o *OwnFile) copyTo(path string, size int64) (fsys.File, error) {
	f, err := o.d.makeTmp(path)
	if err != nil {
		return nil, err
	}
	err = lockLog(f)
	if err == nil {
		_, err = io.CopyBuffer(io.NewOffsetWriter(f, 0), io.NewSectionReader(o.f, 0, size), make([]byte, max(1, min(size, int64(len(zeros))))))
	}
	if err == nil {
		err = f.Sync()
	}
	if err != nil {
		_ = f.Close()
		_ = o.d.FS.Remove(path) // the next Open does, if this fails
		return nil, err
	}
	return f, nil
}

// WriteAt implements fsys.File.
func (o *OwnFile) WriteAt(p []byte, off int64) (int, error) {
	if err := o.unshare(); err != nil {
		return 0, err
	}
	o.mu.RLock()
	defer o.mu.RUnlock()
	return o.f.WriteAt(p, off)
}

// Preallocate implements fsys.File.
func (o *OwnFile) Preallocate(off, n int64) error {
	if err := o.unshare(); err != nil {
		return err
	}
	o.mu.RLock()
	defer o.mu.RUnlock()
	return o.f.Preallocate(off, n)
}

// Truncate implements fsys.File.
func (o *OwnFile) Truncate(size int64) error {
	if err := o.unshare(); err != nil {
		return err
	}
	o.mu.RLock()
	defer o.mu.RUnlock()
	return o.f.Truncate(size)
}

// CutTail takes away what the file has from offset end on, where a crash tore it. If
// there is no space for a copy of a file with another name, that is left to the next change of
// the file, which does nothing before.
func (o *OwnFile) CutTail(end int64) error {
	err := o.Truncate(end)
	if !errors.Is(err, fsys.ErrNoSpace) {
		return err
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	o.tail, o.end = true, end
	o.shared.Store(true)
	return nil
}

// ReadAt implements fsys.File.
func (o *OwnFile) ReadAt(p []byte, off int64) (int, error) {
	o.mu.RLock()
	defer o.mu.RUnlock()
	return o.f.ReadAt(p, off)
}

// Sync implements fsys.File.
func (o *OwnFile) Sync() error {
	o.mu.RLock()
	defer o.mu.RUnlock()
	return o.f.Sync()
}

// Datasync implements fsys.File.
func (o *OwnFile) Datasync() error {
	o.mu.RLock()
	defer o.mu.RUnlock()
	return o.f.Datasync()
}

// DropCache implements fsys.File.
func (o *OwnFile) DropCache() error {
	o.mu.RLock()
	defer o.mu.RUnlock()
	return o.f.DropCache()
}

// Lock implements fsys.File.
func (o *OwnFile) Lock() error {
	o.mu.RLock()
	defer o.mu.RUnlock()
	return o.f.Lock()
}

// Renamed implements fsys.File.
func (o *OwnFile) Renamed(path string) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.path = path
	o.f.Renamed(path)
}

// Close implements fsys.File.
func (o *OwnFile) Close() error {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.f.Close()
}
