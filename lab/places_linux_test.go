//go:build amd64 || arm64

package lab

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/stateio/stateio"
	"github.com/stateio/stateio/internal/crashtest"
	"github.com/stateio/stateio/store"
)

// placeEnv makes the program one that uses the store in that directory.
const placeEnv = "STATEIO_LAB_PLACE"

// usePlace opens the store in dir twice, and makes updates and a snapshot. If dir is a
// file, that is a state file.
func usePlace(dir string) error {
	if info, err := os.Stat(dir); err == nil && info.Mode().IsRegular() {
		return appendTo(dir)
	}
	for turn := range 2 {
		m := &crashtest.Machine{}
		s, err := store.Open(dir, m, &store.Options{Logger: slog.New(slog.DiscardHandler)})
		if err != nil {
			return err
		}
		h := crashtest.ResumeHistory(m, turn+1)
		for range 3 {
			if _, err := s.Update(context.Background(), h.Next(100)); err != nil {
				return errors.Join(err, s.Close())
			}
		}
		if err := errors.Join(s.Snapshot(context.Background()), s.Close()); err != nil {
			return err
		}
	}
	return nil
}

// appendTo appends an update to a state file.
func appendTo(file string) error {
	f, err := os.OpenFile(file, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	defer f.Close()
	w, err := stateio.NewFileWriter(f)
	if err != nil {
		return err
	}
	return w.Update([]byte("one"))
}

// usedBy runs usePlace in a process of that user, and returns what it says.
func usedBy(t *testing.T, dir string, uid uint32, wrap func(*exec.Cmd)) (out string, err error) {
	t.Helper()
	cmd := exec.Command("/proc/self/exe")
	cmd.Env = append(os.Environ(), placeEnv+"="+dir)
	cmd.Dir = "/"
	if uid != 0 {
		// The umask may have left the program to its owner alone.
		must(t, os.Chmod("/proc/self/exe", 0o755))
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uid, Gid: uid}}
	}
	if wrap != nil {
		wrap(cmd)
	}
	b, err := cmd.CombinedOutput()
	return string(b), err
}

// nobody is a user without rights.
const nobody = 65534

// common returns a new directory that every user may enter.
func common(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("/tmp", "stateio-lab-") //nolint:usetesting // the directories above that of t.TempDir are for its user only
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := os.RemoveAll(dir); err != nil {
			t.Error(err)
		}
	})
	must(t, os.Chmod(dir, 0o755))
	return dir
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func needRoot(t *testing.T) {
	t.Helper()
	if noMounts != nil {
		t.Skip(noMounts)
	}
}

// makeDir makes a directory with those permissions for a user.
func makeDir(t *testing.T, uid int, perm os.FileMode, elem ...string) string {
	t.Helper()
	dir := filepath.Join(elem...)
	must(t, os.Mkdir(dir, 0o700))
	must(t, os.Chown(dir, uid, uid))
	must(t, os.Chmod(dir, perm))
	return dir
}

// A parent that may be entered, and not read, is no obstacle, whether the directory of
// the store is there or has to be made.
func TestAParentThatMayNotBeRead(t *testing.T) {
	needRoot(t)
	top := common(t)
	srv, drop := makeDir(t, 0, 0o711, top, "srv"), makeDir(t, 0, 0o733, top, "drop")
	file := filepath.Join(srv, "file")
	must(t, os.WriteFile(file, nil, 0o600))
	must(t, os.Chown(file, nobody, nobody))
	for _, dir := range []string{makeDir(t, nobody, 0o700, srv, "app"), filepath.Join(drop, "made", "here"), file} {
		if out, err := usedBy(t, dir, nobody, nil); err != nil {
			t.Errorf("%s: %v\n%s", dir, err, out)
		}
	}
}

// A directory that may be entered and written, and not read, is refused with what to
// do.
func TestADirectoryThatMayNotBeRead(t *testing.T) {
	needRoot(t)
	dir := makeDir(t, nobody, 0o300, common(t), "blind")
	out, err := usedBy(t, dir, nobody, nil)
	if err == nil || !strings.Contains(out, dir) || !strings.Contains(out, "needs the permissions to read, write and enter") {
		t.Errorf("%v: %s", err, out)
	}
	if entries, err := os.ReadDir(dir); err != nil || len(entries) > 0 {
		t.Errorf("%v were made, %v", entries, err)
	}
}

