// Package fsystest has the tests that every file system of package fsys must pass, and what
// such tests need.
package fsystest

import (
	"bytes"
	"errors"
	"io"
	"io/fs"
	"path/filepath"
	"testing"

	"github.com/stateio/stateio/internal/fsys"
	"github.com/stateio/stateio/internal/wine"
)

// Conformance tests what every fsys.FS promises whose directory dir is there and empty.
func Conformance(t *testing.T, fresh func(t *testing.T) (fsystem fsys.FS, dir string)) {
	tests := []struct {
		promise string
		test    func(t *testing.T, fsystem fsys.FS, dir string)
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
		{"an empty directory can be removed", testRemoveDir},
		{"a directory gets its name with what is in it", testRenameDir},
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
			fsystem, dir := fresh(t)
			tt.test(t, fsystem, dir)
		})
	}
}

// onDiskNotWine skips tests that remove or replace a file on the disk while it is open:
// in Wine, its name is there until it is closed, as it was in old versions of Windows.
func onDiskNotWine(t *testing.T, fsystem fsys.FS) {
	t.Helper()
	if _, mem := fsystem.(interface{ Used() int64 }); !mem && wine.Runs() {
		t.Skip("Wine keeps the names of open files")
	}
}

func testCreateExclusive(t *testing.T, fsystem fsys.FS, dir string) {
	path := filepath.Join(dir, "a")
	Create(t, fsystem, path, "first")
	_, err := fsystem.Open(path, fsys.Create, 0o600)
	WantErr(t, err, fs.ErrExist, path)
	WantContent(t, fsystem, path, "first")
	_, err = fsystem.Open(filepath.Join(dir, "no", "a"), fsys.Create, 0o600)
	WantErr(t, err, fs.ErrNotExist, "a")
}

func testOpenMissing(t *testing.T, fsystem fsys.FS, dir string) {
	path := filepath.Join(dir, "a")
	for _, mode := range []fsys.Mode{fsys.ReadOnly, fsys.ReadWrite} {
		_, err := fsystem.Open(path, mode, 0)
		WantErr(t, err, fs.ErrNotExist, path)
	}
}

func testOpenDirectory(t *testing.T, fsystem fsys.FS, dir string) {
	for _, mode := range []fsys.Mode{fsys.ReadOnly, fsys.ReadWrite} {
		_, err := fsystem.Open(dir, mode, 0)
		WantErr(t, err, fsys.ErrNotRegular, dir)
	}
	_, err := fsystem.Open(dir, fsys.Create, 0o600)
	WantErr(t, err, fs.ErrExist, dir)
	_, err = fsystem.Lock(dir, 0o600)
	WantErr(t, err, fsys.ErrNotRegular, dir)
}

func testOpenUnknownMode(t *testing.T, fsystem fsys.FS, dir string) {
	_, err := fsystem.Open(filepath.Join(dir, "a"), fsys.Mode(99), 0o600)
	WantErr(t, err, fs.ErrInvalid, "a")
}

func testReadOnly(t *testing.T, fsystem fsys.FS, dir string) {
	path := filepath.Join(dir, "a")
	Create(t, fsystem, path, "data")
	f := Open(t, fsystem, path, fsys.ReadOnly)
	if _, err := f.WriteAt([]byte("x"), 0); err == nil {
		t.Error("WriteAt on a read-only file succeeded")
	}
	if err := f.Truncate(0); err == nil {
		t.Error("Truncate on a read-only file succeeded")
	}
	if err := f.Preallocate(0, 4096); err == nil {
		t.Error("Preallocate on a read-only file succeeded")
	}
	WantContent(t, fsystem, path, "data")
}

