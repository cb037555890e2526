package fsys_test

import (
	"errors"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"syscall"
	"testing"

	"github.com/stateio/stateio/internal/fsys"
	"github.com/stateio/stateio/internal/fsys/fsystest"
	"github.com/stateio/stateio/internal/wine"
)

func TestOSConforms(t *testing.T) {
	fsystest.Conformance(t, func(t *testing.T) (fsys.FS, string) { return fsys.OS{}, t.TempDir() })
}

func TestSymlinksAreNotFollowed(t *testing.T) {
	dir := t.TempDir()
	target, link, dangling := filepath.Join(dir, "target"), filepath.Join(dir, "link"), filepath.Join(dir, "dangling")
	fsystest.Create(t, fsys.OS{}, target, "precious")
	symlink(t, target, link)
	symlink(t, filepath.Join(dir, "nowhere"), dangling)
	for _, path := range []string{link, dangling} {
		for _, mode := range []fsys.Mode{fsys.ReadOnly, fsys.ReadWrite} {
			_, err := fsys.OS{}.Open(path, mode, 0)
			fsystest.WantErr(t, err, fsys.ErrNotRegular, path)
		}
		_, err := fsys.OS{}.Open(path, fsys.Create, 0o600)
		fsystest.WantErr(t, err, fs.ErrExist, path)
		_, err = fsys.OS{}.Lock(path, 0o600)
		fsystest.WantErr(t, err, fsys.ErrNotRegular, path)
	}
	if info, err := (fsys.OS{}).Stat(link); err != nil || info.Mode.Type() != fs.ModeSymlink {
		t.Errorf("Stat of a link = %+v, %v", info, err)
	}
	if err := (fsys.OS{}).Rename(link, link+"2"); err != nil {
		t.Error(err)
	}
	if err := (fsys.OS{}).Remove(link + "2"); err != nil {
		t.Error(err)
	}
	fsystest.WantContent(t, fsys.OS{}, target, "precious")
	fsystest.WantList(t, fsys.OS{}, dir, "dangling", "target")
}

// The name of a directory is in the one above it, however the path says that.
func TestParentHoldsTheName(t *testing.T) {
	for dir, want := range map[string]string{
		"a": ".", "a/": ".", "/a/b": "/a", "/a/./b/": "/a", "/": "/", ".": "..", "..": "../..", "../a": "..", "a/..": "..",
	} {
		if got := fsys.Parent(filepath.FromSlash(dir)); got != filepath.FromSlash(want) {
			t.Errorf("the name of %q is in %q, want %q", dir, got, want)
		}
	}
}

func symlink(t *testing.T, target, link string) {
	t.Helper()
	if wine.Runs() {
		t.Skip("the symbolic links of Wine are none")
	}
	if err := os.Symlink(target, link); err != nil {
		t.Skip(err) // Windows needs a privilege for it
	}
}

func TestModeIsThatOfTheCaller(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("Windows has no permission bits")
	}
	dir := t.TempDir()
	for _, perm := range []fs.FileMode{0o600, 0o400, 0o700} {
		path := filepath.Join(dir, perm.String())
		f, err := fsys.OS{}.Open(path, fsys.Create, perm)
		if err != nil {
			t.Fatal(err)
		}
		fsystest.WriteAt(t, f, 0, "x") // the mode is for those who come later
		if info, err := f.Stat(); err != nil || info.Mode != perm {
			t.Errorf("created with mode %v, %v; want %v", info.Mode, err, perm)
		}
		f.Close()
	}
	sub := filepath.Join(dir, "sub")
	fsystest.Mkdir(t, fsys.OS{}, sub)
	if info, err := (fsys.OS{}).Stat(sub); err != nil || info.Mode != fs.ModeDir|0o700 {
		t.Errorf("directory with mode %v, %v", info.Mode, err)
	}
	lock, err := fsys.OS{}.Lock(filepath.Join(dir, "LOCK"), 0o600)
	if err != nil {
		t.Fatal(err)
	}
	lock.Close()
	if info, err := (fsys.OS{}).Stat(filepath.Join(dir, "LOCK")); err != nil || info.Mode != 0o600 || info.Size != 0 {
		t.Errorf("lock file is %+v, %v", info, err)
	}
}

func TestOpeningDoesNotChangeModeOrContent(t *testing.T) {
	path := filepath.Join(t.TempDir(), "a")
	fsystest.Create(t, fsys.OS{}, path, "data").Close()
	before, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	for _, mode := range []fsys.Mode{fsys.ReadOnly, fsys.ReadWrite} {
		f, err := fsys.OS{}.Open(path, mode, 0o777)
		if err != nil {
			t.Fatal(err)
		}
		f.Close()
	}
	if lock, err := (fsys.OS{}).Lock(path, 0o777); err != nil {
		t.Error(err)
	} else {
		lock.Close()
	}
	after, err := os.Stat(path)
	if err != nil || after.Mode() != before.Mode() || !after.ModTime().Equal(before.ModTime()) {
		t.Errorf("mode %v, time %v became %v, %v", before.Mode(), before.ModTime(), after.Mode(), after.ModTime())
	}
	fsystest.WantContent(t, fsys.OS{}, path, "data")
}

