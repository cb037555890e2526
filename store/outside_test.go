package store_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stateio/stateio"
	"github.com/stateio/stateio/internal/fsys/faultfs"
	"github.com/stateio/stateio/internal/storefs"
	"github.com/stateio/stateio/internal/wine"
	"github.com/stateio/stateio/store"
)

// check ends the test if there is an error.
func check(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// A commit whose sync finds no space is like one that fails in any other way: what
// the disk holds is not known.
func TestASyncThatFailsForSpaceIsNotErrNoSpace(t *testing.T) {
	const dir = "/r3"
	_, f := memory(t, dir)
	m := &journal{}
	s := open(t, dir, m, nil)
	update(t, s, "a")
	f.Inject(faultfs.Fault{Kinds: faultfs.OpDatasync, Path: "*.log", Err: syscall.ENOSPC})
	_, err := s.Update(context.Background(), []byte("b"))
	wantIs(t, err, store.ErrFailed)
	wantIs(t, err, store.ErrUnknown)
	if errors.Is(err, store.ErrNoSpace) && len(m.updates) == 2 {
		t.Errorf("ErrNoSpace says that the update was not applied, and it was: %v", err)
	}
}

type hooked struct {
	journal
	n    int
	hook func(n int)
}

func (h *hooked) Apply(u []byte) (any, error) {
	h.n++
	h.hook(h.n)
	return h.journal.Apply(u)
}

func TestRestoreAtBesideALiveStore(t *testing.T) {
	const dir = "/r4"
	memory(t, dir)
	s := open(t, dir, &journal{}, nil)
	update(t, s, "a")
	m := &hooked{hook: func(int) { update(t, s, "b"); update(t, s, "c") }}
	err := store.RestoreAt(t.Context(), dir, m, 1000, nil)
	if !errors.Is(err, store.ErrNotRetained) {
		t.Errorf("got %v, want ErrNotRetained", err)
	}
}

func TestRestoreAtBesideARotation(t *testing.T) {
	const dir = "/r4b"
	memory(t, dir)
	s := open(t, dir, &journal{}, &store.Options{SnapshotBytes: -1})
	update(t, s, "a")
	for range 8 { // so that the end is not yet read when the rotation comes
		update(t, s, strings.Repeat("x", 1<<20))
	}
	m := &hooked{hook: func(n int) {
		if n == 1 {
			check(t, s.Snapshot(context.Background()))
			update(t, s, "b")
		}
	}}
	err := store.RestoreAt(t.Context(), dir, m, 1000, nil)
	if !errors.Is(err, store.ErrNotRetained) {
		t.Errorf("got %v, want ErrNotRetained", err)
	}
}

func TestRestoreAtWhatIsDroppedMeanwhile(t *testing.T) {
	const dir = "/r5"
	memory(t, dir)
	s := open(t, dir, &journal{}, &store.Options{SnapshotBytes: -1, KeepSnapshots: 2})
	for range 2 {
		update(t, s, "a")
		update(t, s, "a")
		check(t, s.Snapshot(t.Context()))
	}
	update(t, s, "a")
	m := &hooked{hook: func(n int) {
		if n == 1 {
			for range 3 {
				update(t, s, "a")
				check(t, s.Snapshot(context.Background()))
			}
		}
	}}
	if err := store.RestoreAt(t.Context(), dir, m, 3, nil); err != nil {
		t.Errorf("what was open already is read to its end: %v", err)
	}
	if err := store.RestoreAt(t.Context(), dir, &hooked{hook: func(int) {}}, 3, nil); !errors.Is(err, store.ErrNotRetained) {
		t.Errorf("what was dropped: got %v, want ErrNotRetained", err)
	}
	const dir2 = "/r52"
	memory(t, dir2)
	s = open(t, dir2, &journal{}, &store.Options{SnapshotBytes: -1, KeepSnapshots: 2})
	update(t, s, "a")
	check(t, s.Snapshot(t.Context()))
	f := m
	f.n, f.hook = 0, func(n int) {}
	// the snapshot is dropped between the listing and the opening
	fa := faultfs.New(storefs.For(dir2))
	unmount := storefs.Mount(dir2, fa)
	defer unmount()
	done := false
	fa.OnOp(func(op faultfs.Op) {
		if op.Kind == faultfs.OpOpen && strings.HasSuffix(op.Path, ".snap") && !done {
			done = true
			for range 3 {
				update(t, s, "a")
				check(t, s.Snapshot(context.Background()))
			}
		}
	})
	err := store.RestoreAt(t.Context(), dir2, &journal{}, 1, nil)
	if !errors.Is(err, store.ErrNotRetained) {
		t.Errorf("got %v, want ErrNotRetained", err)
	}
}

func TestUpdatesReturnsAllDurableOnesBeforeErrClosed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const dir = "/r6"
		_, f := memory(t, dir)
		s := open(t, dir, &journal{}, &store.Options{SyncInterval: time.Hour})
		update(t, s, "first")
		var got []string
		var last error
		done := make(chan struct{})
		go func() {
			defer close(done)
			for u, err := range s.Updates(context.Background(), 1) {
				if last = err; err == nil {
					got = append(got, string(u.Data))
				}
			}
		}()
		synctest.Wait()
		var ts []*store.Ticket
		for range 3 {
			tk, err := s.Submit([]byte("x"))
			if err != nil {
				t.Fatal(err)
			}
			ts = append(ts, tk)
		}
		synctest.Wait()
		f.OnOp(func(op faultfs.Op) {
			if op.Kind == faultfs.OpWrite {
				synctest.Wait() // the follower looks while Close commits
			}
		})
		err := s.Close()
		f.OnOp(nil)
		if err != nil {
			t.Fatal(err)
		}
		<-done
		for _, tk := range ts {
			if err := tk.Wait(t.Context()); err != nil {
				t.Error(err)
			}
		}
		if len(got) != 4 || !errors.Is(last, store.ErrClosed) {
			t.Errorf("got %q and %v; 4 updates are durable and acknowledged", got, last)
		}
	})
}

