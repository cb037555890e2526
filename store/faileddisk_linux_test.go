package store_test

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/stateio/stateio/internal/fsys"
	"github.com/stateio/stateio/internal/fsys/faultfs"
	"github.com/stateio/stateio/internal/storefs"
	"github.com/stateio/stateio/store"
)

// A disk that fails between the rename of the first log and the sync of its name makes btrfs
// read-only: nothing is durable then, and Create says so.
func TestCreateOnADiskThatFailsBeforeTheNameIsDurable(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("mounting file systems needs root")
	}
	disk := t.TempDir()
	if err := unix.Mount("tmpfs", disk, "tmpfs", 0, "size=300m"); err != nil {
		t.Skip(err)
	}
	t.Cleanup(func() { check(t, unix.Unmount(disk, unix.MNT_DETACH)) })
	t.Setenv("TMPDIR", disk)
	t.Run("btrfs", func(t *testing.T) {
		mnt := t.TempDir()
		mountLoop(t, mnt, 256<<20, "mkfs.btrfs", "-q")
		t.Cleanup(func() { check(t, unix.Unmount(mnt, 0)) })
		dir := filepath.Join(mnt, "store")
		faulty := faultfs.New(fsys.OS{})
		defer storefs.Mount(dir, faulty)()
		renamed, failed := false, false
		faulty.OnOp(func(op faultfs.Op) {
			renamed = renamed || op.Kind == faultfs.OpRename && strings.HasSuffix(op.NewPath, ".log")
			if renamed && !failed && op.Kind == faultfs.OpSyncDir {
				failed = true
				failDisk(t, disk, mnt)
			}
		})
		if err := store.Create(dir, bytes.NewReader(make([]byte, 10_000)), quiet(nil)); err == nil {
			t.Error("Create has told that a store is durable, which is on no disk")
		}
		if !failed {
			t.Error("the disk has not failed")
		}
	})
}

// failDisk has the device of the file system at mnt, which is a file on the one at disk, fail.
func failDisk(t *testing.T, disk, mnt string) {
	t.Helper()
	_ = fillUp(t, disk)
	check(t, os.WriteFile(filepath.Join(mnt, "lost"), bytes.Repeat([]byte("lost"), 8<<20), 0o600))
	f, err := os.Open(mnt)
	check(t, err)
	defer f.Close()
	if err := unix.Syncfs(int(f.Fd())); !errors.Is(err, unix.EIO) {
		t.Errorf("the disk has not failed: %v", err)
	}
}
