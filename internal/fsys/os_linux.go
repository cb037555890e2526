package fsys

import "golang.org/x/sys/unix"

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