func testReadAtEnd(t *testing.T, fsystem fsys.FS, dir string) {
	path := filepath.Join(dir, "a")
	Create(t, fsystem, path, "0123456789")
	f := Open(t, fsystem, path, fsys.ReadOnly)
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
		if string(p[:n]) != tt.want || err != tt.err { //nolint:errorlint // io.EOF itself, as io.ReaderAt has it
			t.Errorf("ReadAt(%d bytes, %d) = %q, %v; want %q, %v", tt.n, tt.off, p[:n], err, tt.want, tt.err)
		}
	}
	if _, err := f.ReadAt(make([]byte, 1), -1); err == nil || err == io.EOF {
		t.Errorf("ReadAt at -1: %v, want an error", err)
	}
}

func testWriteGap(t *testing.T, fsystem fsys.FS, dir string) {
	path := filepath.Join(dir, "a")
	f := Create(t, fsystem, path, "head")
	WriteAt(t, f, 10_000, "tail")
	want := append(make([]byte, 10_000), "tail"...)
	copy(want, "head")
	WantContent(t, fsystem, path, string(want))
	if _, err := f.WriteAt([]byte("x"), -1); err == nil {
		t.Error("WriteAt at -1 succeeded")
	}
}

func testFarOffset(t *testing.T, fsystem fsys.FS, dir string) {
	const far = 5<<30 + 3
	f := Create(t, fsystem, filepath.Join(dir, "a"), "")
	WriteAt(t, f, far, "far")
	WantSize(t, f, far+3)
	p := make([]byte, 5)
	if _, err := f.ReadAt(p, far-2); err != nil || string(p) != "\x00\x00far" {
		t.Errorf("ReadAt far out = %q, %v", p, err)
	}
}

func testPreallocate(t *testing.T, fsystem fsys.FS, dir string) {
	path := filepath.Join(dir, "a")
	f := Create(t, fsystem, path, "head")
	err := f.Preallocate(0, 8192)
	if errors.Is(err, errors.ErrUnsupported) {
		WantSize(t, f, 4)
		return
	}
	if err != nil {
		t.Fatal(err)
	}
	WantContent(t, fsystem, path, "head"+string(make([]byte, 8188)))
	if err := f.Preallocate(100, 10); err != nil {
		t.Error(err)
	}
	WantSize(t, f, 8192)
	WantErr(t, f.Preallocate(0, 0), fs.ErrInvalid, path)
	WantErr(t, f.Preallocate(-1, 5), fs.ErrInvalid, path)
	WantErr(t, f.Preallocate(1<<62, 1<<62), fs.ErrInvalid, path)
}

func testTruncate(t *testing.T, fsystem fsys.FS, dir string) {
	path := filepath.Join(dir, "a")
	f := Create(t, fsystem, path, string(bytes.Repeat([]byte("x"), 9000)))
	for _, size := range []int64{5000, 6000, 0, 3} {
		if err := f.Truncate(size); err != nil {
			t.Fatal(err)
		}
		WantSize(t, f, size)
		if size == 6000 {
			WantContent(t, fsystem, path, string(bytes.Repeat([]byte("x"), 5000))+string(make([]byte, 1000)))
		}
	}
	WantContent(t, fsystem, path, "\x00\x00\x00")
	if err := f.Truncate(-1); err == nil {
		t.Error("Truncate to -1 succeeded")
	}
}

func testClosed(t *testing.T, fsystem fsys.FS, dir string) {
	path := filepath.Join(dir, "a")
	f := Create(t, fsystem, path, "data")
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	_, err := f.ReadAt(make([]byte, 1), 0)
	WantErr(t, err, fs.ErrClosed, path)
	_, err = f.WriteAt([]byte("x"), 0)
	WantErr(t, err, fs.ErrClosed, path)
	_, err = f.Stat()
	WantErr(t, err, fs.ErrClosed, path)
	WantErr(t, f.Sync(), fs.ErrClosed, path)
	WantErr(t, f.Datasync(), fs.ErrClosed, path)
	WantErr(t, f.Truncate(0), fs.ErrClosed, path)
	WantErr(t, f.Preallocate(0, 1), fs.ErrClosed, path)
	WantErr(t, f.DropCache(), fs.ErrClosed, path)
	WantErr(t, f.Close(), fs.ErrClosed, path)
	WantContent(t, fsystem, path, "data")
}

