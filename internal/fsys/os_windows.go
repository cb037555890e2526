package fsys

import (
	"errors"
	"io/fs"
	"os"

	"golang.org/x/sys/windows"
)

func openFile(path string, mode Mode, perm fs.FileMode) (*os.File, error) {
	switch mode {
	case Create:
		return openRegular(path, windows.GENERIC_READ|windows.GENERIC_WRITE, windows.CREATE_NEW, perm)
	case ReadWrite:
		return openRegular(path, windows.GENERIC_READ|windows.GENERIC_WRITE, windows.OPEN_EXISTING, perm)
	}
	return openRegular(path, windows.GENERIC_READ, windows.OPEN_EXISTING, perm)
}

func openLock(path string, perm fs.FileMode) (*os.File, error) {
	return openRegular(path, windows.GENERIC_READ|windows.GENERIC_WRITE, windows.OPEN_ALWAYS, perm)
}

// openRegular opens a path itself, not what a link there leads to, and shares
// everything: an open file can be renamed and removed, as on Unix. The handle
// is not inherited by children.
func openRegular(path string, access, how uint32, perm fs.FileMode) (*os.File, error) {
	name, err := windows.UTF16PtrFromString(path)
	if err != nil {
		return nil, &fs.PathError{Op: "open", Path: path, Err: err}
	}
	const share = windows.FILE_SHARE_READ | windows.FILE_SHARE_WRITE | windows.FILE_SHARE_DELETE
	attrs := uint32(windows.FILE_ATTRIBUTE_NORMAL)
	if how != windows.OPEN_EXISTING && perm&0o200 == 0 {
		attrs = windows.FILE_ATTRIBUTE_READONLY
	}
	h, err := windows.CreateFile(name, access, share, nil, how, attrs|windows.FILE_FLAG_OPEN_REPARSE_POINT, 0)
	if err != nil {
		return nil, &fs.PathError{Op: "open", Path: path, Err: err}
	}
	if err := checkHandle(h); err != nil {
		_ = windows.CloseHandle(h) // never written to
		return nil, &fs.PathError{Op: "open", Path: path, Err: err}
	}
	return os.NewFile(uintptr(h), path), nil
}

// checkHandle returns ErrNotRegular for anything but a file on a disk.
func checkHandle(h windows.Handle) error {
	if t, err := windows.GetFileType(h); err != nil {
		return err
	} else if t != windows.FILE_TYPE_DISK {
		return ErrNotRegular
	}
	var fi windows.ByHandleFileInformation
	if err := windows.GetFileInformationByHandle(h, &fi); err != nil {
		return err
	}
	if fi.FileAttributes&(windows.FILE_ATTRIBUTE_DIRECTORY|windows.FILE_ATTRIBUTE_REPARSE_POINT) != 0 {
		return ErrNotRegular
	}
	return nil
}

// lockFile locks one byte far past the end of any file: locks are mandatory
// here, and nobody is to be kept from reading the file.
func lockFile(f *os.File) error {
	const flags = windows.LOCKFILE_EXCLUSIVE_LOCK | windows.LOCKFILE_FAIL_IMMEDIATELY
	err := windows.LockFileEx(windows.Handle(f.Fd()), flags, 0, 1, 0, lockedByte())
	if errors.Is(err, windows.ERROR_LOCK_VIOLATION) || errors.Is(err, windows.ERROR_IO_PENDING) {
		return ErrLocked
	}
	return err
}

func unlockFile(f *os.File) {
	_ = windows.UnlockFileEx(windows.Handle(f.Fd()), 0, 1, 0, lockedByte())
}

func lockedByte() *windows.Overlapped { return &windows.Overlapped{OffsetHigh: 0x7fffffff} }

func rename(oldpath, newpath string) error {
	from, err := windows.UTF16PtrFromString(oldpath)
	if err != nil {
		return err
	}
	to, err := windows.UTF16PtrFromString(newpath)
	if err != nil {
		return err
	}
	return windows.MoveFileEx(from, to, windows.MOVEFILE_REPLACE_EXISTING|windows.MOVEFILE_WRITE_THROUGH)
}

func unlink(path string) error {
	name, err := windows.UTF16PtrFromString(path)
	if err != nil {
		return err
	}
	return windows.DeleteFile(name)
}

// syncDir only looks: NTFS journals names in order, and there is no call to
// wait for it.
func syncDir(dir string) error {
	fi, err := os.Stat(dir)
	if err != nil {
		return errors.Unwrap(err)
	}
	if !fi.IsDir() {
		return windows.ERROR_DIRECTORY
	}
	return nil
}

func stat(fd uintptr) (Info, error) {
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

// links can't tell without opening the file.
func links(fs.FileInfo) int64 { return 1 }

func isNoSpace(err error) bool {
	return errors.Is(err, windows.ERROR_DISK_FULL) ||
		errors.Is(err, windows.ERROR_HANDLE_DISK_FULL) ||
		errors.Is(err, windows.ERROR_DISK_QUOTA_EXCEEDED)
}

// Datasync is a full sync: there is no other.
func (f *osFile) Datasync() error { return f.Sync() }

func preallocate(uintptr, int64, int64) error { return errors.ErrUnsupported }

func dropCache(uintptr) error { return errors.ErrUnsupported }
