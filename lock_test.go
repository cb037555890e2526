package stateio_test

import (
	"bytes"
	"errors"
	"os"
	"strings"
	"testing"

	"github.com/stateio/stateio"
)

// needLocks skips a test where the platform has no locks, after it made sure that Lock says so.
func needLocks(t *testing.T) {
	t.Helper()
	err := stateio.Lock(tempFile(t, nil))
	if errors.Is(err, stateio.ErrNoLocks) {
		t.Skip("not run: ", err)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// Lock keeps writers out, and tools, until the file is closed, and changes nothing.
func TestLockKeepsWritersOut(t *testing.T) {
	needLocks(t)
	m := (&model{}).update([]byte("one"))
	torn := append(bytes.Clone(m.file), "torn"...)
	f := tempFile(t, torn)
	g := openAgain(t, f.Name())
	for range 2 { // once more is no conflict
		if err := stateio.Lock(f); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := stateio.NewFileWriter(g); !errors.Is(err, stateio.ErrLocked) {
		t.Errorf("a writer: %v", err)
	}
	if err := stateio.Lock(g); !errors.Is(err, stateio.ErrLocked) || !strings.Contains(err.Error(), f.Name()) {
		t.Errorf("another tool: %v", err)
	}
	if !bytes.Equal(content(t, f), torn) {
		t.Error("the file was changed")
	}
	must(t, reopen(t, f, m), m, []byte("by who has the lock"))
	f.Close()
	if err := stateio.Lock(g); err != nil {
		t.Error(err)
	}
}

// A file that a writer has can't be locked.
func TestAWriterKeepsLockOut(t *testing.T) {
	needLocks(t)
	f := tempFile(t, nil)
	reopen(t, f, &model{})
	if err := stateio.Lock(openAgain(t, f.Name())); !errors.Is(err, stateio.ErrLocked) {
		t.Errorf("got %v", err)
	}
}

func TestAClosedFileIsNotLocked(t *testing.T) {
	needLocks(t)
	f := tempFile(t, nil)
	f.Close()
	if err := stateio.Lock(f); !errors.Is(err, os.ErrClosed) || !strings.HasPrefix(err.Error(), "stateio: locking "+f.Name()+": ") {
		t.Errorf("got %v", err)
	}
}

// A platform without locks is told from a file system without: only the first has NewFileWriter
// do without.
func TestAPlatformWithoutLocksIsToldFromAFileSystemWithout(t *testing.T) {
	f := tempFile(t, nil)
	stateio.SetLocks(t, nil)
	if err := stateio.Lock(f); !errors.Is(err, stateio.ErrNoLocks) || !errors.Is(err, errors.ErrUnsupported) || !strings.HasPrefix(err.Error(), "stateio: locking "+f.Name()+": ") {
		t.Errorf("a platform without locks: %v", err)
	}
	m := &model{}
	must(t, reopen(t, f, m), m, []byte("without a lock"))
	stateio.SetLocks(t, func(*os.File) error { return errors.ErrUnsupported })
	_, opening := stateio.NewFileWriter(f)
	for _, err := range []error{stateio.Lock(f), opening} {
		if !errors.Is(err, errors.ErrUnsupported) || errors.Is(err, stateio.ErrNoLocks) || !strings.Contains(err.Error(), f.Name()) {
			t.Errorf("a file system without locks: %v", err)
		}
	}
}
