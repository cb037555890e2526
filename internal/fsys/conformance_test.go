package fsys

import (
	"bytes"
	"errors"
	"io"
	"io/fs"
	"path/filepath"
	"slices"
	"testing"

	"github.com/stateio/stateio/internal/wine"
)

// conformance is what every FS promises whose directory dir is there and empty.
func conformance(t *testing.T, fresh func(t *testing.T) (fsys FS, dir string)) {
	tests := []struct {
		promise string
		test    func(t *testing.T, fsys FS, dir string)
	}{
		{"create is exclusive", testCreateExclusive},
		{"open needs a file", testOpenMissing},
		{"open refuses a directory", testOpenDirectory},
		{"open refuses an unknown mode", testOpenUnknownMode},
		{"a read-only file cannot be changed", testReadOnly},
		{"reads end with io.EOF", testReadAtEnd},
		{"a write past the end leaves zeros", testWriteGap},
		{"offsets pass 4 GiB", testFarOffset},
		{"preallocate extends with zeros", testPreallocate},
		{"truncate cuts and extends with zeros", testTruncate},
		{"a closed file is closed", testClosed},
		{"rename replaces in one step", testRename},
		{"an open file survives rename and remove", testOpenFileSurvives},
		{"remove takes files only", testRemove},
		{"mkdir is exclusive and needs its parent", testMkdir},
		{"list sorts and types", testList},
		{"stat describes", testStat},
		{"syncdir takes directories only", testSyncDir},
		{"a lock excludes until closed", testLock},
		{"a lock is of the file and not of its name", testLockOfFile},
		{"a lock of a name that was removed keeps nobody out", testLockRemoved},
		{"a directory is locked by one holder", testLockDir},
		{"a renamed file tells its new name", testRenamed},
		{"files are told apart", testFileID},
		{"the name of a directory can be synced", testSyncName},
	}
	for _, tt := range tests {
		t.Run(tt.promise, func(t *testing.T) {
			fsys, dir := fresh(t)
			tt.test(t, fsys, dir)
		})
	}
}

// onDiskNotWine skips tests that remove or replace a file on the disk while it is open:
// in Wine, its name is there until it is closed, as it was in old versions of Windows.
func onDiskNotWine(t *testing.T, fsys FS) {
	t.Helper()
	if _, mem := fsys.(*Mem); !mem && wine.Runs() {
		t.Skip("Wine keeps the names of open files")
	}
}

func testCreateExclusive(t *testing.T, fsys FS, dir string) {
	path := filepath.Join(dir, "a")
	create(t, fsys, path, "first")
	_, err := fsys.Open(path, Create, 0o600)
	wantErr(t, err, fs.ErrExist, path)
	wantContent(t, fsys, path, "first")
	_, err = fsys.Open(filepath.Join(dir, "no", "a"), Create, 0o600)
	wantErr(t, err, fs.ErrNotExist, "a")
}

func testOpenMissing(t *testing.T, fsys FS, dir string) {
	path := filepath.Join(dir, "a")
	for _, mode := range []Mode{ReadOnly, ReadWrite} {
		_, err := fsys.Open(path, mode, 0)
		wantErr(t, err, fs.ErrNotExist, path)
	}
}

func testOpenDirectory(t *testing.T, fsys FS, dir string) {
	for _, mode := range []Mode{ReadOnly, ReadWrite} {
		_, err := fsys.Open(dir, mode, 0)
		wantErr(t, err, ErrNotRegular, dir)
	}
	_, err := fsys.Open(dir, Create, 0o600)
	wantErr(t, err, fs.ErrExist, dir)
	_, err = fsys.Lock(dir, 0o600)
	wantErr(t, err, ErrNotRegular, dir)
}

func testOpenUnknownMode(t *testing.T, fsys FS, dir string) {
	_, err := fsys.Open(filepath.Join(dir, "a"), Mode(99), 0o600)
	wantErr(t, err, fs.ErrInvalid, "a")
}

