package fsys

import (
	"errors"
	"io"
	"io/fs"
	"time"
)

var (
	// ErrLocked reports that the lock is held, by another process or by this one.
	ErrLocked = errors.New("locked by another holder")

	// ErrNotRegular reports that a path leads to something that is not a regular
	// file: a directory, a symbolic link, a FIFO, a socket or a device.
	ErrNotRegular = errors.New("not a regular file")

	// ErrNoSpace reports that the disk, or the user's quota on it, is full, or that the
	// file is as large as one may be there: another one has space then. An error that is
	// ErrNoSpace still unwraps to the kernel's ENOSPC, EDQUOT or EFBIG.
	ErrNoSpace = errors.New("no space left")
	// ErrFileLimit is an ErrNoSpace that passes for another file only.
	ErrFileLimit = errors.New("file as large as one may be")

	// ErrCrashed reports use of a file system, or of a file opened there, after
	// its crash.
	ErrCrashed = errors.New("file system crashed")
)

// A Mode says what [FS.Open] is to do.
type Mode int

const (
	// ReadOnly opens an existing file for reading. Nothing on disk changes.
	ReadOnly Mode = iota
	// ReadWrite opens an existing file for reading and writing.
	ReadWrite
	// Create makes a new, empty file for reading and writing. If anything has
	// that name already, a dangling symbolic link included, the error is
	// fs.ErrExist.
	Create
)

// Info describes a file or a directory.
type Info struct {
	Mode  fs.FileMode // type and permissions
	Size  int64       // bytes; meaningful for regular files only
	Links int64       // names the file has; 0: removed while open; 1 where the platform can't tell
	ID    FileID      // zero where the platform can't tell
}

// A FileID tells one file from every other that exists at the same time.
type FileID struct{ Dev, Ino uint64 }

// An Entry is one name in a directory.
type Entry struct {
	Name string      // the last element of the path
	Type fs.FileMode // type bits only: 0 for a regular file
}

// FS is a file system. The package documentation says what its operations
// promise about crashes, which errors they return, and what may run at once.
type FS interface {
	// Open opens a regular file, or with Create makes one with permissions perm
	// less the umask; perm is not used otherwise. It refuses anything but a
	// regular file with ErrNotRegular (for Create: fs.ErrExist) without touching
	// it, and never blocks, not even on a FIFO. Child processes do not inherit
	// the file. The name of a created file is durable after SyncDir.
	Open(path string, mode Mode, perm fs.FileMode) (File, error)

	// Lock takes the exclusive lock that the file at path stands for, creating
	// the file with permissions perm if it is not there, and holds it until the
	// Closer is closed or the process ends, however it ends. It does not wait: if
	// the lock is held, by another process or by this one, the error is
	// ErrLocked. The lock is advisory, it only excludes other calls of Lock. The
	// content of the file is neither read nor written, and Close leaves it there.
	// A process that removes the name of the file and makes it anew gets another lock.
	// errors.ErrUnsupported says that there are no locks here, or that nobody may
	// take one; the file is made nevertheless.
	Lock(path string, perm fs.FileMode) (io.Closer, error)

	// Mkdir makes one directory with permissions perm less the umask; its parent
	// must exist. If the name is taken, the error is fs.ErrExist. The name is
	// durable after SyncDir of the parent.
	Mkdir(path string, perm fs.FileMode) error

	// Rename gives a file another name in one step, in place of the file that had
	// that name, if any. A File that is open stays open and valid. It is durable
	// after SyncDir of the directory, or of both directories if they differ.
	Rename(oldpath, newpath string) error

	// Remove takes away the name of a file, or of a symbolic link, but not of a
	// directory. Space is returned when no name and no open File is left. The
	// removal is durable after SyncDir.
	Remove(path string) error

	// RemoveDir takes away the name of a directory that is empty, and of nothing else. The
	// removal is durable after SyncDir of its parent.
	RemoveDir(path string) error

	// Stat describes what has the name path, without following a final symbolic
	// link.
	Stat(path string) (Info, error)

	// ModTime returns when what is in the file at path was last changed, by the clock of
	// the time; the zero time where that can't be told.
	ModTime(path string) (time.Time, error)

	// Now returns the time of day, which may jump in either direction. It is here so
	// that tests can set it.
	Now() time.Time

	// List returns the entries of a directory, sorted by name. Entries that come
	// or go meanwhile may or may not be listed.
	List(dir string) ([]Entry, error)

	// SyncDir makes durable all names created, renamed and removed in dir before
	// the call. It says nothing about the bytes in the files, nor about the name
	// of dir in its own parent. Where directories can't be synced, it only
	// checks that dir is a directory: on Windows, and on file systems that say so
	// (EINVAL, EBADF, ENOTSUP: CIFS, 9p and vboxsf are among them). Names reach
	// the disk there when the file system or its server gets around to it.
	SyncDir(dir string) error

	// Free returns how many bytes a user without privileges can still write to
	// the file system that holds dir. A quota may allow less.
	// errors.ErrUnsupported says that the platform or the file system does not tell.
	Free(dir string) (int64, error)

	// SyncName makes durable that the directory dir has its name. It syncs the
	// parent of dir, unless that is on a read-only file system (EROFS). If the caller may
	// not open the parent, Linux writes back the whole file system that holds dir instead,
	// which takes longer; other systems are trusted to do so in time.
	SyncName(dir string) error

	// Hold opens a directory and keeps it open, so that what is done there later
	// needs no descriptor, but for the files opened, and can't go astray. An FS that
	// changes what another one does must do so in what this returns, too.
	Hold(dir string) (Held, error)
}

