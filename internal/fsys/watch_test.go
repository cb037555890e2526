package fsys_test

import (
	"errors"
	"os"
	"path/filepath"
	"runtime"
	"testing"

	"github.com/stateio/stateio/internal/fsys"
)

func watch(t *testing.T, f *os.File) *fsys.Watch {
	t.Helper()
	w, err := fsys.NewWatch(f)
	if err != nil {
		t.Fatal(err)
	}
	return w
}

func TestAFileOfTheRightSizeUnderItsNameIsFine(t *testing.T) {
	f := newFile(t)
	w := watch(t, f)
	if !w.Named() {
		t.Error("the name is not watched")
	}
	if err := f.Truncate(100); err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(w.Size(100), w.Check(100)); err != nil {
		t.Error(err)
	}
	for _, size := range []int64{99, 101} {
		if err := w.Check(size); !errors.Is(err, fsys.ErrTaken) {
			t.Errorf("%d bytes: %v", size, err)
		}
	}
	f.Close()
	if err := w.Check(100); err == nil || errors.Is(err, fsys.ErrTaken) {
		t.Errorf("a closed file: %v", err)
	}
	if _, err := fsys.NewWatch(f); err == nil {
		t.Error("a closed file can be watched")
	}
}

// Only a name that leads elsewhere, or nowhere, says that the file was taken away:
// a link that leads to the file is as good.
func TestANameMayBeALink(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("links need privileges")
	}
	f := newFile(t)
	link := f.Name() + ".link"
	if err := os.Symlink(f.Name(), link); err != nil {
		t.Fatal(err)
	}
	g := open(t, link)
	w := watch(t, g)
	if err := errors.Join(w.Check(0), os.Rename(f.Name(), f.Name()+".1")); err != nil {
		t.Fatal(err)
	}
	if err := w.Check(0); !errors.Is(err, fsys.ErrTaken) {
		t.Errorf("the link leads nowhere: %v", err)
	}
	if err := os.Rename(f.Name()+".1", f.Name()); err != nil {
		t.Fatal(err)
	}
	if err := w.Check(0); err != nil {
		t.Errorf("it is back: %v", err)
	}
}

func TestWatchingAllocatesNothing(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("elsewhere it may")
	}
	w := watch(t, newFile(t))
	if n := testing.AllocsPerRun(100, func() { _ = w.Check(0) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

// BenchmarkWatch is what an update pays for being watched: a look before the write
// and one after the sync.
func BenchmarkWatch(b *testing.B) {
	f, err := os.Create(filepath.Join(b.TempDir(), "file"))
	if err != nil {
		b.Fatal(err)
	}
	defer f.Close()
	w, err := fsys.NewWatch(f)
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		if err := errors.Join(w.Size(0), w.Check(0)); err != nil {
			b.Fatal(err)
		}
	}
}
