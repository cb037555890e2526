package faultfs

import (
	"errors"
	"io"
	"io/fs"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/stateio/stateio/internal/fsys"
	"github.com/stateio/stateio/internal/fsys/fsystest"
	"github.com/stateio/stateio/internal/fsys/memfs"
)

func TestFaultyConforms(t *testing.T) {
	fsystest.Conformance(t, func(t *testing.T) (fsys.FS, string) { return New(fsys.OS{}), t.TempDir() })
	fsystest.Conformance(t, func(t *testing.T) (fsys.FS, string) {
		m := memfs.New(memfs.Options{})
		fsystest.Mkdir(t, m, "/store")
		return New(m), "/store"
	})
}

// onBoth runs a test over the real file system and over one in memory.
func onBoth(t *testing.T, test func(t *testing.T, f *FS, dir string)) {
	t.Run("OS", func(t *testing.T) { test(t, New(fsys.OS{}), t.TempDir()) })
	t.Run("memfs.FS", func(t *testing.T) { test(t, New(newMem(t)), "/d") })
}

var errDisk = errors.New("injected")

// newMem returns a file system in memory with the durable directory /d.
func newMem(t *testing.T) *memfs.FS {
	t.Helper()
	m := memfs.New(memfs.Options{})
	fsystest.Mkdir(t, m, "/d")
	if err := m.SyncDir("/"); err != nil {
		t.Fatal(err)
	}
	return m
}

// everything does each operation once, ignoring errors as far as it can.
func everything(f *FS, dir string) {
	path := filepath.Join(dir, "a")
	if lock, err := f.Lock(filepath.Join(dir, "LOCK"), 0o600); err == nil {
		lock.Close()
	}
	_ = f.Mkdir(filepath.Join(dir, "sub"), 0o700)
	if file, err := f.Open(path, fsys.Create, 0o600); err == nil {
		_ = file.Preallocate(0, 1000)
		_, _ = file.WriteAt([]byte("0123456789"), 0)
		_, _ = file.ReadAt(make([]byte, 5), 0)
		_ = file.Sync()
		_ = file.Datasync()
		_ = file.Truncate(5)
		_, _ = file.Stat()
		_ = file.DropCache()
		_ = file.Lock()
		file.Close()
	}
	_ = f.Rename(path, path+"2")
	if file, err := f.Open(path+"2", fsys.ReadOnly, 0); err == nil {
		file.Close()
	}
	_, _ = f.Stat(path + "2")
	_, _ = f.List(dir)
	_ = f.SyncDir(dir)
	_, _ = f.Free(dir)
	_ = f.Remove(path + "2")
	_ = f.RemoveDir(filepath.Join(dir, "sub"))
	if held, err := f.Hold(dir); err == nil {
		_ = held.LockDir()
		held.Close()
	}
}

func TestOperationsAreNumberedAndSeen(t *testing.T) {
	onBoth(t, func(t *testing.T, f *FS, dir string) {
		var seen []Op
		var kinds Kind
		f.OnOp(func(op Op) { seen = append(seen, op); kinds |= op.Kind })
		everything(f, dir)
		for i, op := range seen {
			if op.N != int64(i+1) {
				t.Errorf("operation %d has number %d", i+1, op.N)
			}
		}
		if f.Ops() != int64(len(seen)) || kinds != AnyOp {
			t.Errorf("%d operations, %d seen; kinds not seen: %v", f.Ops(), len(seen), AnyOp&^kinds)
		}
	})
}

func TestEveryOperationCanFail(t *testing.T) {
	onBoth(t, func(t *testing.T, f *FS, dir string) {
		for kind := Kind(1); kind < opEnd; kind <<= 1 {
			var transcript strings.Builder
			f.Transcript(&transcript)
			sub := filepath.Join(dir, strings.ReplaceAll(kind.String(), "|", ""))
			if err := f.Mkdir(sub, 0o700); err != nil {
				t.Fatal(err)
			}
			fault := f.Inject(Fault{Kinds: kind, Err: errDisk})
			everything(f, sub)
			f.Heal()
			if n := strings.Count(transcript.String(), errDisk.Error()); n != 1 || fault.Hits() != 1 {
				t.Errorf("%v: %d operations failed, %d hits; want 1\n%s", kind, n, fault.Hits(), &transcript)
			}
		}
	})
}

