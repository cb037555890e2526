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

// Two processes that begin as the package documentation says lose nothing when one takes over:
// whoever has the file before restoring it finds all that was acknowledged.
func TestWhoTakesTheFileFirstMissesNoUpdate(t *testing.T) {
	needLocks(t)
	f, m := tempFile(t, nil), &model{}
	next := openAgain(t, f.Name())
	w := reopen(t, f, m)
	must(t, w, m, []byte("one"))
	if _, err := stateio.NewFileWriter(next); !errors.Is(err, stateio.ErrLocked) {
		t.Fatalf("while the other runs: %v", err)
	}
	must(t, w, m, []byte("two"))
	f.Close()
	w, err := stateio.NewFileWriter(next)
	if err != nil {
		t.Fatal(err)
	}
	state, _, updates, err := stateio.RestoreFile(next)
	if err == nil {
		err = matchEpoch(m.current(), state, updates)
	}
	if err != nil {
		t.Error(err)
	}
	must(t, w, m, []byte("three"))
}

// The documentation says the order that loses nothing.
func TestTheDocumentationTakesTheFileFirst(t *testing.T) {
	for name, start := range map[string]string{
		"doc.go": "# Use", "example_test.go": "func Example() {", "docs/MIGRATING.md": "the start: ",
	} {
		text, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		_, program, ok := strings.Cut(string(text), start)
		takes, restores := strings.Index(program, "NewFileWriter"), strings.Index(program, "RestoreFile")
		if !ok || takes < 0 || restores < takes {
			t.Errorf("%s: NewFileWriter at %d, RestoreFile at %d", name, takes, restores)
		}
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