func testReadOnly(t *testing.T, fsys FS, dir string) {
	path := filepath.Join(dir, "a")
	create(t, fsys, path, "data")
	f := open(t, fsys, path, ReadOnly)
	if _, err := f.WriteAt([]byte("x"), 0); err == nil {
		t.Error("WriteAt on a read-only file succeeded")
	}
	if err := f.Truncate(0); err == nil {
		t.Error("Truncate on a read-only file succeeded")
	}
	if err := f.Preallocate(0, 4096); err == nil {
		t.Error("Preallocate on a read-only file succeeded")
	}
	wantContent(t, fsys, path, "data")
}

func testReadAtEnd(t *testing.T, fsys FS, dir string) {
	path := filepath.Join(dir, "a")
	create(t, fsys, path, "0123456789")
	f := open(t, fsys, path, ReadOnly)
	for _, tt := range []struct {
		off  int64
		n    int
		want string
		err  error
	}{
		{0, 10, "0123456789", nil},
		{3, 4, "3456", nil},
		{8, 4, "89", io.EOF},
		{10, 1, "", io.EOF},
		{5000, 1, "", io.EOF},
		{0, 0, "", nil},
	} {
		p := make([]byte, tt.n)
		n, err := f.ReadAt(p, tt.off)
		if string(p[:n]) != tt.want || err != tt.err {
			t.Errorf("ReadAt(%d bytes, %d) = %q, %v; want %q, %v", tt.n, tt.off, p[:n], err, tt.want, tt.err)
		}
	}
	if _, err := f.ReadAt(make([]byte, 1), -1); err == nil || err == io.EOF {
		t.Errorf("ReadAt at -1: %v, want an error", err)
	}
}

func testWriteGap(t *testing.T, fsys FS, dir string) {
	path := filepath.Join(dir, "a")
	f := create(t, fsys, path, "head")
	writeAt(t, f, 10_000, "tail")
	want := append(make([]byte, 10_000), "tail"...)
	copy(want, "head")
	wantContent(t, fsys, path, string(want))
	if _, err := f.WriteAt([]byte("x"), -1); err == nil {
		t.Error("WriteAt at -1 succeeded")
	}
}

func testFarOffset(t *testing.T, fsys FS, dir string) {
	const far = 5<<30 + 3
	f := create(t, fsys, filepath.Join(dir, "a"), "")
	writeAt(t, f, far, "far")
	wantSize(t, f, far+3)
	p := make([]byte, 5)
	if _, err := f.ReadAt(p, far-2); err != nil || string(p) != "\x00\x00far" {
		t.Errorf("ReadAt far out = %q, %v", p, err)
	}
}

func testPreallocate(t *testing.T, fsys FS, dir string) {
	path := filepath.Join(dir, "a")
	f := create(t, fsys, path, "head")
	err := f.Preallocate(0, 8192)
	if errors.Is(err, errors.ErrUnsupported) {
		wantSize(t, f, 4)
		return
	}
	if err != nil {
		t.Fatal(err)
	}
	wantContent(t, fsys, path, "head"+string(make([]byte, 8188)))
	if err := f.Preallocate(100, 10); err != nil {
		t.Error(err)
	}
	wantSize(t, f, 8192)
	wantErr(t, f.Preallocate(0, 0), fs.ErrInvalid, path)
	wantErr(t, f.Preallocate(-1, 5), fs.ErrInvalid, path)
	wantErr(t, f.Preallocate(1<<62, 1<<62), fs.ErrInvalid, path)
}

func testTruncate(t *testing.T, fsys FS, dir string) {
	path := filepath.Join(dir, "a")
	f := create(t, fsys, path, string(bytes.Repeat([]byte("x"), 9000)))
	for _, size := range []int64{5000, 6000, 0, 3} {
		if err := f.Truncate(size); err != nil {
			t.Fatal(err)
		}
		wantSize(t, f, size)
		if size == 6000 {
			wantContent(t, fsys, path, string(bytes.Repeat([]byte("x"), 5000))+string(make([]byte, 1000)))
		}
	}
	wantContent(t, fsys, path, "\x00\x00\x00")
	if err := f.Truncate(-1); err == nil {
		t.Error("Truncate to -1 succeeded")
	}
}

