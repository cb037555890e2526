//go:build unix

package stateio_test

import (
	"errors"
	"os"
	"syscall"
	"testing"

	"github.com/stateio/stateio"
)

// A file that can't be reached by its name is fine, if that was so from the
// start.
func TestAFileWithoutANameOfItsOwnIsWritten(t *testing.T) {
	removed := namedFile(t)
	do(t, os.Remove(removed.Name()))
	for _, f := range []*os.File{
		removed,
		renamed(t, namedFile(t), "listen/app.state"),
		renamed(t, namedFile(t), ""),
		renamed(t, namedFile(t), t.TempDir()), // as of a file made with O_TMPFILE
	} {
		w, err := stateio.NewFileWriter(f)
		do(t, err, w.Update([]byte("one")), w.Snapshot([]byte("two")), w.Update([]byte("three")))
		if n := countUpdates(t, f); n != 1 {
			t.Errorf("%q: %d updates", f.Name(), n)
		}
	}
}

// renamed returns file as if its descriptor had been passed on under a name.
func renamed(t *testing.T, file *os.File, name string) *os.File {
	t.Helper()
	fd, err := syscall.Dup(int(file.Fd()))
	do(t, err)
	f := os.NewFile(uintptr(fd), name)
	t.Cleanup(func() { f.Close() })
	return f
}

// Watching the file costs an update no memory.
func TestUpdatesOfAFileDoNotAllocate(t *testing.T) {
	w, err := stateio.NewFileWriter(tempFile(t, nil))
	do(t, err)
	update := make([]byte, 100)
	if n := testing.AllocsPerRun(100, func() { _ = w.Update(update) }); n != 0 {
		t.Errorf("%v allocations for each update", n)
	}
}

// A file whose descriptor has another name is noticed when it loses its last one.
func TestAFileUnderAnotherNameThatIsRemovedIsNoticed(t *testing.T) {
	named := namedFile(t)
	w, err := stateio.NewFileWriter(renamed(t, named, "listen/app.state"))
	do(t, err, w.Update(nil), os.Rename(named.Name(), named.Name()+".1"), w.Update(nil), os.Remove(named.Name()+".1"))
	if err := w.Update(nil); !errors.Is(err, stateio.ErrTaken) {
		t.Error(err)
	}
}