func testRename(t *testing.T, fsystem fsys.FS, dir string) {
	onDiskNotWine(t, fsystem)
	a, b := filepath.Join(dir, "a"), filepath.Join(dir, "b")
	Create(t, fsystem, a, "new")
	Create(t, fsystem, b, "old")
	if err := fsystem.Rename(a, b); err != nil {
		t.Fatal(err)
	}
	WantContent(t, fsystem, b, "new")
	WantList(t, fsystem, dir, "b")
	WantErr(t, fsystem.Rename(a, b), fs.ErrNotExist, a)
	WantErr(t, fsystem.Rename(b, filepath.Join(dir, "no", "b")), fs.ErrNotExist, b)
	if err := fsystem.Rename(b, b); err != nil {
		t.Error(err)
	}
	WantContent(t, fsystem, b, "new")
}

func testOpenFileSurvives(t *testing.T, fsystem fsys.FS, dir string) {
	onDiskNotWine(t, fsystem)
	a, b := filepath.Join(dir, "a"), filepath.Join(dir, "b")
	f := Create(t, fsystem, a, "one")
	if err := fsystem.Rename(a, b); err != nil {
		t.Fatal(err)
	}
	WriteAt(t, f, 3, "two")
	WantContent(t, fsystem, b, "onetwo")
	if info, err := f.Stat(); err != nil || info.Links != 1 {
		t.Errorf("Stat of a renamed file = %+v, %v; want 1 link", info, err)
	}
	if err := fsystem.Remove(b); err != nil {
		t.Fatal(err)
	}
	WriteAt(t, f, 6, "three")
	p := make([]byte, 11)
	if _, err := f.ReadAt(p, 0); err != nil || string(p) != "onetwothree" {
		t.Errorf("a removed file that is open reads %q, %v", p, err)
	}
	if info, err := f.Stat(); err != nil || info.Links != 0 {
		t.Errorf("Stat of a removed file = %+v, %v; want 0 links", info, err)
	}
}

func testRemove(t *testing.T, fsystem fsys.FS, dir string) {
	onDiskNotWine(t, fsystem)
	a, sub := filepath.Join(dir, "a"), filepath.Join(dir, "sub")
	Create(t, fsystem, a, "x")
	Mkdir(t, fsystem, sub)
	if err := fsystem.Remove(a); err != nil {
		t.Error(err)
	}
	WantErr(t, fsystem.Remove(a), fs.ErrNotExist, a)
	if err := fsystem.Remove(sub); err == nil {
		t.Error("Remove took a directory")
	}
	WantList(t, fsystem, dir, "sub/")
}

func testRemoveDir(t *testing.T, fsystem fsys.FS, dir string) {
	sub, file := filepath.Join(dir, "sub"), filepath.Join(dir, "sub", "a")
	Mkdir(t, fsystem, sub)
	Create(t, fsystem, file, "x")
	for _, path := range []string{sub, file} {
		if err := fsystem.RemoveDir(path); err == nil {
			t.Errorf("RemoveDir took %s", path)
		}
	}
	WantList(t, fsystem, sub, "a")
	if err := fsystem.Remove(file); err != nil {
		t.Fatal(err)
	}
	if err := fsystem.RemoveDir(sub); err != nil {
		t.Error(err)
	}
	WantErr(t, fsystem.RemoveDir(sub), fs.ErrNotExist, sub)
	WantList(t, fsystem, dir)
}

