package store_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stateio/stateio/internal/fsys/faultfs"
	"github.com/stateio/stateio/internal/fsys/memfs"
	"github.com/stateio/stateio/internal/storefile"
	"github.com/stateio/stateio/internal/storefs"
	"github.com/stateio/stateio/store"
)

// held returns the updates in the store in dir after index, as ReadUpdates returns them, and
// the state of the newest.
func held(t *testing.T, dir string, index uint64) (all []string) {
	t.Helper()
	for u, err := range store.ReadUpdates(t.Context(), dir, index+1) {
		check(t, err)
		all = append(all, fmt.Sprint(u.Index, u.Time.UnixNano(), u.State, string(u.Data)))
	}
	m := &journal{}
	last, err := store.Load(t.Context(), dir, m)
	check(t, err)
	return append(all, fmt.Sprintf("%d: %q", last, m.updates))
}

// likeABackupEnd is an update that would be taken for the end of a backup, if a state file
// held it: a program may let its users choose what is in an update.
const likeABackupEnd = "stateio\n\x01\x00E, as a backup ends"

// A copy has the state, the updates after the newest snapshot, indexes, times and the
// identity, whether or not the store is open, and goes on by itself.
func TestCopy(t *testing.T) {
	const src, dst, again = "/copysrc", "/copydst", "/copyagain"
	for name, prepare := range map[string]func(s *store.Store, m *journal){
		"empty":   func(*store.Store, *journal) {},
		"updates": func(s *store.Store, _ *journal) { update(t, s, "a"); update(t, s, "b") },
		"snapshot": func(s *store.Store, _ *journal) {
			update(t, s, "a")
			check(t, s.Snapshot(t.Context()))
		},
		"snapshot and updates": func(s *store.Store, _ *journal) {
			for i := range 3 {
				update(t, s, fmt.Sprint(i))
				check(t, s.Snapshot(t.Context()))
			}
			update(t, s, strings.Repeat("long", 10_000))
			_, err := s.Change(t.Context(), func(tx *store.Tx) error { return errors.Join(tx.Append([]byte("c")), tx.Append([]byte("d"))) })
			check(t, err)
		},
		"a state before the first update": func(s *store.Store, m *journal) {
			m.updates = []string{"old"}
			check(t, s.Snapshot(t.Context()))
			update(t, s, "new")
		},
		"an update like the end of a backup": func(s *store.Store, _ *journal) {
			update(t, s, likeABackupEnd)
			update(t, s, "b")
		},
		"a state that was replaced": func(s *store.Store, _ *journal) {
			update(t, s, "a")
			_, err := s.Replace(t.Context(), journalState{"whole"})
			check(t, err)
			update(t, s, "b")
		},
	} {
		t.Run(name, func(t *testing.T) {
			mem, _ := memory(t, src)
			memory(t, dst)
			memory(t, again)
			m := &journal{}
			s := open(t, src, m, &store.Options{SnapshotBytes: -1})
			prepare(s, m)
			before := readFiles(t, mem, src)
			var progress told
			index, err := store.Copy(t.Context(), src, dst, &store.CopyOptions{Progress: progress.add})
			check(t, err)
			progress.verify(t, 1<<20)
			if after := readFiles(t, mem, src); !maps.EqualFunc(before, after, bytes.Equal) {
				t.Error("the store that was copied has changed")
			}
			snapshot := uint64(0)
			files, err := store.Files(dst)
			check(t, err)
			for _, f := range files {
				if f.Snapshot {
					snapshot = f.Last
				}
			}
			if got, want := held(t, dst, snapshot), held(t, src, snapshot); !slices.Equal(got, want) || index != s.Index() {
				t.Errorf("index %d, and the copy holds %.300q, the store %.300q", index, got, want)
			}
			check(t, s.Close())
			if index, err = store.Copy(t.Context(), src, again, nil); err != nil || index != s.Index() {
				t.Errorf("of the closed store: %d, %v", index, err)
			}
			copied, want := &journal{}, &journal{}
			_, err = store.Load(t.Context(), src, want)
			check(t, err)
			c := open(t, dst, copied, &store.Options{MustExist: true})
			if !slices.Equal(copied.updates, want.updates) {
				t.Errorf("the copy opens with %.200q, the store has %.200q", copied.updates, want.updates)
			}
			update(t, c, "of the copy")
			check(t, c.Snapshot(t.Context()))
			check(t, c.Close())
			if idOf(t, src) != idOf(t, dst) {
				t.Error("the copy has an identity of its own")
			}
		})
	}
}

