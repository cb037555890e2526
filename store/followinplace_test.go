package store_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/stateio/stateio/internal/fsys/faultfs"
	"github.com/stateio/stateio/internal/storefs"
	"github.com/stateio/stateio/store"
)

// A store that takes the place of the one that is followed is told from it, whether its
// directory is moved away, emptied, or restored.
func TestAFollowerNoticesAnotherStoreInItsPlace(t *testing.T) {
	dir := t.TempDir()
	at := dir + "/state"
	m := &journal{}
	s := open(t, at, &journal{}, nil)
	for i := range 6 {
		update(t, s, fmt.Sprint("a", i))
	}
	f, err := store.Follow(t.Context(), at, m, &store.FollowOptions{Poll: time.Millisecond})
	check(t, err)
	check(t, s.Close())
	check(t, os.Rename(at, dir+"/old"))
	s = open(t, at, &journal{}, nil)
	for i := range 12 {
		update(t, s, fmt.Sprint("b", i))
	}
	<-f.Done()
	if err := f.Close(); err == nil || len(m.updates) > 6 {
		t.Errorf("the follower of another store has %q, and ended with %v", m.updates, err)
	}
	check(t, s.Close())
}

// A store that was restored in place, with the same identity, is followed on.
func TestAFollowerGoesOnInARestoredStore(t *testing.T) {
	noRename(t)
	dir := t.TempDir()
	at := dir + "/state"
	m := &journal{}
	s := open(t, at, &journal{}, nil)
	update(t, s, "one")
	f, err := store.Follow(t.Context(), at, m, &store.FollowOptions{Poll: time.Millisecond})
	check(t, err)
	var backup bytes.Buffer
	_, err = s.Backup(t.Context(), &backup)
	check(t, err)
	check(t, s.Close())
	restored := dir + "/restored"
	check(t, store.Import(restored, bytes.NewReader(backup.Bytes()), int64(backup.Len())))
	check(t, os.Rename(at, dir+"/old"))
	check(t, os.Rename(restored, at))
	s = open(t, at, &journal{}, nil)
	update(t, s, "two")
	wantFollowed(t, f, m, []string{"one", "two"})
	check(t, errors.Join(f.Close(), s.Close()))
}

// A follower waits while a backup is imported, or a copy made, in the place of the store, at each
// stage of that.
func TestAFollowerWaitsForAnImport(t *testing.T) {
	const dir, other = "/followed", "/imported"
	for how, tt := range map[string]struct {
		first, second string // of the files: the first log, and what is there before it has its name
		make          func(s *store.Store) error
	}{
		"Import": {log1, snap1, func(s *store.Store) error {
			var backup bytes.Buffer
			_, err := s.Backup(t.Context(), &backup)
			return errors.Join(err, store.Import(other, bytes.NewReader(backup.Bytes()), int64(backup.Len())))
		}},
		"Copy": {log0, log1, func(*store.Store) error {
			_, err := store.Copy(t.Context(), dir, other, nil)
			return err
		}},
	} {
		mem, fs := memory(t, dir)
		unmount := storefs.Mount(other, mem)
		m := &journal{}
		s := open(t, dir, &journal{}, nil)
		update(t, s, "one")
		f, err := store.Follow(t.Context(), dir, m, &store.FollowOptions{Poll: time.Millisecond})
		check(t, err)
		wantFollowed(t, f, m, []string{"one"})
		check(t, tt.make(s))
		check(t, s.Close())

		looks := make(chan struct{})
		fs.OnOp(func(op faultfs.Op) {
			if op.Kind == faultfs.OpList {
				select {
				case looks <- struct{}{}:
				default:
				}
			}
		})
		for name := range readFiles(t, mem, dir) {
			check(t, mem.Remove(dir+"/"+name))
		}
		mark := dir + "/" + tt.first + ".import.tmp"
		for _, stage := range [][2]string{{"", ""}, {other + "/" + tt.first, mark}, {other + "/" + tt.second, dir + "/" + tt.second}} {
			if stage[0] != "" {
				check(t, mem.Rename(stage[0], stage[1]))
			}
			for range 3 {
				select {
				case <-looks:
				case <-f.Done():
					t.Fatalf("%s: following has ended after %q: %v", how, stage, f.Err())
				}
			}
		}
		check(t, mem.Rename(mark, dir+"/"+tt.first))
		fs.OnOp(nil)
		s = open(t, dir, &journal{}, nil)
		update(t, s, "two")
		wantFollowed(t, f, m, []string{"one", "two"})
		check(t, errors.Join(f.Close(), s.Close()))
		unmount()
	}
}