// TestLockEndsWithItsProcess runs this test binary as another process that
// holds the lock, has a child of its own, and is killed.
func TestLockEndsWithItsProcess(t *testing.T) {
	if path := os.Getenv("FSYS_TEST_LOCK"); path != "" {
		holdLock(path)
	}
	if os.Getenv("FSYS_TEST_WAIT") != "" {
		_, _ = io.Copy(io.Discard, os.Stdin)
		os.Exit(0)
	}
	path := filepath.Join(t.TempDir(), "LOCK")
	holder := exec.Command(os.Args[0], "-test.run=^TestLockEndsWithItsProcess$")
	holder.Env = append(os.Environ(), "FSYS_TEST_LOCK="+path)
	holder.Stderr = os.Stderr
	out, err := holder.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	release, err := holder.StdinPipe() // the grandchild waits for its end
	if err != nil {
		t.Fatal(err)
	}
	defer release.Close()
	if err := holder.Start(); err != nil {
		t.Fatal(err)
	}
	if _, err := out.Read(make([]byte, 1)); err != nil {
		t.Fatal("the other process did not get the lock:", err)
	}
	_, err = fsys.OS{}.Lock(path, 0o600)
	fsystest.WantErr(t, err, fsys.ErrLocked, path)
	if err := holder.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_, _ = holder.Process.Wait() // it was killed: that is no news
	lock, err := fsys.OS{}.Lock(path, 0o600)
	if err != nil {
		t.Fatal("after kill -9 of the holder:", err)
	}
	lock.Close()
}

// holdLock takes the lock, starts a child that lives until standard input ends,
// says so, and waits to be killed, or for the child should nobody do it.
func holdLock(path string) {
	if _, err := (fsys.OS{}).Lock(path, 0o600); err != nil {
		os.Exit(1)
	}
	child := exec.Command(os.Args[0], "-test.run=^TestLockEndsWithItsProcess$")
	child.Env = append(os.Environ(), "FSYS_TEST_LOCK=", "FSYS_TEST_WAIT=1")
	child.Stdin = os.Stdin
	if err := child.Start(); err != nil {
		os.Exit(1)
	}
	_, _ = os.Stdout.WriteString("L")
	_ = child.Wait()
	os.Exit(1)
}

func TestHotPathDoesNotAllocate(t *testing.T) {
	p := make([]byte, 4096)
	f := fsystest.Create(t, fsys.OS{}, filepath.Join(t.TempDir(), "a"), string(p))
	for name, call := range map[string]func() error{
		"WriteAt":  func() error { _, err := f.WriteAt(p, 0); return err },
		"ReadAt":   func() error { _, err := f.ReadAt(p, 0); return err },
		"Datasync": f.Datasync,
		"Stat":     func() error { _, err := f.Stat(); return err },
		"Preallocate": func() error {
			if err := f.Preallocate(0, 8192); !errors.Is(err, errors.ErrUnsupported) {
				return err
			}
			return nil
		},
	} {
		allocs := testing.AllocsPerRun(20, func() {
			if err := call(); err != nil {
				t.Fatal(err)
			}
		})
		if allocs > 0 && (name != "Preallocate" || runtime.GOOS == "linux") {
			t.Errorf("%s allocates %v times", name, allocs)
		}
	}
}

func TestNoSpaceIsRecognised(t *testing.T) {
	for err, want := range map[error]bool{
		syscall.ENOSPC: true, syscall.EDQUOT: true, syscall.EFBIG: true, syscall.EIO: false, fs.ErrClosed: false, nil: false,
	} {
		if got := errors.Is(fsys.NoSpace(err), fsys.ErrNoSpace); got != want {
			t.Errorf("%v is ErrNoSpace: %v, want %v", err, got, want)
		}
		if !errors.Is(fsys.NoSpace(err), err) {
			t.Errorf("%v is lost", err)
		}
	}
}

func TestLinksOfTheKernelAreCounted(t *testing.T) {
	a := filepath.Join(t.TempDir(), "a")
	f := fsystest.Create(t, fsys.OS{}, a, "")
	if err := os.Link(a, a+"2"); err != nil {
		t.Skip(err)
	}
	if info, err := f.Stat(); err != nil || info.Links != 2 {
		t.Errorf("%+v, %v; want 2 links", info, err)
	}
}