// testRenameDir has what a store that is made anew needs: its directory gets its name in one
// step, with what is in it, and takes the place of nothing that holds something.
func testRenameDir(t *testing.T, fsystem fsys.FS, dir string) {
	a, b := filepath.Join(dir, "a"), filepath.Join(dir, "b")
	for _, name := range []string{a, b} {
		Mkdir(t, fsystem, name)
		closed(t, Create(t, fsystem, filepath.Join(name, "in"), name))
	}
	if err := fsystem.Rename(a, b); err == nil {
		t.Error("a directory has replaced one that was not empty")
	}
	WantContent(t, fsystem, filepath.Join(b, "in"), b)
	if err := fsystem.Rename(a, a+"2"); err != nil {
		t.Fatal(err)
	}
	WantContent(t, fsystem, filepath.Join(a+"2", "in"), a)
	WantList(t, fsystem, dir, "a2/", "b/")
}

func closed(t *testing.T, f fsys.File) {
	t.Helper()
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
}

func testMkdir(t *testing.T, fsystem fsys.FS, dir string) {
	sub := filepath.Join(dir, "sub")
	Mkdir(t, fsystem, sub)
	WantErr(t, fsystem.Mkdir(sub, 0o700), fs.ErrExist, sub)
	Create(t, fsystem, filepath.Join(dir, "a"), "")
	WantErr(t, fsystem.Mkdir(filepath.Join(dir, "a"), 0o700), fs.ErrExist, "a")
	WantErr(t, fsystem.Mkdir(filepath.Join(dir, "no", "sub"), 0o700), fs.ErrNotExist, "sub")
	Create(t, fsystem, filepath.Join(sub, "b"), "inside")
	WantList(t, fsystem, sub, "b")
	WantContent(t, fsystem, filepath.Join(sub, "b"), "inside")
}

func testList(t *testing.T, fsystem fsys.FS, dir string) {
	WantList(t, fsystem, dir)
	for _, name := range []string{"c", "a", "b"} {
		Create(t, fsystem, filepath.Join(dir, name), "")
	}
	Mkdir(t, fsystem, filepath.Join(dir, "aa"))
	WantList(t, fsystem, dir, "a", "aa/", "b", "c")
	_, err := fsystem.List(filepath.Join(dir, "no"))
	WantErr(t, err, fs.ErrNotExist, "no")
	if _, err = fsystem.List(filepath.Join(dir, "a")); err == nil {
		t.Error("List of a file succeeded")
	}
}

func testStat(t *testing.T, fsystem fsys.FS, dir string) {
	path := filepath.Join(dir, "a")
	f := Create(t, fsystem, path, "12345")
	byPath, err := fsystem.Stat(path)
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
	if info, err := fsystem.Stat(dir); err != nil || !info.Mode.IsDir() {
		t.Errorf("Stat of a directory = %+v, %v", info, err)
	}
	_, err = fsystem.Stat(filepath.Join(dir, "no"))
	WantErr(t, err, fs.ErrNotExist, "no")
}

func testSyncDir(t *testing.T, fsystem fsys.FS, dir string) {
	Create(t, fsystem, filepath.Join(dir, "a"), "")
	if err := fsystem.SyncDir(dir); err != nil {
		t.Error(err)
	}
	WantErr(t, fsystem.SyncDir(filepath.Join(dir, "no")), fs.ErrNotExist, "no")
	if err := fsystem.SyncDir(filepath.Join(dir, "a")); err == nil {
		t.Error("SyncDir of a file succeeded")
	}
}

func testLock(t *testing.T, fsystem fsys.FS, dir string) {
	path := filepath.Join(dir, "LOCK")
	for range 3 {
		lock, err := fsystem.Lock(path, 0o600)
		if err != nil {
			t.Fatal(err)
		}
		_, err = fsystem.Lock(path, 0o600)
		WantErr(t, err, fsys.ErrLocked, path)
		if err := lock.Close(); err != nil {
			t.Error(err)
		}
		WantErr(t, lock.Close(), fs.ErrClosed, "")
	}
	WantList(t, fsystem, dir, "LOCK")
	_, err := fsystem.Lock(filepath.Join(dir, "no", "LOCK"), 0o600)
	WantErr(t, err, fs.ErrNotExist, "LOCK")
}

