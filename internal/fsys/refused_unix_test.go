//go:build unix

package fsys

import (
	"errors"
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"
)

// Whatever a sandbox answers instead of a call, the caller is told that there is no
// such call; what a disk or a caller's mistake answers stays what it is.
func TestARefusedCallIsAnUnsupportedOne(t *testing.T) {
	for _, errno := range []unix.Errno{unix.EPERM, unix.EACCES, unix.EINVAL, unix.EOPNOTSUPP, unix.ENOSYS} {
		err := optional(errno)
		if !errors.Is(err, errors.ErrUnsupported) || !errors.Is(err, errno) || err.Error() != errno.Error() {
			t.Errorf("%v became %v", errno, err)
		}
	}
	for _, errno := range []unix.Errno{unix.EIO, unix.ENOSPC, unix.EDQUOT, unix.EFBIG, unix.EBADF, unix.EROFS} {
		if err := optional(errno); errors.Is(err, errors.ErrUnsupported) {
			t.Errorf("%v became %v", errno, err)
		}
	}
	if err := optional(nil); err != nil {
		t.Error(err)
	}
}

// The name of a directory can be made durable though its parent may not be read.
func TestTheNameOfADirectoryIsSyncedWithoutReadingItsParent(t *testing.T) {
	if os.Geteuid() == 0 {
		t.Skip("root may read every directory")
	}
	parent := filepath.Join(t.TempDir(), "parent")
	mkdir(t, OS{}, parent)
	mkdir(t, OS{}, filepath.Join(parent, "dir"))
	if err := os.Chmod(parent, 0o300); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.Chmod(parent, 0o700) })
	if err := (OS{}).SyncName(filepath.Join(parent, "dir")); err != nil {
		t.Error(err)
	}
}

func TestHeldFilesAndDirectoriesAreNotInherited(t *testing.T) {
	dir := t.TempDir()
	h := hold(t, OS{}, dir)
	f := create(t, h, filepath.Join(dir, "a"), "")
	for _, fd := range []uintptr{uintptr(h.(*osHeld).fd), f.(*osFile).fd} {
		flags, err := unix.FcntlInt(fd, unix.F_GETFD, 0)
		if err != nil || flags&unix.FD_CLOEXEC == 0 {
			t.Errorf("descriptor flags %#x, %v: want close-on-exec", flags, err)
		}
	}
}

// A directory that is held needs no descriptor for anything but opening files.
func TestAHeldDirectoryNeedsNoDescriptors(t *testing.T) {
	dir := t.TempDir()
	h := hold(t, OS{}, dir)
	path := filepath.Join(dir, "a")
	create(t, h, path, "")
	var old unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &old); err != nil {
		t.Fatal(err)
	}
	if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &unix.Rlimit{Cur: 3, Max: old.Max}); err != nil {
		t.Skip(err)
	}
	defer unix.Setrlimit(unix.RLIMIT_NOFILE, &old) //nolint:errcheck // as it was before
	if f, err := h.Open(path, ReadOnly, 0); !errors.Is(err, unix.EMFILE) {
		if err == nil {
			f.Close()
		}
		t.Errorf("opening a file: %v, want EMFILE", err)
	}
	if err := h.Rename(path, path+"2"); err != nil {
		t.Error(err)
	}
	if err := h.SyncDir(dir); err != nil {
		t.Error(err)
	}
	if _, err := h.Stat(path + "2"); err != nil {
		t.Error(err)
	}
	if entries, err := h.List(dir); err != nil || len(entries) != 1 {
		t.Errorf("%v, %v", entries, err)
	}
	if err := h.Remove(path + "2"); err != nil {
		t.Error(err)
	}
}
