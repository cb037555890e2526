package stateio_test

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stateio/stateio"
)

// Two writers of one file: the second gets ErrLocked, and changes nothing: G11.
func TestASecondWriterGetsErrLocked(t *testing.T) {
	needLocks(t)
	m := (&model{}).update(bytesOf(1, 10))
	f := tempFile(t, m.file)
	must(t, reopen(t, f, m), m, []byte("mine"))

	g := openAgain(t, f.Name())
	if _, err := g.WriteAt([]byte("torn"), int64(len(m.file))); err != nil {
		t.Fatal(err)
	}
	_, err := stateio.NewFileWriter(g)
	if !errors.Is(err, stateio.ErrLocked) || !strings.Contains(err.Error(), f.Name()) || !strings.Contains(err.Error(), "only one at a time") {
		t.Fatalf("got %v, want ErrLocked", err)
	}
	if got := content(t, f); len(got) != len(m.file)+4 {
		t.Fatal("the locked file was cut")
	}
	// Readers need no lock.
	if _, _, _, err := stateio.RestoreFile(g); err != nil {
		t.Fatal(err)
	}
	// The same open file may be wrapped again.
	must(t, reopen(t, f, m), m, []byte("mine again"))
	// Closing it gives the lock up.
	f.Close()
	must(t, reopen(t, g, m), m, []byte("yours"))
	if err := m.compare(g, int64(len(m.file))); err != nil {
		t.Fatal(err)
	}
}

func openAgain(t *testing.T, name string) *os.File {
	t.Helper()
	f, err := os.OpenFile(name, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	return f
}

// childEnv makes the test binary a writer of the file it names; see TestMain.
const childEnv = "STATEIO_TEST_CHILD"

func TestMain(m *testing.M) {
	if name := os.Getenv(childEnv); name != "" {
		child(name)
	}
	os.Exit(m.Run())
}

// child holds the file's lock and appends updates until it is killed.
func child(name string) {
	f, err := os.OpenFile(name, os.O_RDWR, 0)
	if err != nil {
		panic(err)
	}
	w, err := stateio.NewFileWriter(f)
	if err != nil {
		panic(err)
	}
	for {
		if err := w.Update([]byte("acked")); err != nil {
			panic(err)
		}
		_, _ = os.Stdout.WriteString("acked\n")
	}
}

// Killing a writer's process frees the lock at once and loses nothing that was
// acknowledged.
func TestAKilledProcessLeavesNoLockAndLosesNothing(t *testing.T) {
	f := tempFile(t, nil)
	for range count(10) {
		cmd := exec.Command(os.Args[0])
		cmd.Env = append(os.Environ(), childEnv+"="+f.Name())
		out, err := cmd.StdoutPipe()
		if errors.Is(err, errors.ErrUnsupported) {
			t.Skip("this system has no processes")
		}
		if err != nil {
			t.Fatal(err)
		}
		before := countUpdates(t, f)
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		acked, lines := 0, bufio.NewScanner(out)
		for acked < 200 && lines.Scan() {
			acked++
		}
		if _, err := stateio.NewFileWriter(f); !errors.Is(err, stateio.ErrLocked) {
			t.Errorf("while the child writes: %v, want ErrLocked", err)
		}
		if err := cmd.Process.Kill(); err != nil {
			t.Fatal(err)
		}
		for lines.Scan() {
			acked++
		}
		_ = cmd.Wait()
		if acked < 200 {
			t.Fatalf("the child acknowledged %d updates", acked)
		}
		g := openAgain(t, f.Name())
		if _, err := stateio.NewFileWriter(g); err != nil {
			t.Fatalf("after the kill: %v", err)
		}
		g.Close()
		if n := countUpdates(t, f) - before; n < acked || n > acked+1 {
			t.Fatalf("%d updates were acknowledged, %d are there", acked, n)
		}
	}
}

func countUpdates(t *testing.T, f *os.File) (n int) {
	t.Helper()
	_, _, updates, err := stateio.RestoreFile(f)
	if err != nil {
		t.Fatal(err)
	}
	for _, err := range updates.All() {
		if err != nil {
			t.Fatal(err)
		}
		n++
	}
	return n
}

// A new file is opened and used with nothing in it.
func TestANewFileTakesEntries(t *testing.T) {
	f := tempFile(t, nil)
	state, epoch, updates, err := stateio.RestoreFile(f)
	if state != nil || epoch != 0 || err != nil {
		t.Fatalf("got %q, %d, %v", state, epoch, err)
	}
	if _, err := updates.Read(); err != io.EOF {
		t.Fatalf("got %v, want io.EOF", err)
	}
	m := &model{}
	w := reopen(t, f, m)
	must(t, w, m, []byte("one"))
	if err := w.Snapshot(nil); err != nil {
		t.Fatal(err)
	}
	m.snapshot([]byte{})
	must(t, w, m, []byte("two"))
	if !bytes.Equal(content(t, f), m.file) {
		t.Fatal("the file is not that of its entries")
	}
}

// The writer does not depend on where the file is positioned.
func TestMovingTheFileDoesNotMoveTheWriter(t *testing.T) {
	m := &model{}
	f := tempFile(t, nil)
	w := reopen(t, f, m)
	for i := range 20 {
		if _, err := f.Seek(int64(i), io.SeekStart); err != nil {
			t.Fatal(err)
		}
		must(t, w, m, bytesOf(uint64(i), 10))
	}
	if !bytes.Equal(content(t, f), m.file) {
		t.Fatal("the file is not that of its entries")
	}
}

// newPipe returns the ends of a pipe, for reading and for writing.
func newPipe(t *testing.T) (r, w *os.File) {
	t.Helper()
	r, w, err := os.Pipe()
	if errors.Is(err, errors.ErrUnsupported) {
		t.Skip("this system has no pipes")
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { r.Close(); w.Close() })
	return r, w
}

func TestFilesThatCannotBeWrittenAreRefused(t *testing.T) {
	dir, err := os.Open(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { dir.Close() })
	pipe, _ := newPipe(t)
	closed := tempFile(t, nil)
	closed.Close()
	for _, f := range []*os.File{dir, pipe, closed} {
		if _, err := stateio.NewFileWriter(f); err == nil || !strings.HasPrefix(err.Error(), "stateio: ") {
			t.Errorf("NewFileWriter(%s) = %v", f.Name(), err)
		}
	}
	if _, _, _, err := stateio.RestoreFile(closed); !errors.Is(err, os.ErrClosed) {
		t.Errorf("RestoreFile of a closed file: %v", err)
	}
	if _, err := stateio.Truncate(t.Context(), closed, nil); !errors.Is(err, os.ErrClosed) {
		t.Errorf("Truncate of a closed file: %v", err)
	}
}

// A file that is open for reading only keeps even its torn tail.
func TestAReadOnlyFileIsRestoredButNotOpenedForWriting(t *testing.T) {
	m := (&model{}).update(bytesOf(1, 10))
	f := tempFile(t, append(bytes.Clone(m.file), "torn"...))
	g, err := os.Open(f.Name())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { g.Close() })
	if err := m.compare(g, int64(len(m.file)+4)); err != nil {
		t.Fatal(err)
	}
	if w, err := stateio.NewFileWriter(g); err == nil && w.Update(nil) == nil {
		t.Error("a file that is open for reading takes an update")
	}
	if got := content(t, f); len(got) != len(m.file)+4 {
		t.Error("the file was changed")
	}
}