func testClosed(t *testing.T, fsys FS, dir string) {
	path := filepath.Join(dir, "a")
	f := create(t, fsys, path, "data")
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	_, err := f.ReadAt(make([]byte, 1), 0)
	wantErr(t, err, fs.ErrClosed, path)
	_, err = f.WriteAt([]byte("x"), 0)
	wantErr(t, err, fs.ErrClosed, path)
	_, err = f.Stat()
	wantErr(t, err, fs.ErrClosed, path)
	wantErr(t, f.Sync(), fs.ErrClosed, path)
	wantErr(t, f.Datasync(), fs.ErrClosed, path)
	wantErr(t, f.Truncate(0), fs.ErrClosed, path)
	wantErr(t, f.Preallocate(0, 1), fs.ErrClosed, path)
	wantErr(t, f.DropCache(), fs.ErrClosed, path)
	wantErr(t, f.Close(), fs.ErrClosed, path)
	wantContent(t, fsys, path, "data")
}

func testRename(t *testing.T, fsys FS, dir string) {
	onDiskNotWine(t, fsys)
	a, b := filepath.Join(dir, "a"), filepath.Join(dir, "b")
	create(t, fsys, a, "new")
	create(t, fsys, b, "old")
	if err := fsys.Rename(a, b); err != nil {
		t.Fatal(err)
	}
	wantContent(t, fsys, b, "new")
	wantList(t, fsys, dir, "b")
	wantErr(t, fsys.Rename(a, b), fs.ErrNotExist, a)
	wantErr(t, fsys.Rename(b, filepath.Join(dir, "no", "b")), fs.ErrNotExist, b)
	if err := fsys.Rename(b, b); err != nil {
		t.Error(err)
	}
	wantContent(t, fsys, b, "new")
}

func testOpenFileSurvives(t *testing.T, fsys FS, dir string) {
	onDiskNotWine(t, fsys)
	a, b := filepath.Join(dir, "a"), filepath.Join(dir, "b")
	f := create(t, fsys, a, "one")
	if err := fsys.Rename(a, b); err != nil {
		t.Fatal(err)
	}
	writeAt(t, f, 3, "two")
	wantContent(t, fsys, b, "onetwo")
	if info, err := f.Stat(); err != nil || info.Links != 1 {
		t.Errorf("Stat of a renamed file = %+v, %v; want 1 link", info, err)
	}
	if err := fsys.Remove(b); err != nil {
		t.Fatal(err)
	}
	writeAt(t, f, 6, "three")
	p := make([]byte, 11)
	if _, err := f.ReadAt(p, 0); err != nil || string(p) != "onetwothree" {
		t.Errorf("a removed file that is open reads %q, %v", p, err)
	}
	if info, err := f.Stat(); err != nil || info.Links != 0 {
		t.Errorf("Stat of a removed file = %+v, %v; want 0 links", info, err)
	}
}

func testRemove(t *testing.T, fsys FS, dir string) {
	onDiskNotWine(t, fsys)
	a, sub := filepath.Join(dir, "a"), filepath.Join(dir, "sub")
	create(t, fsys, a, "x")
	mkdir(t, fsys, sub)
	if err := fsys.Remove(a); err != nil {
		t.Error(err)
	}
	wantErr(t, fsys.Remove(a), fs.ErrNotExist, a)
	if err := fsys.Remove(sub); err == nil {
		t.Error("Remove took a directory")
	}
	wantList(t, fsys, dir, "sub/")
}

func testMkdir(t *testing.T, fsys FS, dir string) {
	sub := filepath.Join(dir, "sub")
	mkdir(t, fsys, sub)
	wantErr(t, fsys.Mkdir(sub, 0o700), fs.ErrExist, sub)
	create(t, fsys, filepath.Join(dir, "a"), "")
	wantErr(t, fsys.Mkdir(filepath.Join(dir, "a"), 0o700), fs.ErrExist, "a")
	wantErr(t, fsys.Mkdir(filepath.Join(dir, "no", "sub"), 0o700), fs.ErrNotExist, "sub")
	create(t, fsys, filepath.Join(sub, "b"), "inside")
	wantList(t, fsys, sub, "b")
	wantContent(t, fsys, filepath.Join(sub, "b"), "inside")
}

func testList(t *testing.T, fsys FS, dir string) {
	wantList(t, fsys, dir)
	for _, name := range []string{"c", "a", "b"} {
		create(t, fsys, filepath.Join(dir, name), "")
	}
	mkdir(t, fsys, filepath.Join(dir, "aa"))
	wantList(t, fsys, dir, "a", "aa/", "b", "c")
	_, err := fsys.List(filepath.Join(dir, "no"))
	wantErr(t, err, fs.ErrNotExist, "no")
	if _, err = fsys.List(filepath.Join(dir, "a")); err == nil {
		t.Error("List of a file succeeded")
	}
}