func TestAForeignNewestSnapshotIsRefused(t *testing.T) {
	const dir = "/r7"
	a, m := build(t, dir, 5, 10, 0, 10, 0, 10)
	b, _ := build(t, dir, 5, 11, 0, 11, 0, 11) // another state
	name := "00000000000000000002.snap"
	if a[name] == nil || b[name] == nil {
		t.Fatal(a.names())
	}
	a[name] = b[name]
	mem := a.mem(t, dir)
	defer storefs.Mount(dir, mem)()
	jm := m
	jm.Count, jm.Digest = 0, 0
	s, err := store.Open(dir, &jm, quiet(nil))
	if err != nil {
		t.Fatalf("the snapshot before and the logs are whole: %v", err)
	}
	s.Close()
	if jm != m {
		t.Error("wrong state")
	}
	var damage *store.CorruptError
	refused := s.Recovery().Refused
	if len(refused) != 1 || !errors.As(refused[0].Err, &damage) || damage.Path != filepath.Join(dir, name) || damage.Offset != 0 || !strings.Contains(damage.Error(), "another store") {
		t.Errorf("refused %v", refused)
	}
}

func TestALogDeletedWhileOpen(t *testing.T) {
	if wine.Runs() {
		t.Skip("Wine keeps the names of open files")
	}
	dir := t.TempDir()
	m := &journal{}
	s := open(t, dir, m, nil)
	update(t, s, "a")
	check(t, os.Remove(filepath.Join(dir, "00000000000000000000.log")))
	_, err := s.Update(context.Background(), []byte("b"))
	if err == nil {
		t.Error("acknowledged an update into a file without a name")
	}
}

func TestALogTruncatedWhileOpen(t *testing.T) {
	dir := t.TempDir()
	m := &journal{}
	s := open(t, dir, m, nil)
	update(t, s, "a")
	check(t, os.Truncate(filepath.Join(dir, "00000000000000000000.log"), 0))
	_, err := s.Update(context.Background(), []byte("b"))
	if err == nil {
		t.Error("acknowledged an update after a hole")
	}
}

func TestDirectoryReplacedWhileOpen(t *testing.T) {
	top := t.TempDir()
	dir := filepath.Join(top, "s")
	s := open(t, dir, &journal{}, nil)
	update(t, s, "a")
	check(t, os.Rename(dir, dir+".old"))
	check(t, os.Mkdir(dir, 0o700))
	err := s.Snapshot(t.Context())
	_, uerr := s.Update(context.Background(), []byte("b"))
	s.Close()
	if err == nil || uerr != nil {
		t.Errorf("Snapshot gives %v, Update %v", err, uerr)
	}
	if uerr == nil {
		replaced, e1 := store.Open(dir, &journal{}, quiet(nil))
		m := &journal{}
		moved, e2 := store.Open(dir+".old", m, quiet(nil))
		for _, s := range []*store.Store{replaced, moved} {
			if s != nil {
				s.Close()
			}
		}
		if len(m.updates) != 2 {
			t.Errorf("acknowledged, and in neither directory does a store open: %v; %v", e1, e2)
		}
	}
}

// A store that is made in "." is made in a directory that has a name, which is to be durable: what is
// said of it has that, too.
func TestAStoreIsMadeInADirectoryWithAName(t *testing.T) {
	dir := t.TempDir()
	t.Chdir(dir)
	check(t, os.WriteFile("foreign", nil, 0o600))
	if err := store.Create(".", strings.NewReader("state"), quiet(nil)); err == nil || !strings.Contains(err.Error(), filepath.Base(dir)) {
		t.Errorf("Create: %v", err)
	}
}

