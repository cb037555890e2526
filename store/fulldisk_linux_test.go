package store_test

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/stateio/stateio/store"
)

// A store on a small file system of the kernel's, filled to the last byte by
// itself and by others, goes on as soon as there is space.
func TestFullDisksOfTheKernel(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("mounting file systems needs root")
	}
	const size = 16 << 20
	for name, mount := range map[string]func(t *testing.T, dir string){
		"tmpfs": func(t *testing.T, dir string) {
			if err := unix.Mount("tmpfs", dir, "tmpfs", 0, "size=16m"); err != nil {
				t.Skipf("mounting a tmpfs: %v", err)
			}
		},
		"ext4": func(t *testing.T, dir string) { mountLoop(t, dir, size, "mkfs.ext4", "-q", "-F") },
		"xfs":  func(t *testing.T, dir string) { mountLoop(t, dir, 400<<20, "mkfs.xfs", "-q") },
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			mount(t, dir)
			t.Cleanup(func() {
				if err := unix.Unmount(dir, 0); err != nil {
					t.Errorf("unmounting: %v", err)
				}
			})
			fillDisk(t, dir)
		})
	}
}

// mountLoop makes a file system in a file and mounts it at dir.
func mountLoop(t *testing.T, dir string, size int64, mkfs string, args ...string) {
	t.Helper()
	if _, err := exec.LookPath(mkfs); err != nil {
		t.Skipf("there is no %s", mkfs)
	}
	img := filepath.Join(t.TempDir(), "img")
	if err := os.WriteFile(img, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(img, size); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command(mkfs, append(args, img)...).CombinedOutput(); err != nil {
		t.Fatalf("%s: %v\n%s", mkfs, err, out)
	}
	if out, err := exec.Command("mount", "-o", "loop", img, dir).CombinedOutput(); err != nil {
		t.Skipf("mounting a loop device: %v\n%s", err, out)
	}
}

// fillDisk fills the file system at mnt and sees what becomes of a store there.
func fillDisk(t *testing.T, mnt string) {
	t.Helper()
	dir := filepath.Join(mnt, "store")
	ballast := filepath.Join(mnt, "ballast")
	fill := func(leave int64) {
		t.Helper()
		was := freeSpace(t, mnt)
		f, err := os.Create(ballast)
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		size := was - leave
		if size <= 0 {
			return // XFS takes its time to give back what was removed
		}
		if err := unix.Fallocate(int(f.Fd()), 0, 0, size); err != nil && !errors.Is(err, unix.ENOSPC) {
			t.Fatal(err)
		}
	}
	fill(6 << 20)
	m := &journal{}
	s := open(t, dir, m, nil)
	n := 0
	untilFull := func() { // neither an update nor a snapshot fits
		t.Helper()
		for {
			_, err := s.Update(t.Context(), make([]byte, 20_000))
			if err == nil {
				n++
				continue
			}
			wantIs(t, err, store.ErrNoSpace)
			// A snapshot may have been made since that frees what is before it.
			if err := s.Snapshot(t.Context()); err != nil {
				wantIs(t, err, store.ErrNoSpace)
				break
			}
		}
		if len(m.updates) != n || s.Index() != uint64(n) {
			t.Fatalf("%d updates were acknowledged, %d applied, index %d", n, len(m.updates), s.Index())
		}
	}
	untilFull()
	if n < 100 {
		t.Errorf("only %d updates of 20 kB fitted 6 MiB", n)
	}
	before := n
	if err := os.Remove(ballast); err != nil {
		t.Fatal(err)
	}
	fill(2 << 20)
	untilFull()
	if n == before {
		t.Error("no update was made when there was space again")
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}
	m = &journal{}
	s = open(t, dir, m, nil)
	if len(m.updates) != n {
		t.Errorf("on the full disk %d updates were recovered, want %d", len(m.updates), n)
	}
	if err := os.Remove(ballast); err != nil {
		t.Fatal(err)
	}
	update(t, s, "more")
	if err := s.Close(); err != nil {
		t.Error(err)
	}
	m = &journal{}
	s = open(t, dir, m, nil)
	if len(m.updates) != n+1 {
		t.Errorf("%d updates were recovered, want %d", len(m.updates), n+1)
	}
	s.Close()
	if freeSpace(t, mnt) < 4<<20 {
		t.Log("the file system has not given back yet what was removed")
		return
	}
	fill(2 << 20) // which is less than a store sets aside
	was := freeSpace(t, mnt)
	s = open(t, dir, &journal{}, nil)
	update(t, s, "more")
	if left := freeSpace(t, mnt); left < was/2 {
		t.Errorf("%d bytes are left of %d", left, was)
	}
	s.Close()
}

// freeSpace returns how many bytes of the file system at mnt are free.
func freeSpace(t *testing.T, mnt string) int64 {
	t.Helper()
	var fs unix.Statfs_t
	if err := unix.Statfs(mnt, &fs); err != nil {
		t.Fatal(err)
	}
	return int64(fs.Bavail) * int64(fs.Frsize) //nolint:unconvert // Frsize is an int32 at times
}
