package fsys

import (
	"errors"
	"io/fs"
	"os"
	"syscall"
	"unsafe"

	"golang.org/x/sys/windows"
)

// A spot is where a path leads.
type spot struct{ path string }

func named(path string) spot { return spot{path} }

func openFile(at spot, mode Mode, perm fs.FileMode) (*os.File, error) {
	switch mode {
	case Create:
		return openRegular(at.path, windows.GENERIC_READ|windows.GENERIC_WRITE, windows.CREATE_NEW, perm)
	case ReadWrite:
		return openRegular(at.path, windows.GENERIC_READ|windows.GENERIC_WRITE, windows.OPEN_EXISTING, perm)
	}
	return openRegular(at.path, windows.GENERIC_READ, windows.OPEN_EXISTING, perm)
}

func openLock(at spot, perm fs.FileMode) (*os.File, error) {
	return openRegular(at.path, windows.GENERIC_READ|windows.GENERIC_WRITE, windows.OPEN_ALWAYS, perm)
}

// openRegular opens a path itself, not what a link there leads to, and shares
// everything: an open file can be renamed and removed, as on Unix. The handle
// is not inherited by children.
func openRegular(path string, access, how uint32, perm fs.FileMode) (*os.File, error) {
	name, err := windows.UTF16PtrFromString(path)
	if err != nil {
		return nil, &fs.PathError{Op: "open", Path: path, Err: err}
	}
	attrs := uint32(windows.FILE_ATTRIBUTE_NORMAL)
	if how != windows.OPEN_EXISTING && perm&0o200 == 0 {
		attrs = windows.FILE_ATTRIBUTE_READONLY
	}
	h, err := openHandle(name, access, how, attrs)
	if err != nil {
		return nil, &fs.PathError{Op: "open", Path: path, Err: err}
	}
	return os.NewFile(uintptr(h), path), nil
}

// openHandle is openRegular, but for the rights of a new file.
func openHandle(name *uint16, access, how, attrs uint32) (windows.Handle, error) {
	h, err := windows.CreateFile(name, access, shareAll, nil, how, attrs|windows.FILE_FLAG_OPEN_REPARSE_POINT, 0)
	if err != nil {
		return windows.InvalidHandle, err
	}
	fi, elsewhere, err := checkHandle(h)
	if err == nil && !elsewhere {
		return h, nil
	}
	defer func() { _ = windows.CloseHandle(h) }() // never written to
	if err != nil {
		return windows.InvalidHandle, err
	}
	return openDeduplicated(name, access, fi)
}

// shareAll lets others do everything with an open file.
const shareAll = windows.FILE_SHARE_READ | windows.FILE_SHARE_WRITE | windows.FILE_SHARE_DELETE

// openDeduplicated opens the file that was, which is to be read and written through its reparse
// point: without that, the handle has nothing of what is in it.
func openDeduplicated(name *uint16, access uint32, was windows.ByHandleFileInformation) (windows.Handle, error) {
	h, err := windows.CreateFile(name, access, shareAll, nil, windows.OPEN_EXISTING, windows.FILE_ATTRIBUTE_NORMAL, 0)
	if err != nil {
		return windows.InvalidHandle, err
	}
	var fi windows.ByHandleFileInformation
	err = windows.GetFileInformationByHandle(h, &fi)
	if err == nil && !sameFile(&fi, &was) {
		err = ErrNotRegular // it was exchanged meanwhile, perhaps for a link
	}
	if err != nil {
		_ = windows.CloseHandle(h) // never written to
		return windows.InvalidHandle, err
	}
	return h, nil
}

// sameFile reports whether what was told is of one file.
func sameFile(a, b *windows.ByHandleFileInformation) bool {
	return a.VolumeSerialNumber == b.VolumeSerialNumber && a.FileIndexHigh == b.FileIndexHigh && a.FileIndexLow == b.FileIndexLow
}

// checkHandle returns ErrNotRegular for anything but a file on a disk. What is in the file may
// be elsewhere, if the system has deduplicated it, which it does with files that have not
// changed for some days.
func checkHandle(h windows.Handle) (fi windows.ByHandleFileInformation, elsewhere bool, err error) {
	if t, err := windows.GetFileType(h); err != nil {
		return fi, false, err
	} else if t != windows.FILE_TYPE_DISK {
		return fi, false, ErrNotRegular
	}
	if err := windows.GetFileInformationByHandle(h, &fi); err != nil {
		return fi, false, err
	}
	switch {
	case fi.FileAttributes&windows.FILE_ATTRIBUTE_DIRECTORY != 0:
		return fi, false, ErrNotRegular
	case fi.FileAttributes&windows.FILE_ATTRIBUTE_REPARSE_POINT == 0:
		return fi, false, nil
	}
	tag, err := reparseTag(h)
	if err == nil && tag != tagDedup {
		err = ErrNotRegular
	}
	return fi, true, err
}

// tagDedup is IO_REPARSE_TAG_DEDUP: the only kind of reparse point that package os takes for a
// regular file.
const tagDedup = 0x80000013

// reparseTag returns of which kind the reparse point is that is open as h.
func reparseTag(h windows.Handle) (uint32, error) {
	var info struct{ FileAttributes, ReparseTag uint32 } // FILE_ATTRIBUTE_TAG_INFO
	err := windows.GetFileInformationByHandleEx(h, windows.FileAttributeTagInfo, (*byte)(unsafe.Pointer(&info)), uint32(unsafe.Sizeof(info)))
	return info.ReparseTag, err
}

// CanLock tells whether the platform has locks of files.
const CanLock = true

func lockFile(h uintptr) error { return lockByte(h, lockedByte()) }

func unlockFile(h uintptr) { unlockByte(h, lockedByte()) }