// Held is the file system with one directory held open. A path that names an
// entry of that directory, with the directory spelled as it was for Hold, leads
// into the directory that is held, whatever has become of its name; so does the
// directory itself for List and SyncDir. All other paths mean what they always do.
// So do all paths after Close. On Windows names are not held: there, a directory
// with open files in it can't be renamed.
type Held interface {
	FS

	// LockDir takes the exclusive advisory lock of the directory itself, until
	// Close. It does not wait: if the lock is held elsewhere, by another process or
	// through another Hold of this one, the error is ErrLocked. It is none of the
	// locks that FS.Lock takes. errors.ErrUnsupported says that the file system or
	// the system does not lock directories, or that nobody may.
	LockDir() error

	// Moved reports whether the name of the directory, as it was for Hold, leads
	// somewhere else now, or nowhere.
	Moved() (bool, error)

	// Close gives the directory and its lock back. A second Close returns
	// fs.ErrClosed.
	Close() error
}

// File is an open regular file. Slices passed to it are not kept.
type File interface {
	// ReadAt reads len(p) bytes at offset off, as io.ReaderAt: fewer come only
	// with an error, which is io.EOF if the file ends before off+len(p).
	io.ReaderAt

	// WriteAt writes p at offset off, as io.WriterAt: if it returns n < len(p)
	// the error is not nil, and p[:n] is written. The bytes between the old end
	// and off read as zeros. After an error the range [off, off+len(p)) may hold
	// any mixture of old and new bytes.
	io.WriterAt

	// Sync makes the bytes, the size and all other attributes of the file
	// durable; see the package documentation for what its failure means. On macOS
	// that includes the drive's own cache (F_FULLFSYNC).
	Sync() error

	// Datasync makes the bytes and the size of the file durable. It is cheaper
	// than Sync where the platform can tell them apart (Linux), above all when
	// the size has not changed since the last one; elsewhere it is Sync.
	Datasync() error

	// Preallocate sets disk space aside for [off, off+n), so that writes there
	// need no more of it, and extends the file to off+n if it is shorter. Bytes
	// already in the file stay; new ones are zeros. If it fails, the size may
	// have changed, but no byte within the old size. errors.ErrUnsupported says
	// that the file system or the platform can't do it (writing zeros can);
	// ErrNoSpace that the space is not there. n must be above 0.
	Preallocate(off, n int64) error

	// Truncate sets the size: it cuts, or extends with zeros without setting
	// space aside. Until a Sync, a crash may find the old size or the new one.
	Truncate(size int64) error

	// Stat describes the file as it is now.
	Stat() (Info, error)

	// DropCache asks the kernel to forget the pages of the file that are clean,
	// so that ReadAt gets them from the disk: the way to find out what is really
	// there after a failed Sync in this process or an earlier one. Pages not yet
	// synced stay. It is advice, and may have no effect; errors.ErrUnsupported
	// where the platform has no such call.
	DropCache() error

	// Lock takes the exclusive advisory lock of the file, whatever its names,
	// until Close or the end of the process. It does not wait: ErrLocked says that
	// another File, in this process or another, has it, or FS.Lock for the same
	// file. A File that has the lock gets it again. errors.ErrUnsupported says that
	// there are no locks here that leave others free to read the file, or that
	// nobody may take one.
	Lock() error

	// Renamed tells the file the path that it has now, for its errors.
	Renamed(path string)

	// Close closes the file, gives its lock back, and makes nothing durable. A
	// second Close returns fs.ErrClosed.
	Close() error
}