// idOf returns the identity of the store in dir, as its newest log tells it.
func idOf(t *testing.T, dir string) string {
	t.Helper()
	d := storefile.Dir{FS: storefs.For(dir), Path: dir}
	l, err := d.Find()
	check(t, err)
	h, _, err := d.LogHeader(l.Logs[len(l.Logs)-1])
	check(t, err)
	return string(h.Store[:])
}

// A damaged snapshot is passed over, as when the store is opened, where the log goes back to the
// one before: the copy has the state that the store has.
func TestCopyPassesOverADamagedSnapshot(t *testing.T) {
	const src, dst = "/spoiltsrc", "/spoiltdst"
	flipped := func(at int) *faultfs.FS {
		fl := checkedStore(t)
		fl[snap3] = spoil(fl[snap3], at)
		return faultfs.New(fl.mem(t, src))
	}
	unread := func(kind faultfs.Kind) *faultfs.FS {
		f := faultfs.New(checkedStore(t).mem(t, src))
		f.Inject(faultfs.Fault{Kinds: kind, Path: snap3, Err: syscall.EIO, Forever: true})
		return f
	}
	for what, f := range map[string]*faultfs.FS{
		"its header": flipped(20), "its state": flipped(headerLen + 20),
		"the sector of its header": unread(faultfs.OpRead),
		"its inode":                unread(faultfs.OpOpen),
	} {
		mount(t, src, f)
		mount(t, dst, memfs.New(memfs.Options{}))
		index, err := store.Copy(t.Context(), src, dst, nil)
		if err != nil || index != 4 {
			t.Fatalf("%s is damaged, and the copy has index %d: %v", what, index, err)
		}
		want, m := &plainMachine{}, &plainMachine{}
		_, err = store.Load(t.Context(), src, want)
		check(t, err)
		if _, err := store.Load(t.Context(), dst, m); err != nil || !bytes.Equal(m.b, want.b) {
			t.Errorf("%s is damaged, and the copy has %q, not %q: %v", what, m.b, want.b, err)
		}
	}
}

// So is one that the disk begins to give back, and then does not.
func TestCopyPassesOverASnapshotThatItHasBegunWith(t *testing.T) {
	const src, dst = "/halfsrc", "/halfdst"
	_, f := memory(t, src)
	memory(t, dst)
	s := open(t, src, &journal{}, nil)
	for _, u := range []string{"one", strings.Repeat("x", 1<<20)} {
		update(t, s, u)
		check(t, s.Snapshot(t.Context()))
	}
	update(t, s, "three")
	check(t, s.Close())
	fault := f.Inject(faultfs.Fault{Kinds: faultfs.OpRead, Path: snap2, N: 2, Err: syscall.EIO, Forever: true})
	index, err := store.Copy(t.Context(), src, dst, nil)
	if err != nil || index != 3 || fault.Hits() == 0 {
		t.Fatalf("the copy has index %d: %v", index, err)
	}
	wantUpdates(t, dst, "one", strings.Repeat("x", 1<<20), "three")
}

