package osfile

import (
	"errors"
	"unsafe"

	"golang.org/x/sys/unix"
)

// A statPath looks at what a path leads to. Unlike unix.Stat it does so without
// allocating: it keeps the path as the kernel wants it.
type statPath struct {
	path string
	c    *byte // the path, ended by a NUL
	stx  *unix.Statx_t
}

func newStatPath(path string) statPath {
	c, err := unix.BytePtrFromString(path)
	if err != nil {
		c = nil // a NUL in it: unix.Stat will say so
	}
	return statPath{path, c, new(unix.Statx_t)}
}

// stat returns the device and the inode number that the path leads to.
func (p *statPath) stat() (major, minor uint32, ino uint64, err error) {
	if p.c != nil {
		err := retry(p.statx)
		if err == nil {
			return p.stx.Dev_major, p.stx.Dev_minor, p.stx.Ino, nil
		}
		if !errors.Is(err, unix.ENOSYS) && !errors.Is(err, unix.EPERM) {
			return 0, 0, 0, err
		}
		p.c = nil // a sandbox or an old kernel, which won't change its mind
	}
	var st unix.Stat_t
	if err := retry(func() error { return unix.Stat(p.path, &st) }); err != nil {
		return 0, 0, 0, err
	}
	dev := uint64(st.Dev) //nolint:unconvert // its type depends on the architecture
	return unix.Major(dev), unix.Minor(dev), st.Ino, nil
}

// statx is the system call of that name.
func (p *statPath) statx() error {
	dir := unix.AT_FDCWD
	_, _, errno := unix.Syscall6(unix.SYS_STATX, uintptr(dir), uintptr(unsafe.Pointer(p.c)), 0,
		unix.STATX_INO, uintptr(unsafe.Pointer(p.stx)), 0)
	if errno != 0 {
		return errno
	}
	return nil
}
