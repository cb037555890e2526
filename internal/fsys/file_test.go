package fsys_test

import (
	"bytes"
	"errors"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"testing"

	"github.com/stateio/stateio/internal/fsys"
)

func newFile(t *testing.T) *os.File {
	t.Helper()
	f, err := os.Create(filepath.Join(t.TempDir(), "file"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	return f
}

func open(t *testing.T, name string) *os.File {
	t.Helper()
	f, err := os.OpenFile(name, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	return f
}

func TestLockIsHeldByOneOpenFileUntilItIsClosed(t *testing.T) {
	f := newFile(t)
	g := open(t, f.Name())
	for range 2 { // once more is no conflict
		if err := fsys.LockFile(f); err != nil {
			t.Fatal(err)
		}
	}
	if err := fsys.LockFile(g); !errors.Is(err, fsys.ErrLocked) {
		t.Fatalf("got %v, want ErrLocked", err)
	}
	if _, err := g.WriteString("the lock is advisory"); err != nil {
		t.Fatal(err)
	}
	f.Close()
	if err := fsys.LockFile(g); err != nil {
		t.Fatal(err)
	}
}

func TestSyncDir(t *testing.T) {
	f := newFile(t)
	if err := fsys.SyncFileName(f.Name()); err != nil {
		t.Fatal(err)
	}
	gone := newFile(t)
	if runtime.GOOS == "windows" {
		t.Skip("Windows has no directories to sync")
	}
	if err := os.RemoveAll(filepath.Dir(gone.Name())); err != nil {
		t.Fatal(err)
	}
	if err := fsys.SyncFileName(gone.Name()); !errors.Is(err, os.ErrNotExist) {
		t.Fatalf("got %v, want ErrNotExist", err)
	}
}

func TestClosedFilesAreErrors(t *testing.T) {
	f := newFile(t)
	f.Close()
	if err := fsys.LockFile(f); err == nil {
		t.Error("Lock: no error")
	}
	if _, err := fsys.Allocated(f); err == nil {
		t.Error("Allocated: no error")
	}
	if err := fsys.Punch(f, 1); err == nil {
		t.Error("Punch: no error")
	}
	if end := fsys.DataEnd(f, 1234); end != 1234 {
		t.Errorf("DataEnd: %d, want the limit", end)
	}
}

func TestForgottenPagesReadTheSame(t *testing.T) {
	f := newFile(t)
	want := bytes.Repeat([]byte("data"), 10_000)
	if _, err := f.Write(want); err != nil {
		t.Fatal(err)
	}
	if err := f.Sync(); err != nil {
		t.Fatal(err)
	}
	fsys.Forget(f, 5000)
	got := make([]byte, len(want))
	if _, err := f.ReadAt(got, 0); err != nil || !bytes.Equal(got, want) {
		t.Fatalf("the file has changed, %v", err)
	}
}

// Wherever the data of a file with holes ends: nothing is after DataEnd, and
// it is near.
func TestDataEndIsBehindTheLastData(t *testing.T) {
	const size = 10 << 30
	for _, at := range [][]int64{{}, {0}, {0, 1 << 20}, {5 << 30}, {0, 3 << 30, 7<<30 + 12345}, {size - 1}, {1 << 30, 2 << 30, size - 5<<20}} {
		f := newFile(t)
		if err := f.Truncate(size); err != nil {
			t.Skip("the file system can't have such a file: ", err)
		}
		last := int64(0)
		for _, off := range at {
			if _, err := f.WriteAt([]byte{1}, off); err != nil {
				t.Fatal(err)
			}
			last = off + 1
		}
		if _, err := f.Seek(77, io.SeekStart); err != nil {
			t.Fatal(err)
		}
		end := fsys.DataEnd(f, size)
		if end < last || end > size || runtime.GOOS == "linux" && end > last+2<<20 {
			t.Errorf("data at %v: the end is said to be at %d", at, end)
		}
		if pos, err := f.Seek(0, io.SeekCurrent); pos != 77 || err != nil {
			t.Errorf("the file was moved to %d, %v", pos, err)
		}
		if end := fsys.DataEnd(f, 4<<30); end > 4<<30 {
			t.Errorf("data at %v: up to 4 GiB the end is said to be at %d", at, end)
		}
	}
}

func TestPunchMakesZerosThatTakeNoSpace(t *testing.T) {
	f := newFile(t)
	if _, err := f.Write(bytes.Repeat([]byte{1}, 1<<20)); err != nil {
		t.Fatal(err)
	}
	if err := f.Sync(); err != nil {
		t.Fatal(err)
	}
	before, err := fsys.Allocated(f)
	if err != nil || before < 1<<20 {
		t.Fatalf("allocated: %d, %v", before, err)
	}
	if err := fsys.Punch(f, 512<<10); errors.Is(err, errors.ErrUnsupported) {
		t.Skip("no holes here")
	} else if err != nil {
		t.Fatal(err)
	}
	after, err := fsys.Allocated(f)
	if err != nil || before-after < 400<<10 {
		t.Errorf("allocated: %d, then %d, %v", before, after, err)
	}
	got := make([]byte, 1<<20)
	if _, err := f.ReadAt(got, 0); err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got[:512<<10], make([]byte, 512<<10)) || got[512<<10] != 1 {
		t.Error("other bytes are zero than those that were punched")
	}
}

func TestPunchOfAReadOnlyFileIsAnError(t *testing.T) {
	f := newFile(t)
	if _, err := f.WriteString("data"); err != nil {
		t.Fatal(err)
	}
	g, err := os.Open(f.Name())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { g.Close() })
	if err := fsys.Punch(g, 4); err == nil {
		t.Error("no error")
	}
}