// mounted mounts something until the test ends.
func mounted(t *testing.T, source, dir, kind string, flags uintptr, options string) {
	t.Helper()
	if err := unix.Mount(source, dir, kind, flags, options); err != nil {
		t.Skipf("mounting %s: %v", kind, err)
	}
	t.Cleanup(func() {
		if err := unix.Unmount(dir, 0); err != nil {
			t.Error(err)
			_ = unix.Unmount(dir, unix.MNT_DETACH)
		}
	})
}

// A parent on a file system that can't be written is no obstacle, as in an image of
// squashfs with a place for data mounted in it.
func TestAMountPointBelowSquashfs(t *testing.T) {
	needRoot(t)
	mksquashfs := lookFor(t, "mksquashfs")
	top := common(t)
	root := makeDir(t, 0, 0o755, top, "root")
	makeDir(t, 0, 0o755, root, "data")
	image := filepath.Join(top, "image")
	if out, err := exec.Command(mksquashfs, root, image, "-quiet").CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	at := makeDir(t, 0, 0o755, top, "mounted")
	if out, err := exec.Command("mount", "-t", "squashfs", "-o", "loop,ro", image, at).CombinedOutput(); err != nil {
		t.Skipf("mounting squashfs: %v: %s", err, out)
	}
	t.Cleanup(func() {
		if out, err := exec.Command("umount", at).CombinedOutput(); err != nil {
			t.Errorf("%v: %s", err, out)
		}
	})
	mounted(t, "tmpfs", filepath.Join(at, "data"), "tmpfs", 0, "mode=0755")
	for _, dir := range []string{filepath.Join(at, "data"), filepath.Join(at, "data", "below")} {
		if out, err := usedBy(t, dir, 0, nil); err != nil {
			t.Errorf("%s: %v\n%s", dir, err, out)
		}
	}
}

// A store in the lower layer of an overlay goes on in the upper one.
func TestAStoreOnOverlayfs(t *testing.T) {
	needRoot(t)
	top := t.TempDir()
	var dirs []string
	for _, name := range []string{"lower", "upper", "work", "merged"} {
		dirs = append(dirs, makeDir(t, 0, 0o755, top, name))
	}
	below := filepath.Join(dirs[0], "store")
	must(t, usePlace(below))
	before := contents(t, below)
	mounted(t, "overlay", dirs[3], "overlay", 0, fmt.Sprintf("lowerdir=%s,upperdir=%s,workdir=%s", dirs[0], dirs[1], dirs[2]))
	for _, name := range []string{"store", "new"} {
		if out, err := usedBy(t, filepath.Join(dirs[3], name), 0, nil); err != nil {
			t.Errorf("%s: %v\n%s", name, err, out)
		}
	}
	if contents(t, below) != before {
		t.Error("the lower layer has changed")
	}
}

// contents returns all names and bytes in a directory.
func contents(t *testing.T, dir string) string {
	t.Helper()
	entries, err := os.ReadDir(dir)
	must(t, err)
	var all strings.Builder
	for _, e := range entries {
		b, err := os.ReadFile(filepath.Join(dir, e.Name()))
		must(t, err)
		fmt.Fprintf(&all, "%s %q\n", e.Name(), b)
	}
	return all.String()
}

