package stateio_test

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"testing"

	"github.com/stateio/stateio"
)

// namedFile returns a new file at a path of its own, open for writing.
func namedFile(t *testing.T) *os.File {
	t.Helper()
	f, err := os.OpenFile(filepath.Join(t.TempDir(), "app.state"), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	return f
}

// do fails the test if one of the steps does.
func do(t *testing.T, errs ...error) {
	t.Helper()
	if err := errors.Join(errs...); err != nil {
		t.Fatal(err)
	}
}

// What operators, logrotate, rsync and editors do to the file of a program that
// runs. The first update after that is refused, and so are all others.
func TestAFileThatIsTakenAwayAcknowledgesNothingMore(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("Windows keeps open files from being removed")
	}
	for name, c := range map[string]struct {
		take    func(t *testing.T, path string)
		missing bool
	}{
		"removed": {func(t *testing.T, path string) { do(t, os.Remove(path)) }, true},
		"moved":   {func(t *testing.T, path string) { do(t, os.Rename(path, path+".1")) }, true},
		"moved, and made anew": {func(t *testing.T, path string) {
			do(t, os.Rename(path, path+".1"), os.WriteFile(path, nil, 0o600))
		}, true},
		"replaced": {func(t *testing.T, path string) {
			do(t, os.WriteFile(path+".new", nil, 0o600), os.Rename(path+".new", path))
		}, true},
		"replaced, with a hard link left": {func(t *testing.T, path string) {
			do(t, os.Link(path, path+".link"), os.WriteFile(path+".new", nil, 0o600), os.Rename(path+".new", path))
		}, true},
		"directory moved":      {func(t *testing.T, path string) { do(t, os.Rename(filepath.Dir(path), filepath.Dir(path)+".old")) }, true},
		"emptied":              {func(t *testing.T, path string) { do(t, os.Truncate(path, 0)) }, false},
		"cut":                  {func(t *testing.T, path string) { do(t, os.Truncate(path, 10)) }, false},
		"appended to":          {appendForeign, false},
		"emptied and refilled": {func(t *testing.T, path string) { do(t, os.WriteFile(path, make([]byte, 200), 0o600)) }, false},
	} {
		t.Run(name, func(t *testing.T) {
			f := namedFile(t)
			w, err := stateio.NewFileWriter(f)
			do(t, err, w.Update([]byte("acknowledged")))
			c.take(t, f.Name())
			err = w.Update([]byte("lost"))
			if !errors.Is(err, stateio.ErrTaken) || errors.Is(err, fs.ErrNotExist) != c.missing {
				t.Fatalf("the next update: %v", err)
			}
			if again := w.Snapshot(nil); again != err {
				t.Errorf("the call after that: %v", again)
			}
		})
	}
}

// appendForeign appends a byte to the file at path.
func appendForeign(t *testing.T, path string) {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_APPEND, 0)
	do(t, err)
	_, err = f.WriteString("x")
	do(t, err, f.Close())
}

// The first update notices it, too: nothing was appended before.
func TestAFileThatIsTakenAwayBeforeTheFirstUpdateIsNoticed(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("Windows keeps open files from being removed")
	}
	for _, content := range []string{"", "42\n"} {
		f := namedFile(t)
		do(t, os.WriteFile(f.Name(), []byte(content), 0o600))
		w, err := stateio.NewFileWriter(f)
		do(t, err, os.Remove(f.Name()))
		if err := w.Update(nil); !errors.Is(err, stateio.ErrTaken) {
			t.Errorf("holding %q: %v", content, err)
		}
	}
}

// A file that was replaced since it was opened is refused, and not changed.
func TestAFileThatWasReplacedSinceItWasOpenedIsRefused(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("Windows keeps open files from being removed")
	}
	for _, keep := range []bool{false, true} {
		f := namedFile(t)
		if keep { // under another name
			do(t, os.Link(f.Name(), f.Name()+".1"))
		}
		do(t, os.Remove(f.Name()), os.WriteFile(f.Name(), nil, 0o600))
		if _, err := stateio.NewFileWriter(f); !errors.Is(err, stateio.ErrTaken) || !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("NewFileWriter = %v", err)
		}
	}
}

// A name that was relative to the working directory still counts when that is
// another one.
func TestChangingTheWorkingDirectoryTakesNothingAway(t *testing.T) {
	dir := t.TempDir()
	t.Chdir(dir)
	f, err := os.Create("app.state")
	do(t, err)
	t.Cleanup(func() { f.Close() })
	w, err := stateio.NewFileWriter(f)
	do(t, err)
	t.Chdir(t.TempDir())
	do(t, w.Update([]byte("elsewhere")))
	if runtime.GOOS == "windows" {
		return
	}
	do(t, os.Remove(filepath.Join(dir, "app.state")))
	if err := w.Update(nil); !errors.Is(err, stateio.ErrTaken) {
		t.Error(err)
	}
}

// A file of somebody else's that is too short to tell is opened, as a torn first
// write of that length must be, and keeps its bytes for as long as nothing is
// appended. A longer one is refused.
func TestOpeningAShortFileOfAnotherKindKeepsIt(t *testing.T) {
	for _, text := range []string{"1", "42\n", "ok\n", "1234", "1234\n", "12345\n", "0123456789abcdef"} {
		f := tempFile(t, []byte(text))
		w, err := stateio.NewFileWriter(f)
		if err != nil != (len(text) > 4) || err != nil && !isCorrupt(err) {
			t.Errorf("%q: %v", text, err)
		}
		if got := string(content(t, f)); got != text {
			t.Errorf("%q is now %q", text, got)
		}
		if err != nil {
			continue
		}
		m := &model{}
		must(t, w, m, []byte("the first"))
		must(t, w, m, []byte("the second"))
		do(t, m.compare(f, int64(len(m.file))))
	}
}
