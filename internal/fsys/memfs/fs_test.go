package memfs

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"syscall"
	"testing"

	"github.com/stateio/stateio/internal/fsys"
	"github.com/stateio/stateio/internal/fsys/fsystest"
)

func TestMemConforms(t *testing.T) {
	for _, opts := range []Options{{PageSize: 512}, {PageSize: 4096}} {
		fsystest.Conformance(t, func(t *testing.T) (fsys.FS, string) {
			m := New(opts)
			fsystest.Mkdir(t, m, "/store")
			return m, "/store"
		})
	}
}

func TestQuotaStopsAWriteInItsMiddle(t *testing.T) {
	m := newTestMem(t, Options{Quota: 3 * testPage})
	f := fsystest.Create(t, m, "/d/a", "")
	n, err := f.WriteAt([]byte(pages("abcde")), 100)
	if n != 3*testPage-100 || !errors.Is(err, fsys.ErrNoSpace) || !errors.Is(err, syscall.ENOSPC) {
		t.Errorf("WriteAt = %d, %v; want %d, ErrNoSpace", n, err, 3*testPage-100)
	}
	fsystest.WantSize(t, f, 3*testPage)
	fsystest.WriteAt(t, f, 0, pages("xyz")) // space that the file has needs no more
	wantUsed(t, m, 3)
}

func TestPreallocateHonoursTheQuota(t *testing.T) {
	m := newTestMem(t, Options{Quota: 100 * testPage})
	f := fsystest.Create(t, m, "/d/a", pages("a"))
	fsystest.WantErr(t, f.Preallocate(0, 101*testPage), fsys.ErrNoSpace, "/d/a")
	fsystest.WantSize(t, f, testPage)
	if err := f.Preallocate(0, 100*testPage); err != nil {
		t.Fatal(err)
	}
	wantUsed(t, m, 100)
	g := fsystest.Create(t, m, "/d/b", "")
	if _, err := g.WriteAt([]byte("x"), 0); !errors.Is(err, fsys.ErrNoSpace) {
		t.Errorf("a write beside the reserved space: %v, want ErrNoSpace", err)
	}
	for i := range int64(100) { // what is set aside can be written
		fsystest.WriteAt(t, f, i*testPage, pages("z"))
	}
	wantUsed(t, m, 100)
	fsync(t, f)
	dirsync(t, m, "/d")
	wantUsed(t, m.Crash(rand.New(rand.NewPCG(1, 1))), 100)
}

func TestSpaceReturns(t *testing.T) {
	m := newTestMem(t, Options{Quota: 10 * testPage})
	f := fsystest.Create(t, m, "/d/a", pages("abcdefghij"))
	if err := f.Truncate(4 * testPage); err != nil {
		t.Fatal(err)
	}
	wantUsed(t, m, 4)
	if err := m.Remove("/d/a"); err != nil {
		t.Fatal(err)
	}
	wantUsed(t, m, 4) // it is open
	fsystest.WriteAt(t, f, 0, pages("ABCDE"))
	wantUsed(t, m, 5)
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	wantUsed(t, m, 0)

	fsystest.Create(t, m, "/d/b", pages("b"))
	fsystest.Create(t, m, "/d/c", pages("ccc")).Close()
	if err := m.Rename("/d/b", "/d/c"); err != nil {
		t.Fatal(err)
	}
	wantUsed(t, m, 1) // c is replaced

	m.SetQuota(testPage)
	if _, err := m.Open("/d/e", fsys.Create, 0o600); err != nil {
		t.Errorf("names need no space: %v", err)
	}
	m.SetQuota(0)
	fsystest.Create(t, m, "/d/f", pages("0123456789ABCDEF"))
}

func TestFileTooBig(t *testing.T) {
	m := newTestMem(t, Options{})
	f := fsystest.Create(t, m, "/d/a", "")
	_, err := f.WriteAt([]byte("x"), 1<<50)
	fsystest.WantErr(t, err, syscall.EFBIG, "/d/a")
	fsystest.WantErr(t, f.Truncate(1<<50), syscall.EFBIG, "/d/a")
	fsystest.WantErr(t, f.Preallocate(0, 1<<50), syscall.EFBIG, "/d/a")
	fsystest.WantSize(t, f, 0)
}

func TestDirectoriesMoveOnlyInPlace(t *testing.T) {
	m := newTestMem(t, Options{})
	fsystest.Mkdir(t, m, "/d/sub")
	fsystest.Create(t, m, "/d/sub/a", "x")
	fsystest.WantErr(t, m.Rename("/d/sub", "/sub"), syscall.EXDEV, "/d/sub")
	fsystest.Create(t, m, "/d/b", "")
	fsystest.WantErr(t, m.Rename("/d/sub", "/d/b"), syscall.EEXIST, "/d/sub")
	fsystest.WantErr(t, m.Rename("/d/b", "/d/sub"), syscall.EEXIST, "/d/sub")
	if err := m.Rename("/d/sub", "/d/moved"); err != nil {
		t.Fatal(err)
	}
	fsystest.WantContent(t, m, "/d/moved/a", "x")
}

// TestMemConcurrently is for the race detector, and checks that operations of
// many goroutines and concurrent crashes leave each file whole.
func TestMemConcurrently(t *testing.T) {
	m := newTestMem(t, Options{})
	var wg sync.WaitGroup
	for g := range 4 {
		wg.Go(func() {
			rng := rand.New(rand.NewPCG(uint64(g), 0))
			path := fmt.Sprint("/d/", g)
			f := fsystest.Create(t, m, path, "")
			want := make([]byte, 20*testPage)
			for range 100 {
				off := rng.IntN(19 * testPage)
				p := bytes.Repeat([]byte{byte(rng.IntN(256))}, 1+rng.IntN(testPage))
				fsystest.WriteAt(t, f, int64(off), string(p))
				copy(want[off:], p)
				if err := errors.Join(f.Sync(), m.SyncDir("/d")); err != nil {
					t.Error(err)
				}
				if got := fsystest.Content(t, m.Crash(rng), path); got != string(want[:len(got)]) {
					t.Errorf("%s differs after a crash", path)
				}
				if got := fsystest.Content(t, m.Kill(), path); got != string(want[:len(got)]) {
					t.Errorf("%s differs after a kill", path)
				}
			}
		})
	}
	wg.Wait()
}

func wantUsed(t *testing.T, m *FS, pages int64) {
	t.Helper()
	if got := m.Used(); got != pages*testPage {
		t.Errorf("%d pages used, want %d", got/testPage, pages)
	}
}

func TestFreeIsWhatTheQuotaLeaves(t *testing.T) {
	m := newTestMem(t, Options{Quota: 10 * testPage})
	for _, n := range []int64{0, testPage, 3 * testPage} {
		f, err := m.Open("/d/f", fsys.Create, 0o600)
		if err != nil {
			t.Fatal(err)
		}
		if n > 0 {
			if err := f.Preallocate(0, n); err != nil {
				t.Fatal(err)
			}
		}
		if free, err := m.Free("/d"); free != 10*testPage-n || err != nil {
			t.Errorf("with %d bytes in use, %d are free, %v", n, free, err)
		}
		f.Close()
		if err := m.Remove("/d/f"); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := m.Free("/nowhere"); err == nil {
		t.Error("a directory that is not there has free space")
	}
	if free, err := (fsys.OS{}).Free(t.TempDir()); err != nil && !errors.Is(err, errors.ErrUnsupported) || err == nil && free <= 0 {
		t.Errorf("the disk has %d bytes free, %v", free, err)
	}
}
