package main

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"testing"

	"golang.org/x/sys/unix"
)

// A name in a directory that may be written and not be read is made durable with the whole
// file system, for which the file itself has to be opened.
func TestANameInADirectoryThatMayNotBeReadIsSynced(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("only root can become somebody else")
	}
	dir, err := os.MkdirTemp("/dev/shm", "stateio") //nolint:usetesting // nobody may pass through a t.TempDir of root's
	if err != nil {
		t.Skip(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	path := filepath.Join(dir, "app.state")
	for _, err := range []error{os.WriteFile(path, nil, 0o600), os.Chown(path, 65534, -1), os.Chmod(dir, 0o711)} {
		if err != nil {
			t.Fatal(err)
		}
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		runtime.LockOSThread() // and never unlock: the thread ends with its rights
		if err := unix.Setfsuid(65534); err != nil {
			t.Error(err)
			return
		}
		if err := syncName(path); err != nil {
			t.Error(err)
		}
		if err := syncName(filepath.Join(dir, "none")); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("a name that is not there: %v", err)
		}
	}()
	<-done
}