// A follower that has restored a state in part ends with that, however busy the store is.
func TestAFollowerThatCannotRestoreEnds(t *testing.T) {
	const dir = "/followed"
	memory(t, dir)
	s := open(t, dir, &journal{}, &store.Options{KeepSnapshots: 1, SnapshotBytes: -1})
	update(t, s, "one")
	busy := false
	m := &halfway{}
	f, err := store.Follow(t.Context(), dir, m, &store.FollowOptions{Poll: time.Millisecond})
	check(t, err)
	m.restore = func() {
		if !busy { // the store makes snapshots meanwhile
			busy = true
			update(t, s, "meanwhile")
			check(t, s.Snapshot(t.Context()))
		}
	}
	release, held := make(chan struct{}), make(chan struct{})
	go func() { _ = f.View(func() error { close(held); <-release; return nil }) }()
	<-held
	for range 3 {
		update(t, s, "x")
		check(t, s.Snapshot(t.Context()))
	}
	close(release)
	<-f.Done()
	if err := f.Close(); !errors.Is(err, errRefused) || !busy {
		t.Errorf("the follower has ended with %v", err)
	}
	check(t, s.Close())
}

// halfway restores a part of any state.
type halfway struct {
	journal
	restore func()
}

func (h *halfway) Restore(r io.Reader) error {
	if h.restore == nil {
		return h.journal.Restore(r)
	}
	h.updates = []string{"half"}
	h.restore()
	return errRefused
}

// A follower takes over nothing of another store, not even its snapshot.
func TestAFollowerRestoresNoOtherStore(t *testing.T) {
	noRename(t)
	dir := t.TempDir()
	at := dir + "/state"
	s := open(t, at, &journal{}, nil)
	update(t, s, "ours")
	m := &journal{}
	f, err := store.Follow(t.Context(), at, m, &store.FollowOptions{Poll: time.Millisecond})
	check(t, err)
	check(t, s.Close())
	other := open(t, dir+"/other", &journal{}, &store.Options{KeepSnapshots: 1})
	for i := range 10 {
		update(t, other, fmt.Sprint("foreign", i))
	}
	check(t, errors.Join(other.Snapshot(t.Context()), other.Close()))
	check(t, os.Rename(at, dir+"/old"))
	check(t, os.Rename(dir+"/other", at))
	<-f.Done()
	if err := f.Close(); !errors.Is(err, store.ErrCorrupt) || !slices.Equal(m.updates, []string{"ours"}) || f.Status().Index != 1 {
		t.Errorf("the follower has %q at index %d, and ended with %v", m.updates, f.Status().Index, err)
	}
}

