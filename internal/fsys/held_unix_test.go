//go:build unix

package fsys_test

import (
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/stateio/stateio/internal/fsys"
	"github.com/stateio/stateio/internal/fsys/fsystest"
	"golang.org/x/sys/unix"
)

// The name of a directory can be made durable though its parent may not be read.
func TestTheNameOfADirectoryIsSyncedWithoutReadingItsParent(t *testing.T) {
	if os.Geteuid() == 0 {
		t.Skip("root may read every directory")
	}
	parent := filepath.Join(t.TempDir(), "parent")
	fsystest.Mkdir(t, fsys.OS{}, parent)
	fsystest.Mkdir(t, fsys.OS{}, filepath.Join(parent, "dir"))
	if err := os.Chmod(parent, 0o300); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.Chmod(parent, 0o700) })
	if err := (fsys.OS{}).SyncName(filepath.Join(parent, "dir")); err != nil {
		t.Error(err)
	}
}

func TestHeldFilesAndDirectoriesAreNotInherited(t *testing.T) {
	dir := t.TempDir()
	h := fsystest.Hold(t, fsys.OS{}, dir)
	f := fsystest.Create(t, h, filepath.Join(dir, "a"), "")
	for _, fd := range []uintptr{fsys.HeldDescriptor(h), fsys.Descriptor(f)} {
		flags, err := unix.FcntlInt(fd, unix.F_GETFD, 0)
		if err != nil || flags&unix.FD_CLOEXEC == 0 {
			t.Errorf("descriptor flags %#x, %v: want close-on-exec", flags, err)
		}
	}
}

// A directory that is held needs no descriptor for anything but opening files.
func TestAHeldDirectoryNeedsNoDescriptors(t *testing.T) {
	dir := t.TempDir()
	h := fsystest.Hold(t, fsys.OS{}, dir)
	path := filepath.Join(dir, "a")
	fsystest.Create(t, h, path, "")
	var old unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &old); err != nil {
		t.Fatal(err)
	}
	if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &unix.Rlimit{Cur: 3, Max: old.Max}); err != nil {
		t.Skip(err)
	}
	defer unix.Setrlimit(unix.RLIMIT_NOFILE, &old) //nolint:errcheck // as it was before
	if f, err := h.Open(path, fsys.ReadOnly, 0); !errors.Is(err, unix.EMFILE) {
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