// Two processes that reach one directory by different names do not both have the store
// in it, though LOCK is removed.
func TestTwoNamesOfADirectory(t *testing.T) {
	needRoot(t)
	top := t.TempDir()
	dir, other := makeDir(t, 0, 0o700, top, "one"), makeDir(t, 0, 0o700, top, "other")
	mounted(t, dir, other, "", unix.MS_BIND, "")
	link := filepath.Join(top, "link")
	must(t, os.Symlink(dir, link))
	m := &crashtest.Machine{}
	s, err := store.Open(dir, m, &store.Options{Logger: slog.New(slog.DiscardHandler)})
	must(t, err)
	defer s.Close()
	h := crashtest.NewHistory()
	for range 20 {
		if rand.IntN(2) == 0 {
			_ = os.Remove(filepath.Join(dir, "LOCK")) // if it is there
		}
		for _, name := range []string{dir, other, link} {
			out, err := usedBy(t, name, 0, nil)
			if err == nil || !strings.Contains(out, "is open elsewhere") {
				t.Fatalf("a second process in %s: %v: %s", name, err, out)
			}
		}
		_, err := s.Update(context.Background(), h.Next(100))
		must(t, err)
		must(t, s.Snapshot(context.Background()))
	}
}

// Where the file system says that directories can't be synced (CIFS, 9p, vboxsf), a
// store works.
func TestDirectoriesThatCantBeSynced(t *testing.T) {
	strace := tracer(t)
	for _, errno := range []string{"EINVAL", "EOPNOTSUPP"} {
		top, trace := t.TempDir(), filepath.Join(t.TempDir(), "trace")
		dir, file := filepath.Join(top, "store"), filepath.Join(top, "file")
		must(t, os.Mkdir(dir, 0o700))
		must(t, os.WriteFile(file, nil, 0o600))
		cantSync(t, strace, trace, errno, dir, top, file)
		if b, err := os.ReadFile(trace); err != nil || !strings.Contains(string(b), errno) {
			t.Errorf("%s was not injected for a file, %v", errno, err)
		}
		cantSync(t, strace, trace, errno, dir, top, dir)
		if b, err := os.ReadFile(trace); err != nil || strings.Count(string(b), errno) < 3 {
			t.Errorf("%s was injected %d times, %v", errno, strings.Count(string(b), errno), err)
		}
	}
}

// A file system that is read-only (EROFS) is no obstacle above a store. One that holds the store has
// failed: nothing is told as durable there.
func TestReadOnlyAboveAStoreAndBelow(t *testing.T) {
	strace := tracer(t)
	top, trace := t.TempDir(), filepath.Join(t.TempDir(), "trace")
	dir := filepath.Join(top, "store")
	must(t, os.Mkdir(dir, 0o700))
	if out, err := syncsFail(t, strace, trace, "EROFS", dir, top); err != nil {
		t.Errorf("above: %v\n%s", err, out)
	}
	if b, err := os.ReadFile(trace); err != nil || !strings.Contains(string(b), "EROFS") {
		t.Errorf("EROFS was not injected, %v", err)
	}
	if _, err := syncsFail(t, strace, trace, "EROFS", dir, dir); err == nil {
		t.Error("a store is used in a directory of a file system that has failed")
	}
}

// tracer returns where strace is, which may trace.
func tracer(t *testing.T) string {
	t.Helper()
	strace := lookFor(t, "strace")
	if out, err := exec.Command(strace, "-f", "-o", os.DevNull, "true").CombinedOutput(); err != nil {
		t.Skipf("strace may not trace: %v\n%s", err, out)
	}
	return strace
}

// cantSync uses a place while syncs of dir and top fail.
func cantSync(t *testing.T, strace, trace, errno, dir, top, place string) {
	t.Helper()
	out, err := syncsFail(t, strace, trace, errno, place, dir, top)
	if err != nil {
		t.Errorf("%s: %v\n%s", errno, err, out)
	}
}

// syncsFail uses a place while syncs of some directories fail.
func syncsFail(t *testing.T, strace, trace, errno, place string, dirs ...string) (out string, err error) {
	t.Helper()
	return usedBy(t, place, 0, func(cmd *exec.Cmd) {
		exe, err := os.Executable()
		must(t, err)
		cmd.Path = strace
		cmd.Args = []string{"strace", "-f", "-qq", "-o", trace, "-e", "trace=fsync", "-e", "inject=fsync:error=" + errno}
		for _, dir := range dirs {
			cmd.Args = append(cmd.Args, "-P", dir)
		}
		cmd.Args = append(cmd.Args, exe)
	})
}