// lockLog locks the byte that the lock of a state file is, so that tools for state
// files leave the file alone.
func lockLog(h uintptr) error { return lockByte(h, &windows.Overlapped{OffsetHigh: 1 << 30}) }

func unlockLog(h uintptr) { unlockByte(h, &windows.Overlapped{OffsetHigh: 1 << 30}) }

// lockAgain locks the same byte. The lock that the handle has itself would be in the way: it
// goes for a moment, as nothing tells whose lock is in the way.
func lockAgain(h uintptr) error {
	unlockLog(h)
	return lockLog(h)
}

// lockByte locks one byte far past the end of any file: locks are mandatory
// here, and nobody is to be kept from reading the file.
func lockByte(h uintptr, at *windows.Overlapped) error {
	const flags = windows.LOCKFILE_EXCLUSIVE_LOCK | windows.LOCKFILE_FAIL_IMMEDIATELY
	err := windows.LockFileEx(windows.Handle(h), flags, 0, 1, 0, at)
	if errors.Is(err, windows.ERROR_LOCK_VIOLATION) || errors.Is(err, windows.ERROR_IO_PENDING) {
		return ErrLocked
	}
	return err
}

func unlockByte(h uintptr, at *windows.Overlapped) {
	_ = windows.UnlockFileEx(windows.Handle(h), 0, 1, 0, at)
}

func lockedByte() *windows.Overlapped { return &windows.Overlapped{OffsetHigh: 0x7fffffff} }

func rename(oldAt, newAt spot) error {
	from, err := windows.UTF16PtrFromString(oldAt.path)
	if err != nil {
		return err
	}
	to, err := windows.UTF16PtrFromString(newAt.path)
	if err != nil {
		return err
	}
	err = windows.MoveFileEx(from, to, windows.MOVEFILE_REPLACE_EXISTING|windows.MOVEFILE_WRITE_THROUGH)
	if errors.Is(err, windows.ERROR_ACCESS_DENIED) && renameOver(from, newAt.path) == nil {
		return nil
	}
	return err
}

func unlink(at spot) error {
	name, err := windows.UTF16PtrFromString(at.path)
	if err != nil {
		return err
	}
	return windows.DeleteFile(name)
}

func rmdir(path string) error {
	name, err := windows.UTF16PtrFromString(path)
	if err != nil {
		return err
	}
	return windows.RemoveDirectory(name)
}

// errNotDir is in the words of other systems: syscall.ENOTDIR is "path not found" here.
var errNotDir = errors.New("not a directory")

// syncDir only looks: NTFS journals names in order, and there is no call to
// wait for it.
func syncDir(dir string) error {
	fi, err := os.Stat(dir)
	if err != nil {
		return errors.Unwrap(err)
	}
	if !fi.IsDir() {
		return errNotDir
	}
	return nil
}

func stat(_ *os.File, fd uintptr) (Info, error) {
	var fi windows.ByHandleFileInformation
	if err := windows.GetFileInformationByHandle(windows.Handle(fd), &fi); err != nil {
		return Info{}, err
	}
	mode := fs.FileMode(0o666)
	if fi.FileAttributes&windows.FILE_ATTRIBUTE_READONLY != 0 {
		mode = 0o444
	}
	size := int64(fi.FileSizeHigh)<<32 | int64(fi.FileSizeLow)
	return Info{Mode: mode, Size: size, Links: int64(fi.NumberOfLinks)}, nil
}

// lstat tells no identity, as stat does not.
func lstat(at spot) (Info, error) {
	fi, err := os.Lstat(at.path)
	if err != nil {
		return Info{}, errors.Unwrap(err)
	}
	return Info{Mode: fi.Mode(), Size: fi.Size(), Links: linksAt(at.path)}, nil
}

// linksAt returns how many names a file has. One that can't be looked at has one.
func linksAt(path string) int64 {
	name, err := windows.UTF16PtrFromString(path)
	if err != nil {
		return 1
	}
	h, err := windows.CreateFile(name, windows.FILE_READ_ATTRIBUTES, shareAll, nil,
		windows.OPEN_EXISTING, windows.FILE_FLAG_OPEN_REPARSE_POINT|windows.FILE_FLAG_BACKUP_SEMANTICS, 0)
	if err != nil {
		return 1
	}
	defer func() { _ = windows.CloseHandle(h) }() // nothing was written to it
	var fi windows.ByHandleFileInformation
	if err := windows.GetFileInformationByHandle(h, &fi); err != nil {
		return 1
	}
	return int64(fi.NumberOfLinks)
}

// isRefused tells the errors that say that a system call can't be made.
func isRefused(err error) bool {
	return errors.Is(err, windows.ERROR_INVALID_FUNCTION) || errors.Is(err, windows.ERROR_NOT_SUPPORTED)
}

func syncAbove(parent string) error { return syncDir(parent) }

// syncAround has nothing to do, as syncDir has not.
func syncAround(string) error { return nil }

// retry calls what nothing interrupts here.
func retry(call func() error) error { return call() }

func isNoSpace(err error) bool {
	return errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT) || // of a Mem or a Faulty
		errors.Is(err, windows.ERROR_DISK_FULL) ||
		errors.Is(err, windows.ERROR_HANDLE_DISK_FULL) ||
		errors.Is(err, windows.ERROR_DISK_QUOTA_EXCEEDED) ||
		isFileLimit(err)
}

func isFileLimit(err error) bool {
	return errors.Is(err, syscall.EFBIG) || errors.Is(err, windows.ERROR_FILE_TOO_LARGE)
}

// Datasync is a full sync: there is no other.
func (f *osFile) Datasync() error { return f.Sync() }

func preallocate(uintptr, int64, int64) error { return errors.ErrUnsupported }

func dropCache(uintptr, int64) error { return errors.ErrUnsupported }
