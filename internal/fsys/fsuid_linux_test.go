package fsys_test

import (
	"os"
	"path/filepath"
	"runtime"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/stateio/stateio/internal/fsys"
)

// asNobody runs f with the rights to files of a user who owns nothing.
func asNobody(t *testing.T, f func()) {
	t.Helper()
	done := make(chan struct{})
	go func() {
		defer close(done)
		runtime.LockOSThread() // and never unlock: the thread ends with its rights
		if err := unix.Setfsuid(65534); err != nil {
			t.Error(err)
			return
		}
		f()
	}()
	<-done
}

// A service has its file in a directory of root's that it may not list.
func TestADirectoryThatMayNotBeReadIsNoObstacle(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("only root can become somebody else")
	}
	dir, err := os.MkdirTemp("/dev/shm", "fsys") //nolint:usetesting // nobody may pass through a t.TempDir of root's
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
	asNobody(t, func() {
		if _, err := os.ReadDir(dir); !os.IsPermission(err) {
			t.Errorf("the test shows nothing: %v", err)
		}
		if err := fsys.SyncFileName(path); err != nil {
			t.Errorf("SyncFileName: %v", err)
		}
		f, err := os.OpenFile(path, os.O_RDWR, 0)
		if err != nil {
			t.Error(err)
			return
		}
		defer f.Close()
		w, err := fsys.NewWatch(f)
		if err != nil || !w.Named() {
			t.Errorf("NewWatch: %v", err)
			return
		}
		if err := w.Check(0); err != nil {
			t.Error(err)
		}
	})
}

// procfs has no sync of directories, and says so with EINVAL.
func TestADirectoryThatCannotBeSyncedIsNoObstacle(t *testing.T) {
	if err := fsys.SyncFileName("/proc/self/status"); err != nil {
		t.Error(err)
	}
}
