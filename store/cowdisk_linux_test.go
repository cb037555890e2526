package store_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/stateio/stateio/store"
)

// Where overwriting takes space, a full disk can refuse to write what was applied.
// The store waits for space, and loses nothing.
func TestCopyOnWriteDisksOfTheKernel(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("mounting file systems needs root")
	}
	for name, mkfs := range map[string][]string{
		"btrfs":              {"mkfs.btrfs", "-q"},
		"xfs with a reflink": {"mkfs.xfs", "-q", "-m", "reflink=1"},
	} {
		t.Run(name, func(t *testing.T) {
			mnt := t.TempDir()
			mountLoop(t, mnt, 400<<20, mkfs[0], mkfs[1:]...)
			t.Cleanup(func() {
				if err := unix.Unmount(mnt, 0); err != nil {
					t.Errorf("unmounting: %v", err)
				}
			})
			fillSharedDisk(t, mnt)
		})
	}
}

// fillSharedDisk fills the file system at mnt under a store whose files share their
// blocks with copies.
func fillSharedDisk(t *testing.T, mnt string) {
	t.Helper()
	dir := filepath.Join(mnt, "store")
	m := &journal{}
	s := open(t, dir, m, &store.Options{SnapshotBytes: -1})
	for i := range 200 {
		update(t, s, fmt.Sprint("before ", i))
	}
	reflink(t, dir, filepath.Join(mnt, "copy"))
	ballast := fillUp(t, mnt)
	acked := len(m.updates)
	refused, waited := 0, 0
	u := make([]byte, 500)
	for range 400 {
		ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
		_, err := s.Update(ctx, u)
		cancel()
		switch {
		case err == nil:
			acked++
		case errors.Is(err, store.ErrUnknown):
			waited++
		case errors.Is(err, store.ErrNoSpace) || errors.Is(err, context.DeadlineExceeded):
			refused++
		default:
			t.Fatal(err)
		}
	}
	if err := s.Stats().Err; err != nil {
		t.Fatalf("a full disk fails the store: %v", err)
	}
	t.Logf("on the full disk %d updates were made, %d refused, and %d waited for space", acked-200, refused, waited)
	for _, path := range ballast {
		check(t, os.Remove(path))
	}
	for end := time.Now().Add(time.Minute); ; {
		_, err := s.Update(t.Context(), []byte("after"))
		if err == nil {
			break
		}
		if !errors.Is(err, store.ErrNoSpace) || time.Now().After(end) {
			t.Fatalf("when there was space again: %v", err)
		}
		syncFS(t, mnt) // which gives back what was removed
	}
	want := len(m.updates)
	check(t, s.Close())
	again := &journal{}
	s = open(t, dir, again, nil)
	if len(again.updates) != want || want < acked+1 {
		t.Errorf("%d updates were recovered, of %d applied and %d acknowledged", len(again.updates), want, acked+1)
	}
	check(t, s.Close())
}

// reflink makes a copy of a directory whose files share their blocks with it.
func reflink(t *testing.T, from, to string) {
	t.Helper()
	check(t, os.Mkdir(to, 0o700))
	entries, err := os.ReadDir(from)
	check(t, err)
	for _, e := range entries {
		src, err := os.Open(filepath.Join(from, e.Name()))
		check(t, err)
		dst, err := os.Create(filepath.Join(to, e.Name()))
		check(t, err)
		check(t, src.Sync())
		if err := unix.IoctlFileClone(int(dst.Fd()), int(src.Fd())); err != nil {
			t.Skipf("cloning a file: %v", err)
		}
		check(t, errors.Join(src.Close(), dst.Close()))
	}
}

// fillUp fills the file system at mnt to the last byte, with files that it returns.
func fillUp(t *testing.T, mnt string) (paths []string) {
	t.Helper()
	for i, piece := range []int{1 << 20, 64 << 10, 4096, 4096, 512, 512} {
		path := filepath.Join(mnt, fmt.Sprint("ballast", i))
		f, err := os.Create(path)
		if errors.Is(err, unix.ENOSPC) {
			break
		}
		check(t, err)
		paths = append(paths, path)
		b := make([]byte, piece)
		for i := range b {
			b[i] = byte(i*i + i>>8)
		}
		for err == nil {
			_, err = f.Write(b)
		}
		if !errors.Is(err, unix.ENOSPC) {
			t.Fatal(err)
		}
		_ = f.Close()
		syncFS(t, mnt)
	}
	return paths
}

// syncFS writes out what the file system at mnt has pending.
func syncFS(t *testing.T, mnt string) {
	t.Helper()
	f, err := os.Open(mnt)
	check(t, err)
	defer f.Close()
	if err := unix.Syncfs(int(f.Fd())); err != nil && !errors.Is(err, unix.ENOSPC) {
		t.Fatal(err)
	}
}