func testLockOfFile(t *testing.T, fsystem fsys.FS, dir string) {
	path := filepath.Join(dir, "a")
	f := Create(t, fsystem, path, "data")
	for range 2 {
		if err := f.Lock(); err != nil {
			t.Fatal(err)
		}
	}
	if err := fsystem.Rename(path, path+"2"); err != nil {
		t.Fatal(err)
	}
	g := Open(t, fsystem, path+"2", fsys.ReadWrite)
	WantErr(t, g.Lock(), fsys.ErrLocked, path+"2")
	WantContent(t, fsystem, path+"2", "data") // readers are not kept out
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	WantErr(t, f.Lock(), fs.ErrClosed, path)
	if err := g.Lock(); err != nil {
		t.Error(err)
	}
}

func testLockRemoved(t *testing.T, fsystem fsys.FS, dir string) {
	onDiskNotWine(t, fsystem)
	path := filepath.Join(dir, "LOCK")
	for range 2 {
		lock, err := fsystem.Lock(path, 0o600)
		if err != nil {
			t.Fatal(err)
		}
		defer lock.Close()
		if err := fsystem.Remove(path); err != nil {
			t.Fatal(err)
		}
	}
}

func testLockDir(t *testing.T, fsystem fsys.FS, dir string) {
	sub := filepath.Join(dir, "sub")
	Mkdir(t, fsystem, sub)
	for range 2 {
		h, other := Hold(t, fsystem, sub), Hold(t, fsystem, sub)
		switch err := h.LockDir(); {
		case errors.Is(err, errors.ErrUnsupported):
			return
		case err != nil:
			t.Fatal(err)
		}
		WantErr(t, other.LockDir(), fsys.ErrLocked, sub)
		if err := other.Close(); err != nil {
			t.Error(err)
		}
		if err := h.Close(); err != nil {
			t.Error(err)
		}
		WantErr(t, h.Close(), fs.ErrClosed, "")
		WantErr(t, h.LockDir(), fs.ErrClosed, sub)
	}
}

func testRenamed(t *testing.T, fsystem fsys.FS, dir string) {
	path := filepath.Join(dir, "a")
	f := Create(t, fsystem, path, "")
	f.Renamed(path + "-new")
	_ = f.Close()
	_, err := f.ReadAt(make([]byte, 1), 0)
	WantErr(t, err, fs.ErrClosed, "a-new")
	_, err = f.WriteAt([]byte("x"), 0)
	WantErr(t, err, fs.ErrClosed, "a-new")
	_, err = f.Stat()
	WantErr(t, err, fs.ErrClosed, "a-new")
	WantErr(t, f.Datasync(), fs.ErrClosed, "a-new")
}

func testFileID(t *testing.T, fsystem fsys.FS, dir string) {
	a, b := filepath.Join(dir, "a"), filepath.Join(dir, "b")
	f, g := Create(t, fsystem, a, ""), Create(t, fsystem, b, "")
	first, err := f.Stat()
	second, serr := g.Stat()
	if err != nil || serr != nil {
		t.Fatal(err, serr)
	}
	if first.ID == (fsys.FileID{}) {
		return
	}
	if first.ID == second.ID {
		t.Errorf("two files are %v", first.ID)
	}
	if err := fsystem.Rename(a, b); err != nil {
		t.Fatal(err)
	}
	if now, err := fsystem.Stat(b); err != nil || now.ID != first.ID {
		t.Errorf("%v was renamed, and is %v, %v", first.ID, now.ID, err)
	}
}

func testSyncName(t *testing.T, fsystem fsys.FS, dir string) {
	sub := filepath.Join(dir, "sub")
	Mkdir(t, fsystem, sub)
	if err := fsystem.SyncName(sub); err != nil {
		t.Error(err)
	}
	WantErr(t, fsystem.SyncName(filepath.Join(dir, "no", "sub")), fs.ErrNotExist, "no")
}