// What can't be read is an error, and no empty file.
func TestFilesThatCannotBeReadAreRefused(t *testing.T) {
	m := longModel()
	name := holeFile(t, m.file).Name()
	f, err := os.OpenFile(name, os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	dir, err := os.Open(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { dir.Close() })
	for _, f := range []*os.File{f, dir} {
		if _, _, _, err := stateio.RestoreFile(f); err == nil || errors.Is(err, stateio.ErrCorrupt) || !strings.HasPrefix(err.Error(), "stateio: ") {
			t.Errorf("RestoreFile(%s): %v", f.Name(), err)
		}
		if _, err := stateio.Truncate(t.Context(), f, nil); err == nil || errors.Is(err, stateio.ErrCorrupt) {
			t.Errorf("Truncate(%s): %v", f.Name(), err)
		}
		if _, err := stateio.NewFileWriter(f); err == nil || errors.Is(err, stateio.ErrCorrupt) {
			t.Errorf("NewFileWriter(%s): %v", f.Name(), err)
		}
	}
	readOnly, err := os.Open(name)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { readOnly.Close() })
	if _, err := stateio.Truncate(t.Context(), readOnly, nil); err == nil {
		t.Error("Truncate of a file that is open for reading: no error")
	}
	if !bytes.Equal(content(t, readOnly), m.file) {
		t.Error("the file was changed")
	}
}

// What NewFileWriter does between its steps can be left at any of them: the
// file before the cut and after it opens the same.
func TestACrashWhileOpeningIsNoDifferentFromNone(t *testing.T) {
	m := (&model{}).snapshot(bytesOf(1, 10)).update(bytesOf(2, 50_000))
	for size := len(m.file); size <= len(m.file)+100; size++ { // a cut may go in part
		f := tempFile(t, append(bytes.Clone(m.file), bytesOf(3, size-len(m.file))...))
		acked := m.prefix(2)
		must(t, reopen(t, f, acked), acked, []byte("more"))
		if err := acked.compare(f, int64(len(acked.file))); err != nil {
			t.Fatal(err)
		}
		f.Close()
	}
}

// The first failed write is final, in the file as well: G8.
func TestTheFirstErrorOfAFileWriterIsFinal(t *testing.T) {
	f := tempFile(t, nil)
	m := &model{}
	w := reopen(t, f, m)
	must(t, w, m, []byte("acked"))
	f.Close() // from here on, every write fails
	err := w.Update([]byte("lost"))
	if !errors.Is(err, os.ErrClosed) || !strings.Contains(err.Error(), filepath.Base(f.Name())) || !strings.Contains(err.Error(), "open the file anew") {
		t.Fatalf("got %v", err)
	}
	if again := w.Snapshot(nil); again != err {
		t.Fatalf("the second error is another: %v", again)
	}
}