// Copy copies nothing that is damaged, takes no directory that exists, and leaves none that
// opens when it fails.
func TestCopyRefuses(t *testing.T) {
	const src, dst = "/refusedsrc", "/refuseddst"
	whole := checkedStore(t)
	for what, harm := range map[string]func(fl files){
		"all snapshots": func(fl files) {
			fl[snap1], fl[snap3] = spoil(fl[snap1], 20), spoil(fl[snap3], headerLen+20)
			delete(fl, log0)
		},
		"a snapshot and the log before it": func(fl files) {
			fl[snap3] = spoil(fl[snap3], headerLen+20)
			fl[log1] = spoil(fl[log1], headerLen+20)
		},
		"a cut log": func(fl files) { delete(fl, log3) },
		"an update": func(fl files) { fl[log3] = spoil(fl[log3], headerLen+20) },
	} {
		fl := maps.Clone(whole)
		harm(fl)
		unmount := storefs.Mount(src, fl.mem(t, src))
		mount(t, dst, memfs.New(memfs.Options{}))
		_, err := store.Copy(t.Context(), src, dst, nil)
		if wantIs(t, err, store.ErrCorrupt); err == nil {
			t.Errorf("%s was damaged", what)
		}
		if _, err := store.Load(t.Context(), dst, &plainMachine{}); err == nil {
			t.Errorf("%s was damaged, and the copy loads", what)
		}
		unmount()
	}
	mount(t, src, whole.mem(t, src))
	mount(t, dst, memfs.New(memfs.Options{}))
	_, err := store.Copy(t.Context(), src, src+"/within", nil)
	if err == nil || !strings.Contains(err.Error(), "within") {
		t.Errorf("into the store itself: %v", err)
	}
	_, err = store.Copy(t.Context(), src, "", nil)
	if err == nil {
		t.Error("into no directory")
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err = store.Copy(ctx, src, dst, nil)
	wantIs(t, err, context.Canceled)
	mount(t, dst, memfs.New(memfs.Options{}))
	_, err = store.Copy(t.Context(), "/nowhere", dst, nil)
	wantIs(t, err, fs.ErrNotExist)
	_, err = store.Copy(t.Context(), src, dst, nil)
	check(t, err)
	_, err = store.Copy(t.Context(), src, dst, nil)
	wantIs(t, err, fs.ErrExist)
}

// Whatever operation of the file system fails, Copy says so, and leaves no store that opens
// and lacks something.
func TestACopyThatFailsIsNoStore(t *testing.T) {
	const src, dst = "/failsrc", "/faildst"
	whole := checkedStore(t)
	want, older := &plainMachine{}, &plainMachine{}
	mount(t, src, whole.mem(t, src))
	last, err := store.Load(t.Context(), src, want)
	check(t, err)
	// The same by way of the older snapshot, where the newest one is not given back.
	spoilt := maps.Clone(whole)
	spoilt[snap3] = spoil(whole[snap3], 20)
	mount(t, src, spoilt.mem(t, src))
	if index, err := store.Load(t.Context(), src, older); err != nil || index != last {
		t.Fatalf("without the newest snapshot there is the state of %d, %v", index, err)
	}
	for _, at := range []string{src, dst} {
		failed := 0
		for n := int64(1); ; n++ {
			source, target := faultfs.New(whole.mem(t, src)), faultfs.New(memfs.New(memfs.Options{}))
			unmount, unmountToo := storefs.Mount(src, source), storefs.Mount(dst, target)
			f := map[string]*faultfs.FS{src: source, dst: target}[at]
			f.Inject(faultfs.Fault{N: n, Err: syscall.EIO})
			index, err := store.Copy(t.Context(), src, dst, nil)
			if f.Ops() < n {
				check(t, err)
				unmountToo()
				unmount()
				break
			}
			m := &plainMachine{}
			loaded, lerr := store.Load(t.Context(), dst, m)
			same := bytes.Equal(m.b, want.b) || at == src && bytes.Equal(m.b, older.b)
			if err == nil && (index != last || lerr != nil) || lerr == nil && (loaded != last || !same) {
				t.Errorf("with operation %d in %s failing, Copy returned %d, %v, and Load %d of %d, %v", n, at, index, err, loaded, last, lerr)
			}
			if err != nil {
				failed++
			}
			unmountToo()
			unmount()
		}
		if failed < 10 {
			t.Errorf("only %d operations in %s failed Copy", failed, at)
		}
	}
}

// A copy that is made while a store makes snapshots, of which each drops what was read, has
// all that was durable before.
func TestCopyOfAStoreInUse(t *testing.T) {
	const src, dst = "/usesrc", "/usedst"
	memory(t, src)
	s := open(t, src, &journal{}, &store.Options{KeepSnapshots: 1, SnapshotBytes: -1})
	update(t, s, "first")
	done := make(chan struct{})
	stop, cancel := context.WithCancel(t.Context())
	go func() {
		defer close(done)
		for i := 0; stop.Err() == nil && i < 100_000; i++ {
			_, _ = s.Update(t.Context(), []byte("more"))
			if i%5 == 0 {
				_ = s.Snapshot(t.Context())
			}
		}
	}()
	made := 0
	for start := time.Now(); made < 20 && time.Since(start) < time.Minute; {
		mount(t, dst, memfs.New(memfs.Options{}))
		durable := s.Stats().Durable
		index, err := store.Copy(t.Context(), src, dst, nil)
		if errors.Is(err, store.ErrNotRetained) {
			continue // it was too slow again and again, and says so
		}
		check(t, err)
		if made++; index < durable {
			t.Errorf("the copy ends with %d, and %d updates were durable", index, durable)
		}
	}
	cancel()
	<-done
	check(t, s.Close())
	if made == 0 {
		t.Error("no copy could be made in a minute")
	}
}