func testStat(t *testing.T, fsys FS, dir string) {
	path := filepath.Join(dir, "a")
	f := create(t, fsys, path, "12345")
	byPath, err := fsys.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	byFile, err := f.Stat()
	if err != nil {
		t.Fatal(err)
	}
	if byPath != byFile || byFile.Size != 5 || byFile.Links != 1 || !byFile.Mode.IsRegular() || byFile.Mode&0o600 != 0o600 {
		t.Errorf("Stat by path = %+v, by file = %+v", byPath, byFile)
	}
	if info, err := fsys.Stat(dir); err != nil || !info.Mode.IsDir() {
		t.Errorf("Stat of a directory = %+v, %v", info, err)
	}
	_, err = fsys.Stat(filepath.Join(dir, "no"))
	wantErr(t, err, fs.ErrNotExist, "no")
}

func testSyncDir(t *testing.T, fsys FS, dir string) {
	create(t, fsys, filepath.Join(dir, "a"), "")
	if err := fsys.SyncDir(dir); err != nil {
		t.Error(err)
	}
	wantErr(t, fsys.SyncDir(filepath.Join(dir, "no")), fs.ErrNotExist, "no")
	if err := fsys.SyncDir(filepath.Join(dir, "a")); err == nil {
		t.Error("SyncDir of a file succeeded")
	}
}

func testLock(t *testing.T, fsys FS, dir string) {
	path := filepath.Join(dir, "LOCK")
	for range 3 {
		lock, err := fsys.Lock(path, 0o600)
		if err != nil {
			t.Fatal(err)
		}
		_, err = fsys.Lock(path, 0o600)
		wantErr(t, err, ErrLocked, path)
		if err := lock.Close(); err != nil {
			t.Error(err)
		}
		wantErr(t, lock.Close(), fs.ErrClosed, "")
	}
	wantList(t, fsys, dir, "LOCK")
	_, err := fsys.Lock(filepath.Join(dir, "no", "LOCK"), 0o600)
	wantErr(t, err, fs.ErrNotExist, "LOCK")
}

func testLockOfFile(t *testing.T, fsys FS, dir string) {
	path := filepath.Join(dir, "a")
	f := create(t, fsys, path, "data")
	for range 2 {
		if err := f.Lock(); err != nil {
			t.Fatal(err)
		}
	}
	if err := fsys.Rename(path, path+"2"); err != nil {
		t.Fatal(err)
	}
	g := open(t, fsys, path+"2", ReadWrite)
	wantErr(t, g.Lock(), ErrLocked, path+"2")
	wantContent(t, fsys, path+"2", "data") // readers are not kept out
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	wantErr(t, f.Lock(), fs.ErrClosed, path)
	if err := g.Lock(); err != nil {
		t.Error(err)
	}
}

func testLockRemoved(t *testing.T, fsys FS, dir string) {
	onDiskNotWine(t, fsys)
	path := filepath.Join(dir, "LOCK")
	for range 2 {
		lock, err := fsys.Lock(path, 0o600)
		if err != nil {
			t.Fatal(err)
		}
		defer lock.Close()
		if err := fsys.Remove(path); err != nil {
			t.Fatal(err)
		}
	}
}

func testLockDir(t *testing.T, fsys FS, dir string) {
	sub := filepath.Join(dir, "sub")
	mkdir(t, fsys, sub)
	for range 2 {
		h, other := hold(t, fsys, sub), hold(t, fsys, sub)
		switch err := h.LockDir(); {
		case errors.Is(err, errors.ErrUnsupported):
			return
		case err != nil:
			t.Fatal(err)
		}
		wantErr(t, other.LockDir(), ErrLocked, sub)
		if err := other.Close(); err != nil {
			t.Error(err)
		}
		if err := h.Close(); err != nil {
			t.Error(err)
		}
		wantErr(t, h.Close(), fs.ErrClosed, "")
		wantErr(t, h.LockDir(), fs.ErrClosed, sub)
	}
}

