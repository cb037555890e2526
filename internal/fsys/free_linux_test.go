package fsys

import (
	"math"
	"testing"

	"golang.org/x/sys/unix"
)

// What is free is counted in the blocks of statfs, as df does, and not in pieces of the size
// that the file system likes to be read by: a FUSE daemon tells both.
func TestFreeCountsFragments(t *testing.T) {
	for _, tt := range []struct {
		st   unix.Statfs_t
		want int64
	}{
		{unix.Statfs_t{Bavail: 10, Bsize: 1 << 20, Frsize: 4096}, 40960},
		{unix.Statfs_t{Bavail: 10, Bsize: 4096, Frsize: 4096}, 40960},
		{unix.Statfs_t{Bavail: 10, Bsize: 4096}, 40960},
		{unix.Statfs_t{Bavail: math.MaxUint64, Bsize: 1 << 20, Frsize: 4096}, math.MaxInt64},
		{unix.Statfs_t{Bavail: 10}, 0},
	} {
		if got := freeOf(&tt.st); got != tt.want {
			t.Errorf("of %d blocks, %d and %d bytes large, %d bytes are free, want %d", tt.st.Bavail, tt.st.Bsize, tt.st.Frsize, got, tt.want)
		}
	}
}
