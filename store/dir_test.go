package store_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/cespare/xxhash/v2"

	"github.com/stateio/stateio/internal/fsys"
	"github.com/stateio/stateio/internal/fsys/faultfs"
	"github.com/stateio/stateio/internal/fsys/memfs"
	"github.com/stateio/stateio/internal/storefs"
	"github.com/stateio/stateio/internal/wine"
	"github.com/stateio/stateio/store"
)

func TestOneStoreAtATime(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir, &journal{}, nil)
	_, err := store.Open(dir, &journal{}, nil)
	wantIs(t, err, store.ErrLocked)
	if !strings.Contains(err.Error(), dir) {
		t.Errorf("%q does not name the directory", err)
	}
	file := stateFile(t, nil, "one")
	wantIs(t, store.Import(dir, bytes.NewReader(file), int64(len(file))), store.ErrLocked)
	wantIs(t, store.Create(dir, journalState{"one"}, quiet(nil)), store.ErrLocked)
	s.Close()
	open(t, dir, &journal{}, nil).Close()
}

func TestOptionsAreChecked(t *testing.T) {
	for name, o := range map[string]store.Options{
		"KeepSnapshots": {KeepSnapshots: -1}, "MaxUpdate": {MaxUpdate: 1<<30 + 1}, "MaxPending": {MaxPending: -1},
		"SyncInterval": {SyncInterval: -1}, "PreallocateBytes": {PreallocateBytes: -1},
		"FileMode": {FileMode: 0o400}, "DirMode": {DirMode: fs.ModeDir | 0o700},
	} {
		_, err := store.Open("/none", &journal{}, &o)
		if err == nil || !strings.HasPrefix(err.Error(), "store: Options."+name) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := store.Open("/none", nil, nil); err == nil || !strings.HasPrefix(err.Error(), "store: ") {
		t.Errorf("a nil machine: %v", err)
	}
}

func TestFilesArePrivate(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("Windows has no such permissions")
	}
	dir := filepath.Join(t.TempDir(), "a", "b")
	s := open(t, dir, &journal{}, nil)
	update(t, s, "one")
	if err := s.Snapshot(t.Context()); err != nil {
		t.Fatal(err)
	}
	s.Close()
	for _, d := range []string{dir, filepath.Dir(dir)} {
		if info, err := os.Stat(d); err != nil || info.Mode().Perm() != 0o700 {
			t.Errorf("%s has mode %v, want 0700", d, info.Mode())
		}
	}
	names, err := os.ReadDir(dir)
	if err != nil || len(names) < 3 {
		t.Fatal(names, err)
	}
	for _, e := range names {
		if info, err := e.Info(); err != nil || info.Mode() != 0o600 {
			t.Errorf("%s has mode %v, want 0600", e.Name(), info.Mode())
		}
	}
}

// newerVersion gives every file of a store the format version 2.
func newerVersion(fl files) {
	for _, b := range fl {
		const record = headerLen
		binary.LittleEndian.PutUint16(b[15+9+8:], 2)
		binary.LittleEndian.PutUint32(b, uint32(xxhash.Sum64(b[4:record])))
	}
}

func TestANewerVersionIsRefusedWithoutSideEffects(t *testing.T) {
	const dir = "/newer"
	fl, _ := build(t, dir, 2, 20, 0, 30)
	newerVersion(fl)
	mem := fl.mem(t, dir)
	mount(t, dir, mem)
	_, err := store.Open(dir, &journal{}, quiet(nil))
	wantIs(t, err, store.ErrVersion)
	if errors.Is(err, store.ErrCorrupt) || !strings.Contains(err.Error(), "version 2") || !strings.Contains(filepath.ToSlash(err.Error()), dir) {
		t.Errorf("the error is %q", err)
	}
	after := readFiles(t, mem, dir)
	if !maps.EqualFunc(fl, after, bytes.Equal) {
		t.Errorf("the directory holds %q, want %q, unchanged", after.names(), fl.names())
	}
	if _, err := mem.Stat(dir + "/LOCK"); err == nil {
		t.Error("a lock file was made")
	}
}

