package fsys

import (
	"errors"
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

// A file system that has no blocks tells nothing of what is free; one that is full does.
func TestFreeIsUnknownWhereNothingTellsIt(t *testing.T) {
	for _, tt := range []struct {
		kind uint32
		st   unix.Statfs_t
		want bool
	}{
		{unix.TMPFS_MAGIC, unix.Statfs_t{}, false},
		{unix.TMPFS_MAGIC, unix.Statfs_t{Blocks: 10}, true},
		{unix.EXT4_SUPER_MAGIC, unix.Statfs_t{Blocks: 10, Bfree: 1}, true}, // which is root's
		{unix.BTRFS_SUPER_MAGIC, unix.Statfs_t{Blocks: 10}, true},
		{unix.BTRFS_SUPER_MAGIC, unix.Statfs_t{Blocks: 10, Bfree: 1}, false},
		{unix.BTRFS_SUPER_MAGIC, unix.Statfs_t{Blocks: 10, Bfree: 1, Bavail: 1}, true},
	} {
		if got := tells(tt.kind, &tt.st); got != tt.want {
			t.Errorf("%#x: %+v tells what is free: %v", tt.kind, tt.st, got)
		}
	}
}

// Nothing limits a tmpfs of size 0, which is no full disk.
func TestATmpfsWithoutALimit(t *testing.T) {
	dir := t.TempDir()
	if err := unix.Mount("tmpfs", dir, "tmpfs", 0, "size=0"); err != nil {
		t.Skip(err)
	}
	t.Cleanup(func() { _ = unix.Unmount(dir, 0) })
	if n, err := (OS{}).Free(dir); !errors.Is(err, errors.ErrUnsupported) {
		t.Errorf("%d bytes are free, %v", n, err)
	}
}
