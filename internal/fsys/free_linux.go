package fsys

import (
	"errors"
	"math"

	"golang.org/x/sys/unix"
)

func free(dir string) (int64, error) {
	var st unix.Statfs_t
	if err := retry(func() error { return unix.Statfs(dir, &st) }); err != nil {
		return 0, err
	}
	if !tells(uint32(st.Type), &st) { // its type depends on the architecture
		return 0, errors.ErrUnsupported
	}
	return freeOf(&st), nil
}

// tells reports whether statfs has told what is free on a file system of this kind. A tmpfs
// without a limit, and a FUSE daemon that has no such call, say that they have no blocks at
// all. Btrfs says that none is available when its metadata gets short by its own guess, and
// takes writes still.
func tells(kind uint32, st *unix.Statfs_t) bool {
	guess := kind == unix.BTRFS_SUPER_MAGIC && st.Bavail == 0 && st.Bfree > 0
	return st.Blocks > 0 && !guess
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