func TestFaultHitsTheNthOnceOrForEver(t *testing.T) {
	onBoth(t, func(t *testing.T, f *FS, dir string) {
		file := fsystest.Create(t, f, filepath.Join(dir, "a.log"), "")
		other := fsystest.Create(t, f, filepath.Join(dir, "b.snap"), "")
		for _, tt := range []struct {
			fault Fault
			want  string
		}{
			{Fault{Kinds: OpWrite}, "x...."},
			{Fault{Kinds: OpWrite, N: 3}, "..x.."},
			{Fault{Kinds: OpWrite, N: 3, Forever: true}, "..xxx"},
			{Fault{Kinds: OpWrite, N: 2, Path: "*.log"}, ".x..."},
			{Fault{Kinds: OpWrite, N: 1, Path: "*.tmp", Forever: true}, "....."},
			{Fault{Kinds: OpRead | OpSync, Forever: true}, "....."},
			{Fault{N: 9}, "....x"},
		} {
			fault := f.Inject(tt.fault)
			got := ""
			for range 5 {
				if _, err := file.WriteAt([]byte("x"), 0); err != nil {
					got += "x"
				} else {
					got += "."
				}
				if _, err := other.Stat(); err != nil {
					t.Errorf("%+v hit a stat: %v", tt.fault, err)
				}
			}
			f.Heal()
			if got != tt.want || fault.Hits() != int64(strings.Count(tt.want, "x")) {
				t.Errorf("%+v: writes %s, %d hits; want %s", tt.fault, got, fault.Hits(), tt.want)
			}
		}
	})
}

func TestShortWriteAndRead(t *testing.T) {
	onBoth(t, func(t *testing.T, f *FS, dir string) {
		path := filepath.Join(dir, "a")
		file := fsystest.Create(t, f, path, "..........")
		f.Inject(Fault{Kinds: OpWrite, Short: 4, Err: syscall.ENOSPC})
		n, err := file.WriteAt([]byte("0123456789"), 0)
		if n != 4 || !errors.Is(err, fsys.ErrNoSpace) || !errors.Is(err, syscall.ENOSPC) {
			t.Errorf("WriteAt = %d, %v; want 4, ErrNoSpace", n, err)
		}
		fsystest.WantContent(t, f, path, "0123......")
		f.Inject(Fault{Kinds: OpRead, Short: 3, Err: syscall.EIO})
		p := make([]byte, 10)
		if n, err := file.ReadAt(p, 0); n != 3 || !errors.Is(err, syscall.EIO) || string(p[:3]) != "012" {
			t.Errorf("ReadAt = %d, %v, %q", n, err, p[:n])
		}
	})
}

func TestFaultBeforeAndAfterTheEffect(t *testing.T) {
	onBoth(t, func(t *testing.T, f *FS, dir string) {
		path := filepath.Join(dir, "a")
		fsystest.Create(t, f, path, "")
		for _, after := range []bool{false, true} {
			f.Inject(Fault{Kinds: OpRename, After: after, Err: errDisk})
			fsystest.WantErr(t, f.Rename(path, path+"2"), errDisk, path)
			_, err := f.Stat(path + "2")
			if done := err == nil; done != after {
				t.Errorf("After: %v, but the rename happened: %v", after, done)
			}
		}
	})
}

func TestFailedOpenAndLockLeaveNothingOpen(t *testing.T) {
	onBoth(t, func(t *testing.T, f *FS, dir string) {
		path := filepath.Join(dir, "LOCK")
		f.Inject(Fault{Kinds: OpLock, After: true, Err: errDisk})
		_, err := f.Lock(path, 0o600)
		fsystest.WantErr(t, err, errDisk, path)
		lock, err := f.Lock(path, 0o600)
		if err != nil {
			t.Fatalf("the lock that failed is held: %v", err)
		}
		f.Inject(Fault{Kinds: OpUnlock, Err: errDisk})
		fsystest.WantErr(t, lock.Close(), errDisk, path)
		if lock, err = f.Lock(path, 0o600); err != nil {
			t.Fatalf("the lock whose Close failed is held: %v", err)
		}
		lock.Close()
	})
}