func testRenamed(t *testing.T, fsys FS, dir string) {
	path := filepath.Join(dir, "a")
	f := create(t, fsys, path, "")
	f.Renamed(path + "-new")
	f.Close()
	_, err := f.ReadAt(make([]byte, 1), 0)
	wantErr(t, err, fs.ErrClosed, "a-new")
	_, err = f.WriteAt([]byte("x"), 0)
	wantErr(t, err, fs.ErrClosed, "a-new")
	_, err = f.Stat()
	wantErr(t, err, fs.ErrClosed, "a-new")
	wantErr(t, f.Datasync(), fs.ErrClosed, "a-new")
}

func testFileID(t *testing.T, fsys FS, dir string) {
	a, b := filepath.Join(dir, "a"), filepath.Join(dir, "b")
	f, g := create(t, fsys, a, ""), create(t, fsys, b, "")
	first, err := f.Stat()
	second, serr := g.Stat()
	if err != nil || serr != nil {
		t.Fatal(err, serr)
	}
	if first.ID == (FileID{}) {
		return
	}
	if first.ID == second.ID {
		t.Errorf("two files are %v", first.ID)
	}
	if err := fsys.Rename(a, b); err != nil {
		t.Fatal(err)
	}
	if now, err := fsys.Stat(b); err != nil || now.ID != first.ID {
		t.Errorf("%v was renamed, and is %v, %v", first.ID, now.ID, err)
	}
}

func testSyncName(t *testing.T, fsys FS, dir string) {
	sub := filepath.Join(dir, "sub")
	mkdir(t, fsys, sub)
	if err := fsys.SyncName(sub); err != nil {
		t.Error(err)
	}
	wantErr(t, fsys.SyncName(filepath.Join(dir, "no", "sub")), fs.ErrNotExist, "no")
}

// hold holds a directory until the test ends.
func hold(t testing.TB, fsys FS, dir string) Held {
	t.Helper()
	h, err := fsys.Hold(dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { h.Close() })
	return h
}

// create makes a file with that content and leaves it open until the test ends.
func create(t testing.TB, fsys FS, path, content string) File {
	t.Helper()
	f, err := fsys.Open(path, Create, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	if content != "" {
		writeAt(t, f, 0, content)
	}
	return f
}

func open(t testing.TB, fsys FS, path string, mode Mode) File {
	t.Helper()
	f, err := fsys.Open(path, mode, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	return f
}

func mkdir(t testing.TB, fsys FS, path string) {
	t.Helper()
	if err := fsys.Mkdir(path, 0o700); err != nil {
		t.Fatal(err)
	}
}

func writeAt(t testing.TB, f File, off int64, s string) {
	t.Helper()
	if n, err := f.WriteAt([]byte(s), off); n != len(s) || err != nil {
		t.Fatalf("WriteAt(%d bytes, %d) = %d, %v", len(s), off, n, err)
	}
}

func content(t testing.TB, fsys FS, path string) string {
	t.Helper()
	f, err := fsys.Open(path, ReadOnly, 0)
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

func wantContent(t testing.TB, fsys FS, path, want string) {
	t.Helper()
	if got := content(t, fsys, path); got != want {
		t.Errorf("%s holds %d bytes %.40q, want %d bytes %.40q", path, len(got), got, len(want), want)
	}
}

func wantSize(t testing.TB, f File, want int64) {
	t.Helper()
	if info, err := f.Stat(); err != nil || info.Size != want {
		t.Errorf("size = %d, %v; want %d", info.Size, err, want)
	}
}

// listing lists dir, with a slash after the name of a directory.
func listing(t testing.TB, fsys FS, dir string) []string {
	t.Helper()
	entries, err := fsys.List(dir)
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

func wantList(t testing.TB, fsys FS, dir string, want ...string) {
	t.Helper()
	if got := listing(t, fsys, dir); !slices.Equal(got, want) {
		t.Errorf("%s holds %q, want %q", dir, got, want)
	}
}

// wantErr checks that err is want and names path.
func wantErr(t testing.TB, err, want error, path string) {
	t.Helper()
	if !errors.Is(err, want) || !bytes.Contains([]byte(err.Error()), []byte(path)) {
		t.Errorf("error %q, want %q naming %q", err, want, path)
	}
}