func TestADirectoryWithForeignFilesIsRefused(t *testing.T) {
	dir := t.TempDir()
	notes := filepath.Join(dir, "notes.txt")
	if err := os.WriteFile(notes, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	_, err := store.Open(dir, &journal{}, nil)
	if err == nil || !strings.Contains(err.Error(), "notes.txt") {
		t.Errorf("Open: %v", err)
	}
	_, err = store.Open(notes, &journal{}, nil)
	if err == nil || !strings.Contains(err.Error(), "not a directory") {
		t.Errorf("Open of a file: %v", err)
	}
	if names, _ := os.ReadDir(dir); len(names) != 1 {
		t.Errorf("the directory holds %v", names)
	}
}

// What a new file system holds is no reason not to make a store at its top, nor is a measurement
// of it that goes on or was killed.
func TestAStoreBesideLostAndFound(t *testing.T) {
	for _, name := range []string{"lost+found", ".stateio-bench-123"} {
		dir := t.TempDir()
		if err := os.Mkdir(filepath.Join(dir, name), 0o700); err != nil {
			t.Fatal(err)
		}
		open(t, dir, &journal{}, nil).Close()
	}
	dir := t.TempDir()
	createFile(t, filepath.Join(dir, ".stateio-bench-123"))
	if _, err := store.Open(dir, &journal{}, nil); err == nil {
		t.Error("a file of that name is taken for the directory of a bench")
	}
}

func TestForeignFilesInAStoreAreLeftAlone(t *testing.T) {
	const dir = "/foreign"
	fl, want := build(t, dir, 2, 20, 30)
	extra := []string{"00000000000000000001.log.bak", "1.log", "notes.txt", "x.tmp"}
	for _, name := range extra {
		fl[name] = []byte("mine")
	}
	fl["00000000000000000009.snap.tmp"] = []byte("unfinished")
	mem := fl.mem(t, dir)
	mount(t, dir, mem)
	m := &journal{}
	open(t, dir, m, nil).Close()
	if len(m.updates) != int(want.Count) {
		t.Errorf("%d updates, want %d", len(m.updates), want.Count)
	}
	after := readFiles(t, mem, dir).names()
	for _, name := range extra {
		if !slices.Contains(after, name) {
			t.Errorf("%s is gone", name)
		}
	}
	if slices.Contains(after, "00000000000000000009.snap.tmp") {
		t.Error("an unfinished snapshot was left")
	}
}

func TestWhatHasTheNameOfAFileAndIsNoneIsRefused(t *testing.T) {
	for name, make := range map[string]func(path string) error{
		"symlink":   func(path string) error { return os.Symlink("/etc/passwd", path) },
		"directory": func(path string) error { return os.Mkdir(path, 0o700) },
		"fifo":      mkfifo,
	} {
		for _, file := range []string{"LOCK", "00000000000000000000.log", "00000000000000000005.snap"} {
			if name == "symlink" && wine.Runs() {
				continue // its symbolic links are none
			}
			dir := t.TempDir()
			open(t, dir, &journal{}, nil).Close()
			path := filepath.Join(dir, file)
			_ = os.Remove(path)
			if err := make(path); errors.Is(err, errors.ErrUnsupported) || errors.Is(err, syscall.EPERM) {
				t.Logf("%s: %v", name, err)
				continue
			} else if err != nil {
				t.Fatal(err)
			}
			_, err := store.Open(dir, &journal{}, quiet(nil))
			if err == nil || !strings.Contains(err.Error(), file) || !errors.Is(err, fsys.ErrNotRegular) || !strings.HasPrefix(err.Error(), "store: ") {
				t.Errorf("%s as %s: %v", name, file, err)
			}
		}
	}
}

func TestADirectoryThatCannotBeWrittenIsRefused(t *testing.T) {
	const dir = "/readonly"
	_, faulty := memory(t, dir)
	open(t, dir, &journal{}, nil).Close()
	faulty.Inject(faultfs.Fault{Kinds: faultfs.OpLock, Err: syscall.EROFS, Forever: true})
	_, err := store.Open(dir, &journal{}, quiet(nil))
	wantIs(t, err, syscall.EROFS)
	if !strings.Contains(err.Error(), dir) {
		t.Errorf("%q does not name the directory", err)
	}
}

// Directories above the store are made, and made durable, from the top down.
func TestTheDirectoryIsMadeDurable(t *testing.T) {
	const dir = "/one/two/three"
	_, f := memory(t, dir)
	var did []string
	f.OnOp(func(op faultfs.Op) {
		if op.Kind == faultfs.OpMkdir || op.Kind == faultfs.OpSyncDir {
			did = append(did, op.String())
		}
	})
	open(t, dir, &journal{}, nil).Close()
	want := []string{"mkdir /one", "syncdir /", "mkdir /one/two", "syncdir /one", "mkdir " + dir, "syncdir /one/two"}
	if len(did) < len(want) || !slices.Equal(did[:len(want)], want) {
		t.Errorf("got %q, want %q first", did, want)
	}
	for _, kind := range []faultfs.Kind{faultfs.OpMkdir, faultfs.OpSyncDir, faultfs.OpStat, faultfs.OpList} {
		f := faultfs.New(memfs.New(memfs.Options{}))
		f.Inject(faultfs.Fault{Kinds: kind, Err: syscall.EIO})
		unmount := storefs.Mount(dir, f)
		_, err := store.Open(dir, &journal{}, quiet(nil))
		unmount()
		wantIs(t, err, syscall.EIO)
	}
}

// A directory that somebody else makes at the same moment will do.
func TestTheDirectoryIsMadeTwice(t *testing.T) {
	const dir = "/one/two"
	mem, f := memory(t, dir)
	f.OnOp(func(op faultfs.Op) {
		if op.Kind == faultfs.OpMkdir {
			check(t, mem.Mkdir(op.Path, 0o700))
		}
	})
	open(t, dir, &journal{}, nil).Close()
}

// Where not even the root is there, as of a drive without a disk, that is said.
func TestTheRootIsMissing(t *testing.T) {
	const dir = "/one/two"
	_, f := memory(t, dir)
	f.Inject(faultfs.Fault{Kinds: faultfs.OpStat | faultfs.OpMkdir, Err: syscall.ENOENT, Forever: true})
	_, err := store.Open(dir, &journal{}, quiet(nil))
	wantIs(t, err, fs.ErrNotExist)
}

// What is almost a name of a store's file is not one, and is left alone.
func TestNamesThatAreAlmostThoseOfAStore(t *testing.T) {
	const dir = "/almost"
	fl, want := build(t, "/made", 2, 20, 30)
	for _, name := range []string{
		"+0000000000000000009.log", "0000000000000000009.log", "000000000000000000009.log", "00000000000000000009.lo",
		"99999999999999999999.log", "0000000000000000000x.snap", "00000000000000000009", "00000000000000000009.tmp", "lost+found",
	} {
		fl[name] = []byte("mine")
	}
	mem := fl.mem(t, dir)
	mount(t, dir, mem)
	m := &journal{}
	open(t, dir, m, nil).Close()
	after := readFiles(t, mem, dir)
	for name, b := range fl {
		if string(b) == "mine" && string(after[name]) != "mine" {
			t.Errorf("%s is gone", name)
		}
	}
	if len(m.updates) != int(want.Count) {
		t.Errorf("%d updates, want %d", len(m.updates), want.Count)
	}
}