func TestRelativeDirAndChdir(t *testing.T) {
	top := t.TempDir()
	t.Chdir(top)
	check(t, os.Mkdir("sub", 0o700))
	check(t, os.Mkdir("sub/data", 0o700))
	s := open(t, "data", &journal{}, nil)
	update(t, s, "a")
	t.Chdir("sub")
	err := s.Snapshot(t.Context())
	update(t, s, "b")
	cerr := s.Close()
	t.Chdir(top)
	if err != nil || cerr != nil {
		t.Errorf("Snapshot gives %v, Close %v", err, cerr)
	}
	m := &journal{}
	s2, err := store.Open("data", m, quiet(nil))
	if err != nil || len(m.updates) != 2 {
		t.Errorf("recovered %q, %v", m.updates, err)
	}
	if s2 != nil {
		s2.Close()
	}
}

func TestOpenReadsTheNewestLogOnce(t *testing.T) {
	const dir = "/r11"
	mem, f := memory(t, dir)
	s := open(t, dir, &journal{}, &store.Options{SnapshotBytes: -1, PreallocateBytes: 16 << 10})
	update(t, s, "a")
	check(t, s.Snapshot(t.Context()))
	for range 8 {
		update(t, s, strings.Repeat("x", 1<<20))
	}
	f.Stop()
	f2 := faultfs.New(mem.Kill())
	mount(t, dir, f2)
	var n atomic.Int64 // reading runs ahead
	f2.OnOp(func(op faultfs.Op) {
		if op.Kind == faultfs.OpRead {
			n.Add(op.Len)
		}
	})
	s = open(t, dir, &journal{}, nil)
	// Some headers are read twice, and what is set aside for the next updates is looked at.
	if whole := s.Recovery().Bytes; n.Load() > whole+whole/4 {
		t.Errorf("read %d bytes to recover %d", n.Load(), whole)
	}
}

func TestFilesAreClosedWhenTheSealFails(t *testing.T) {
	const dir = "/r12"
	_, f := memory(t, dir)
	opened := map[string]int{}
	f.OnOp(func(op faultfs.Op) {
		switch op.Kind {
		case faultfs.OpOpen, faultfs.OpCreate:
			opened["n"]++
		case faultfs.OpClose:
			opened["n"]--
		}
	})
	s := open(t, dir, &journal{}, nil)
	update(t, s, "a")
	before := opened["n"]
	in := f.Inject(faultfs.Fault{Kinds: faultfs.OpDatasync, Path: "00000000000000000000.log", Err: syscall.EIO})
	err := s.Snapshot(t.Context())
	if in.Hits() != 1 {
		t.Fatal("no hit", err)
	}
	s.Close()
	if opened["n"] != 0 {
		t.Errorf("%d files are open after Close (before the snapshot: %d)", opened["n"], before)
	}
}

// plainMachine keeps what it is given.
type plainMachine struct{ b []byte }

func (p *plainMachine) Apply(u []byte) (any, error)    { p.b = append(p.b, u...); return nil, nil }
func (p *plainMachine) Snapshot() (io.WriterTo, error) { return bytes.NewReader(bytes.Clone(p.b)), nil }

func (p *plainMachine) Restore(r io.Reader) error {
	var err error
	p.b, err = io.ReadAll(r)
	return err
}

// goexits ends the goroutine that captures its state.
type goexits struct{ journal }

func (*goexits) Snapshot() (io.WriterTo, error) { runtime.Goexit(); return nil, nil }

func TestGoexitInSnapshot(t *testing.T) {
	const dir = "/r17"
	memory(t, dir)
	s := open(t, dir, &goexits{}, nil)
	update(t, s, "a")
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	err := s.Snapshot(ctx)
	_, uerr := s.Update(ctx, []byte("b"))
	if err == nil || uerr != nil {
		t.Errorf("Snapshot gives %v, Update %v", err, uerr)
	}
	ctx, cancel = context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	if _, err := s.Update(ctx, []byte("b")); err != nil {
		t.Errorf("updates hang: %v", err)
	}
}

func TestBackupOfAnEmptyState(t *testing.T) {
	const dir = "/r19"
	memory(t, dir)
	s := open(t, dir, &plainMachine{}, nil)
	var b bytes.Buffer
	if _, err := s.Backup(t.Context(), &b); err != nil {
		t.Fatal(err)
	}
	state, _, _, err := stateio.Restore(bytes.NewReader(b.Bytes()), int64(b.Len()))
	if err != nil || state == nil {
		t.Errorf("state %v, %v", state, err)
	}
	memory(t, "/r19b")
	if err := store.Import("/r19b", bytes.NewReader(b.Bytes()), int64(b.Len())); err != nil {
		t.Fatal(err)
	}
	_ = open(t, "/r19b", &plainMachine{}, nil)
}

func TestFollowerOfAnEmptiedDirectory(t *testing.T) {
	const dir = "/r21"
	mem, _ := memory(t, dir)
	s := open(t, dir, &journal{}, nil)
	update(t, s, "a")
	for _, err := range store.ReadUpdates(t.Context(), dir, 1) {
		if err != nil {
			t.Log(err)
			break
		}
		if err := mem.Remove(dir + "/00000000000000000000.log"); err != nil && !errors.Is(err, fs.ErrNotExist) {
			t.Fatal(err)
		}
	}
}