// The last steps of an import may come between any two of the follower's own.
func TestAFollowerSeesAnImportEndBetweenItsSteps(t *testing.T) {
	for n := range 8 { // a look makes fewer lists
		n++
		dir, other := fmt.Sprint("/followed", n), fmt.Sprint("/imported", n)
		mem, fs := memory(t, dir)
		t.Cleanup(storefs.Mount(other, mem))
		m := &journal{}
		s := open(t, dir, &journal{}, nil)
		update(t, s, "one")
		f, err := store.Follow(t.Context(), dir, m, &store.FollowOptions{Poll: time.Millisecond})
		check(t, err)
		var backup bytes.Buffer
		_, err = s.Backup(t.Context(), &backup)
		check(t, errors.Join(err, s.Close()))
		check(t, store.Import(other, bytes.NewReader(backup.Bytes()), int64(backup.Len())))

		const log, snap = "/00000000000000000001.log", "/00000000000000000001.snap"
		for name := range readFiles(t, mem, dir) {
			check(t, mem.Remove(dir+"/"+name))
		}
		check(t, errors.Join(mem.Rename(other+log, dir+log+".import.tmp"), mem.Rename(other+snap, dir+snap)))
		lists, ended := 0, make(chan struct{})
		fs.OnOp(func(op faultfs.Op) { // by the follower
			if op.Kind != faultfs.OpList || lists == n {
				return
			}
			if lists++; lists == n {
				check(t, mem.Rename(dir+log+".import.tmp", dir+log))
				close(ended)
			}
		})
		select {
		case <-ended:
		case <-f.Done():
			t.Fatalf("following has ended before list %d: %v", n, f.Err())
		}
		fs.OnOp(nil)
		s = open(t, dir, &journal{}, nil)
		update(t, s, "two")
		wantFollowed(t, f, m, []string{"one", "two"})
		check(t, errors.Join(f.Close(), s.Close()))
	}
}

// A lagging is a copy of a store whose first log has lost update 4: the next one, which shows that, comes
// while update 3 is read.
type lagging struct {
	dir          string
	third, later []byte // the first log up to update 3, and the next one
}

const laterLog = "00000000000000000004.log"

// lag makes a copy that has updates 1 and 2.
func lag(t *testing.T) *lagging {
	t.Helper()
	src, l := t.TempDir(), &lagging{dir: t.TempDir()}
	s := open(t, src, &journal{}, &store.Options{SnapshotBytes: -1})
	read := func(name string) []byte {
		b, err := os.ReadFile(filepath.Join(src, name))
		check(t, err)
		return b
	}
	update(t, s, "1")
	update(t, s, "2")
	l.put(t, log0, read(log0))
	update(t, s, "3")
	l.third = read(log0)
	update(t, s, "4")
	check(t, s.Snapshot(t.Context()))
	update(t, s, "5")
	l.later = read(laterLog)
	check(t, s.Close())
	return l
}

// put writes a file in place, as cp does.
func (l *lagging) put(t *testing.T, name string, b []byte) {
	t.Helper()
	f, err := os.OpenFile(filepath.Join(l.dir, name), os.O_CREATE|os.O_WRONLY, 0o600)
	check(t, err)
	_, err = f.WriteAt(b, 0)
	check(t, errors.Join(err, f.Close()))
}

// An error that may come of files that come meanwhile is looked at again when they are there: a follower
// does not take a log that has lost its end for the newest.
func TestAFollowerLooksAgainAtAnErrorThatItPassesOver(t *testing.T) {
	l := lag(t)
	m := &hooked{hook: func(n int) {
		if n == 3 {
			l.put(t, laterLog, l.later)
		}
	}}
	f, err := store.Follow(t.Context(), l.dir, m, &store.FollowOptions{Poll: time.Millisecond})
	check(t, err)
	l.put(t, log0, l.third)
	store.Arrives(t, f.Done(), "the follower goes on")
	if err := f.Close(); !errors.Is(err, store.ErrCorrupt) || f.Status().Index != 3 {
		t.Errorf("the follower is at %d, and ended with %v", f.Status().Index, err)
	}
}

func TestTailUpdatesLooksAgainAtAnErrorThatItPassesOver(t *testing.T) {
	l := lag(t)
	ctx, cancel := context.WithCancel(t.Context())
	looks := 0
	var last error
	for u, err := range store.TailUpdatesOn(ctx, l.dir, 1, func(context.Context) {
		switch looks++; looks {
		case 1:
			l.put(t, log0, l.third)
		case 4:
			cancel()
		}
	}) {
		if last = err; u.Index == 3 {
			l.put(t, laterLog, l.later)
		}
	}
	wantIs(t, last, store.ErrCorrupt)
}