func TestStopAtEveryOperation(t *testing.T) {
	for _, fault := range []Fault{{Stop: true}, {Stop: true, After: true}, {Stop: true, Short: 5}} {
		for n := int64(1); ; n++ {
			m := newMem(t)
			f := New(m)
			var transcript strings.Builder
			f.Transcript(&transcript)
			fault.N = n
			stop := f.Inject(fault)
			everything(f, "/d")
			if stop.Hits() == 0 {
				break
			}
			if f.Ops() != n || strings.Count(transcript.String(), "\n") != int(n) {
				t.Errorf("stopped at %d after %d operations\n%s", n, f.Ops(), &transcript)
			}
			_, err := m.List("/d")
			fsystest.WantErr(t, err, fsys.ErrCrashed, "/d")
			_, err = f.List("/d")
			fsystest.WantErr(t, err, fsys.ErrCrashed, "/d")
			fsystest.Listing(t, m.Crash(rand.New(rand.NewPCG(1, 1))), "/d")
		}
	}
}

func TestStopFreesTheLocksOfARealFileSystem(t *testing.T) {
	path := filepath.Join(t.TempDir(), "LOCK")
	f := New(fsys.OS{})
	lock, err := f.Lock(path, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	f.Stop()
	fsystest.WantErr(t, lock.Close(), fsys.ErrCrashed, path)
	again, err := fsys.OS{}.Lock(path, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	again.Close()
}

func TestHookDrawsCrashStates(t *testing.T) {
	m := newMem(t)
	f := New(m)
	rng := rand.New(rand.NewPCG(1, 1))
	states := 0
	f.OnOp(func(Op) { fsystest.Listing(t, m.Crash(rng), "/d"); states++ })
	everything(f, "/d")
	if states != int(f.Ops()) || states == 0 {
		t.Errorf("%d states at %d operations", states, f.Ops())
	}
}

func TestTranscript(t *testing.T) {
	f := New(newMem(t))
	var b strings.Builder
	f.Transcript(&b)
	f.Inject(Fault{Kinds: OpDatasync, Err: syscall.EIO})
	everything(f, "/d")
	want := `1 lock /d/LOCK -> ok
2 unlock /d/LOCK -> ok
3 mkdir /d/sub -> ok
4 create /d/a -> ok
5 preallocate /d/a 0+1000 -> ok
6 write /d/a 0+10 -> ok
7 read /d/a 0+5 -> ok
8 sync /d/a -> ok
9 datasync /d/a -> datasync /d/a: input/output error
10 truncate /d/a 5 -> ok
11 stat /d/a -> ok
12 dropcache /d/a -> ok
13 flock /d/a -> ok
14 close /d/a -> ok
15 rename /d/a -> /d/a2 -> ok
16 open /d/a2 -> ok
17 close /d/a2 -> ok
18 stat /d/a2 -> ok
19 list /d -> ok
20 syncdir /d -> ok
21 free /d -> ok
22 remove /d/a2 -> ok
23 remove /d/sub -> ok
24 hold /d -> ok
25 lockdir /d -> ok
26 unlock /d -> ok
`
	if got := b.String(); got != want && syscall.EIO.Error() == "input/output error" {
		t.Errorf("transcript\n%swant\n%s", got, want)
	}
	f.Transcript(nil)
	everything(f, "/d")
	if strings.Count(b.String(), "\n") != strings.Count(want, "\n") {
		t.Error("the transcript goes on after it was turned off")
	}
}

func TestFaultyConcurrently(t *testing.T) {
	f := New(newMem(t))
	f.Transcript(io.Discard)
	fault := f.Inject(Fault{Kinds: OpWrite, N: 100, Err: errDisk})
	var mu sync.Mutex
	var numbers []int64
	f.OnOp(func(op Op) { mu.Lock(); numbers = append(numbers, op.N); mu.Unlock() })
	var wg sync.WaitGroup
	for _, name := range []string{"a", "b", "c", "d"} {
		wg.Go(func() {
			file := fsystest.Create(t, f, "/d/"+name, "")
			for range 100 {
				_, _ = file.WriteAt([]byte("x"), 0)
				_ = file.Sync()
			}
		})
	}
	wg.Wait()
	slices.Sort(numbers)
	if len(slices.Compact(numbers)) != 4*201 || fault.Hits() != 1 {
		t.Errorf("%d distinct numbers, want %d; %d hits, want 1", len(slices.Compact(numbers)), 4*201, fault.Hits())
	}
}

func TestFaultDefaults(t *testing.T) {
	f := New(newMem(t))
	f.Inject(Fault{})
	fsystest.WantErr(t, f.Remove("/d/a"), io.ErrUnexpectedEOF, "/d/a")
	fsystest.WantErr(t, f.Remove("/d/a"), fs.ErrNotExist, "/d/a")
	f.Inject(Fault{Stop: true})
	fsystest.WantErr(t, f.Remove("/d/a"), fsys.ErrCrashed, "/d/a")
}
