package fsys

import (
	"math"

	"golang.org/x/sys/unix"
)

func free(dir string) (int64, error) {
	var st unix.Statfs_t
	if err := retry(func() error { return unix.Statfs(dir, &st) }); err != nil {
		return 0, err
	}
	return freeOf(&st), nil
}

// freeOf returns the bytes that statfs has told. Its blocks have the size of a fragment, where
// the file system tells one: Bsize is then what it likes to be read by, which may be many.
func freeOf(st *unix.Statfs_t) int64 {
	size := uint64(st.Frsize)
	if size == 0 {
		size = uint64(st.Bsize)
	}
	if size != 0 && st.Bavail > math.MaxInt64/size {
		return math.MaxInt64
	}
	return int64(st.Bavail * size)
}
