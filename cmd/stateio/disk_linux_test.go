package main

import (
	"errors"
	"io/fs"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

func TestFullDiskKeepsWhatIsDurable(t *testing.T) {
	dir := t.TempDir()
	if err := unix.Mount("tmpfs", dir, "tmpfs", 0, "size=256k"); err != nil {
		t.Skip("no small tmpfs can be mounted: ", err)
	}
	t.Cleanup(func() {
		if err := unix.Unmount(dir, 0); err != nil {
			t.Error(err)
		}
	})
	for _, batch := range []string{"1", "100"} {
		path := filepath.Join(dir, batch+".state")
		acks, errs := runStateio(t, 3, strings.NewReader(numbered(0, 5000)), "append", "--ack", "--batch", batch, path)
		n := lastCount(t, acks)
		if n == 0 || !strings.Contains(errs, "no space left on device. The first "+count(n, "update")+
			" of this run are durable, what follows was not kept\n") {
			t.Fatalf("%d acknowledged: %s", n, errs)
		}
		if restored, _ := runStateio(t, 0, nil, "restore", path); restored != numbered(0, n) {
			t.Fatalf("batch %s: what was restored is not what was acknowledged", batch)
		}
		if _, errs := runStateio(t, 3, strings.NewReader(strings.Repeat("x", 300<<10)), "snapshot", path); !strings.Contains(errs, "What was to be appended was not kept") {
			t.Fatal(errs)
		}
		runStateio(t, 0, nil, "verify", path)
		if _, errs := runStateio(t, 3, nil, "compact", path); !strings.Contains(errs, "nothing was changed") {
			t.Fatal(errs)
		}
		if err := exec.Command("rm", path).Run(); err != nil {
			t.Fatal(err)
		}
		// The temporary file of compact is gone, too.
		if left, err := filepath.Glob(filepath.Join(dir, ".*")); err != nil || len(left) > 0 {
			t.Fatal(left, err)
		}
	}
}

func TestFileSizeLimitIsAnError(t *testing.T) {
	path := filepath.Join(t.TempDir(), "app.state")
	cmd := exec.Command("bash", "-c", `ulimit -f 100; exec stateio append --ack --batch 50 "$0"`, path)
	cmd.Stdin = strings.NewReader(numbered(0, 5000))
	var errs strings.Builder
	cmd.Stderr = &errs
	acks, err := cmd.Output()
	if status, _ := exitStatus(err); status != 3 || !strings.Contains(errs.String(), "file too large. The first ") {
		t.Fatalf("exit status %d: %s", status, errs.String())
	}
	if restored, _ := runStateio(t, 0, nil, "restore", path); restored != numbered(0, lastCount(t, string(acks))) {
		t.Fatal("what was restored is not what was acknowledged")
	}
}

// A new name is made durable where that can be done: procfs has no sync of directories, and
// says so with EINVAL.
func TestADirectoryThatCannotBeSyncedIsNoFailure(t *testing.T) {
	if err := errors.Join(syncName("/proc/self/status"), syncName(filepath.Join(t.TempDir(), "any"))); err != nil {
		t.Error(err)
	}
	if err := syncName(filepath.Join(t.TempDir(), "none", "any")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a directory that is not there: %v", err)
	}
}
