package fsys

import (
	"errors"
	"os"
	"strings"
	"sync/atomic"
	"unsafe"

	"golang.org/x/sys/unix"
)

func (f *osFile) Datasync() error {
	return f.onFD("datasync", func(fd uintptr) error {
		return retry(func() error { return unix.Fdatasync(int(fd)) })
	})
}

// preallocate extends the size as well (mode 0 of fallocate): a write into the
// space then changes no size, which fdatasync would have to commit to the
// journal of the file system.
func preallocate(fd uintptr, off, n int64) error {
	return retry(func() error { return unix.Fallocate(int(fd), 0, off, n) })
}

func dropCache(fd uintptr, off int64) error {
	return retry(func() error { return unix.Fadvise(int(fd), off, 0, unix.FADV_DONTNEED) })
}

// wanted is what Info holds.
const wanted = unix.STATX_TYPE | unix.STATX_MODE | unix.STATX_NLINK | unix.STATX_INO | unix.STATX_SIZE

// stat asks for what Info holds, and not for the times of the file. Since Linux
// 6.13, a write behind somebody's look at the times has to change them, even
// within one tick of the clock, and the sync of that write then has the inode to
// write as well: a log that is looked at after each commit took half again as long
// for one.
//
// A sandbox that forbids statx, because it is newer than the sandbox, is asked once.
func stat(_ *os.File, fd uintptr) (Info, error) {
	if statxRefused.Load() {
		return fstat(fd)
	}
	var st unix.Statx_t
	err := retry(func() error { return statx(int(fd), &noPath, unix.AT_EMPTY_PATH, wanted, &st) })
	if err != nil && isRefused(err) {
		info, err := fstat(fd)
		statxRefused.Store(err == nil)
		return info, err
	}
	if err != nil {
		return Info{}, err
	}
	return infoOfStatx(&st), nil
}

// infoOfStatx converts what statx has told.
func infoOfStatx(st *unix.Statx_t) Info {
	return Info{
		Mode: modeOf(uint32(st.Mode)), Size: int64(st.Size), Links: int64(st.Nlink),
		ID: idOf(st),
	}
}

// lstat asks for the same by a name, and for the same reason. It allocates nothing for a
// name that is no longer than a file's may be: that of a log is looked at after each
// commit, too.
func lstat(at spot) (Info, error) {
	if statxRefused.Load() {
		return fstatat(at)
	}
	var short [256]byte // holds a name and the NUL that ends it
	name := &short[0]
	if len(at.name) < len(short) && strings.IndexByte(at.name, 0) < 0 {
		copy(short[:], at.name)
	} else {
		var err error
		if name, err = unix.BytePtrFromString(at.name); err != nil {
			return Info{}, err
		}
	}
	var st unix.Statx_t
	err := retry(func() error { return statx(at.dir, name, unix.AT_SYMLINK_NOFOLLOW, wanted, &st) })
	if err != nil && isRefused(err) {
		info, err := fstatat(at)
		if err == nil {
			statxRefused.Store(true)
		}
		return info, err
	}
	if err != nil {
		return Info{}, err
	}
	return infoOfStatx(&st), nil
}

// idOf returns the identity of what statx has told about.
func idOf(st *unix.Statx_t) FileID {
	return FileID{Dev: unix.Mkdev(st.Dev_major, st.Dev_minor), Ino: st.Ino}
}

// statxRefused says that statx can't be called in this process, and fstat and fstatat can.
var statxRefused atomic.Bool

// noPath is the empty path, which names the descriptor itself.
var noPath byte

// statx is unix.Statx without the allocation for the path, which ends with a NUL.
func statx(dir int, path *byte, flags, mask int, st *unix.Statx_t) error {
	_, _, errno := unix.Syscall6(unix.SYS_STATX, uintptr(dir), uintptr(unsafe.Pointer(path)), uintptr(flags),
		uintptr(mask), uintptr(unsafe.Pointer(st)), 0)
	if errno != 0 {
		return errno
	}
	return nil
}

// syncAround writes back all that is cached of the file system which holds what is at path.
func syncAround(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return errors.Unwrap(err)
	}
	defer func() { _ = f.Close() }() // opened for reading
	return retry(func() error { return unix.Syncfs(int(f.Fd())) })
}

// locksAreMandatory reports whether the file in fd is on a server of Windows' kind,
// which takes a lock for one that keeps others from reading.
func locksAreMandatory(fd uintptr) bool {
	var st unix.Statfs_t
	if err := retry(func() error { return unix.Fstatfs(int(fd), &st) }); err != nil {
		return false
	}
	switch uint32(st.Type) { // its type depends on the architecture
	case unix.SMB_SUPER_MAGIC, unix.CIFS_SUPER_MAGIC, unix.SMB2_SUPER_MAGIC:
		return true
	}
	return false
}
