package fsys

import (
	"errors"
	"io/fs"
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

func dropCache(fd uintptr) error {
	return retry(func() error { return unix.Fadvise(int(fd), 0, 0, unix.FADV_DONTNEED) })
}

// stat asks for what Info holds, and not for the times of the file. Since Linux
// 6.13, a write behind somebody's look at the times has to change them, even
// within one tick of the clock, and the sync of that write then has the inode to
// write as well: a log that is looked at after each commit took half again as long
// for one.
func stat(fd uintptr) (Info, error) {
	const want = unix.STATX_TYPE | unix.STATX_MODE | unix.STATX_NLINK | unix.STATX_SIZE
	var st unix.Statx_t
	err := retry(func() error { return statx(fd, want, &st) })
	if errors.Is(err, unix.ENOSYS) {
		return fstat(fd)
	}
	if err != nil {
		return Info{}, err
	}
	return Info{Mode: fs.FileMode(st.Mode) & fs.ModePerm, Size: int64(st.Size), Links: int64(st.Nlink)}, nil
}

// noPath is the empty path, which names the descriptor itself.
var noPath [1]byte

// statx is unix.Statx of an open file, without the allocation for the path.
func statx(fd uintptr, mask int, st *unix.Statx_t) error {
	_, _, errno := unix.Syscall6(unix.SYS_STATX, fd, uintptr(unsafe.Pointer(&noPath)), unix.AT_EMPTY_PATH,
		uintptr(mask), uintptr(unsafe.Pointer(st)), 0)
	if errno != 0 {
		return errno
	}
	return nil
}
