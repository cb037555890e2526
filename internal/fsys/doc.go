// Package fsys is the file system as a durable store needs it: few calls, each
// with its promise about crashes spelled out, behind an interface small enough
// to be implemented more than once. [OS] is the real one. Package memfs has one in
// memory that crashes, and package faultfs one that fails the operations of another;
// package fsystest has the tests that all must pass.
//
// # What is durable, and when
//
// Nothing is durable because a call returned. The rules, which OS inherits from
// the kernel, memfs enforces, and a store must live by:
//
//   - Bytes written by [File.WriteAt] are durable after a later [File.Sync] or
//     [File.Datasync] of the same file returned nil. Before that, a power cut
//     may keep any subset of the pages written, and parts of pages down to a
//     sector of 512 bytes.
//   - The size of a file, changed by WriteAt past the end, [File.Truncate] or
//     [File.Preallocate], is durable after Sync or Datasync. Times and the mode
//     are not covered by Datasync.
//   - The name of a file is durable after [FS.SyncDir] of the directory that
//     holds it, and only then. Sync of a file says nothing about its name: a
//     file created and synced can be gone after a power cut, a renamed one can
//     be back under its old name, a removed one can be back.
//   - A rename is one step: after a power cut it happened or it did not. But it
//     can be on disk before the bytes of the file are: Sync first, rename then,
//     SyncDir last.
//   - When Sync or Datasync fails, the bytes it was to make durable are in an
//     unknown state for good. The kernel may have marked them clean: a second
//     Sync that returns nil proves nothing about them, and reads may go on
//     showing them until they are dropped from the cache. The only cures are to
//     write them again or to do without them.
//   - When a process dies and the machine does not, everything written is seen
//     by the next process, synced or not, and its locks are free at once.
//
// # Paths
//
// Paths are those of the operating system. A final symbolic link is never
// followed to a file: [FS.Open] and [FS.Lock] refuse it, [FS.Rename],
// [FS.Remove] and [FS.Stat] act on the link itself. Links on the way to the
// final element are followed, and [FS.List] and [FS.SyncDir] follow one that
// leads to a directory.
//
// # Errors
//
// Every error of an FS and of its Files is a *[fs.PathError], or a *[os.LinkError] from
// Rename, that names the operation and the path; callers put their own name, and the
// offset, in front. The functions for state files (below) may return an error that names
// neither: their callers have the file, and name both. Below it errors.Is finds:
//
//   - [fs.ErrNotExist], [fs.ErrExist], [fs.ErrPermission], [fs.ErrClosed]
//     as in package os;
//   - [ErrLocked] from the calls that lock, when somebody holds the lock;
//   - [ErrNotRegular] from Open and Lock, for whatever is not a regular file;
//   - [ErrNoSpace], when the disk or the user's quota is full, or the file as large as
//     one may be there;
//   - [errors.ErrUnsupported], where a file system or a platform has no such
//     operation, or a sandbox forbids it with EPERM, EACCES, EINVAL, EOPNOTSUPP or
//     ENOSYS: from Preallocate, DropCache and the calls that lock, which a caller
//     must be able to do without;
//   - [ErrCrashed] from every operation after a file system was stopped;
//   - the [syscall.Errno] of the kernel, if there was one.
//
// No call returns EINTR: OS repeats what a signal interrupted.
//
// # State files
//
// A state file comes as an open [os.File], of a user who knows no FS. [LockFile],
// [SyncFileName], [Forget], [Punch], [DataEnd] and [Watch] do for one what an FS does for
// its own files, by the same system calls.
//
// # Concurrency
//
// An FS and its Files may be used by any number of goroutines at once. ReadAt and
// WriteAt of overlapping ranges at the same time may see or leave a mixture;
// disjoint ranges do not disturb each other. Sync and Datasync cover the writes
// that returned before they were called. Close does not wait: an operation that is
// under way finishes, later ones return fs.ErrClosed.
package fsys
