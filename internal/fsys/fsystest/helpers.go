package fsystest

import (
	"bytes"
	"errors"
	"io"
	"slices"
	"testing"

	"github.com/stateio/stateio/internal/fsys"
)

// Hold holds a directory until the test ends.
func Hold(t testing.TB, fsystem fsys.FS, dir string) fsys.Held {
	t.Helper()
	h, err := fsystem.Hold(dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = h.Close() }) // a test that cares has closed it
	return h
}

// Create makes a file with that content and leaves it open until the test ends.
func Create(t testing.TB, fsystem fsys.FS, path, content string) fsys.File {
	t.Helper()
	f, err := fsystem.Open(path, fsys.Create, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = f.Close() }) // a test that cares has closed it
	if content != "" {
		WriteAt(t, f, 0, content)
	}
	return f
}

// Open opens a file and closes it when the test ends.
func Open(t testing.TB, fsystem fsys.FS, path string, mode fsys.Mode) fsys.File {
	t.Helper()
	f, err := fsystem.Open(path, mode, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = f.Close() }) // a test that cares has closed it
	return f
}

// Mkdir makes a directory.
func Mkdir(t testing.TB, fsystem fsys.FS, path string) {
	t.Helper()
	if err := fsystem.Mkdir(path, 0o700); err != nil {
		t.Fatal(err)
	}
}

// WriteAt writes s at offset off.
func WriteAt(t testing.TB, f fsys.File, off int64, s string) {
	t.Helper()
	if n, err := f.WriteAt([]byte(s), off); n != len(s) || err != nil {
		t.Fatalf("WriteAt(%d bytes, %d) = %d, %v", len(s), off, n, err)
	}
}

// Content returns what is in a file.
func Content(t testing.TB, fsystem fsys.FS, path string) string {
	t.Helper()
	f, err := fsystem.Open(path, fsys.ReadOnly, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		t.Fatal(err)
	}
	p := make([]byte, info.Size)
	if n, err := f.ReadAt(p, 0); n != len(p) || err != nil && err != io.EOF {
		t.Fatalf("ReadAt(%d bytes, 0) = %d, %v", len(p), n, err)
	}
	return string(p)
}

// WantContent checks what is in a file.
func WantContent(t testing.TB, fsystem fsys.FS, path, want string) {
	t.Helper()
	if got := Content(t, fsystem, path); got != want {
		t.Errorf("%s holds %d bytes %.40q, want %d bytes %.40q", path, len(got), got, len(want), want)
	}
}

// WantSize checks the size of a file, in bytes.
func WantSize(t testing.TB, f fsys.File, want int64) {
	t.Helper()
	if info, err := f.Stat(); err != nil || info.Size != want {
		t.Errorf("size = %d, %v; want %d", info.Size, err, want)
	}
}

// Listing lists dir, with a slash after the name of a directory.
func Listing(t testing.TB, fsystem fsys.FS, dir string) []string {
	t.Helper()
	entries, err := fsystem.List(dir)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, e := range entries {
		if e.Type.IsDir() {
			e.Name += "/"
		}
		names = append(names, e.Name)
	}
	return names
}

// WantList checks what Listing returns.
func WantList(t testing.TB, fsystem fsys.FS, dir string, want ...string) {
	t.Helper()
	if got := Listing(t, fsystem, dir); !slices.Equal(got, want) {
		t.Errorf("%s holds %q, want %q", dir, got, want)
	}
}

// WantErr checks that err is want and names path.
func WantErr(t testing.TB, err, want error, path string) {
	t.Helper()
	if !errors.Is(err, want) || !bytes.Contains([]byte(err.Error()), []byte(path)) {
		t.Errorf("error %q, want %q naming %q", err, want, path)
	}
}
