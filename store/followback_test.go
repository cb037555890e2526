package store_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stateio/stateio/internal/fsys"
	"github.com/stateio/stateio/internal/fsys/faultfs"
	"github.com/stateio/stateio/internal/storefs"
	"github.com/stateio/stateio/store"
)

// A setback is a store that is put in the place of the one that is followed, up to update 6.
type setback struct {
	how   string // it was made: backup, copy, running (a copy of a store that is open), Copy, Repair
	at    uint64 // the update that it was made after
	more  int    // updates made in it since
	snaps int    // every so many a snapshot; 0: none
	keep  int    // snapshots
	ahead bool   // all updates bear one time, since the clock was ahead at first
}

func (b setback) String() string {
	return fmt.Sprintf("%s at %d, %d more, snapshots every %d, %d kept, clock ahead %v", b.how, b.at, b.more, b.snaps, b.keep, b.ahead)
}

// run makes a store in at with the updates a1 to a6, and beside it the one that is to take
// its place; ready is called in between, and replace then puts it there.
func (b setback) run(t *testing.T, at string, ready func()) (replace func()) {
	t.Helper()
	if b.ahead {
		clockAheadStore(t, at)
	}
	opts := &store.Options{KeepSnapshots: b.keep, SnapshotBytes: -1}
	beside := at + ".beside"
	s := open(t, at, &journal{}, opts)
	for i := s.Index() + 1; i <= 6; i++ {
		update(t, s, fmt.Sprint("a", i))
		if i != b.at {
			continue
		}
		switch b.how {
		case "backup":
			var backup bytes.Buffer
			_, err := s.Backup(t.Context(), &backup)
			check(t, errors.Join(err, store.Import(beside, bytes.NewReader(backup.Bytes()), int64(backup.Len()))))
		case "Copy":
			_, err := store.Copy(t.Context(), at, beside, nil)
			check(t, err)
		case "Repair":
			check(t, s.Close())
			_, err := store.Repair(t.Context(), at, beside, nil)
			check(t, err)
			s = open(t, at, &journal{}, opts)
		case "running":
			check(t, os.CopyFS(beside, os.DirFS(at)))
		case "copy":
			check(t, s.Close())
			check(t, os.CopyFS(beside, os.DirFS(at)))
			s = open(t, at, &journal{}, opts)
		}
	}
	ready()
	check(t, s.Close())
	if b.more > 0 {
		o := open(t, beside, &journal{}, opts)
		for i := range b.more {
			update(t, o, fmt.Sprint("b", int(b.at)+i+1))
			if b.snaps > 0 && (i+1)%b.snaps == 0 {
				check(t, o.Snapshot(t.Context()))
			}
		}
		check(t, o.Close())
	}
	return func() {
		check(t, os.Rename(at, at+".old"))
		check(t, os.Rename(beside, at))
	}
}

// clockAheadStore makes a store with one update that bears a time to come.
func clockAheadStore(t *testing.T, at string) {
	t.Helper()
	const dir = "/ahead"
	clock, mem := dialed(t, dir)
	clock.move(100 * 365 * 24 * time.Hour)
	s := open(t, dir, &journal{}, nil)
	update(t, s, "a1")
	check(t, errors.Join(s.Close(), os.Mkdir(at, 0o700)))
	for name, b := range readFiles(t, mem, dir) {
		check(t, os.WriteFile(at+"/"+name, b, 0o600))
	}
}

// setbacks are stores that do not hold update 6 as it was followed, in every way to tell.
func setbacks() (all []setback) {
	for _, ahead := range []bool{false, true} {
		for _, how := range []string{"backup", "copy", "running", "Copy", "Repair"} {
			for _, more := range []int{0, 1, 3, 4, 5} {
				all = append(all, setback{how, 3, more, 0, 1, ahead}, setback{how, 3, more, 2, 1, ahead})
			}
			// The next update is in a log of its own.
			all = append(all, setback{how, 3, 3, 3, 3, ahead}, setback{how, 3, 4, 3, 3, ahead})
			if !ahead {
				all = append(all, setback{how, 3, 3, 3, 1, ahead}, setback{how, 3, 4, 3, 1, ahead})
			}
		}
	}
	return all
}

// noRename skips a test that moves a directory whose files are open, where that can't be done.
func noRename(t *testing.T) {
	t.Helper()
	if runtime.GOOS == "windows" {
		t.Skip("Windows does not let a directory be moved while a file in it is open")
	}
}

// A follower whose store is set back to an earlier state, by a backup or by a copy, ends
// with an error that says so, whatever the store has come to since; unless it is given a
// whole state of it.
func TestAFollowerEndsWhereItsStoreWasSetBack(t *testing.T) {
	noRename(t)
	for _, b := range setbacks() {
		at := t.TempDir() + "/state"
		m := &journal{}
		var f *store.Follower
		replace := b.run(t, at, func() {
			var err error
			f, err = store.Follow(t.Context(), at, m, &store.FollowOptions{Poll: time.Millisecond})
			check(t, err)
		})
		replace()
		var dropped bool
		if files, err := store.Files(at); err == nil {
			dropped = files[0].First > 7
		}
		if dropped {
			var want []string
			for i := range 3 + b.more {
				want = append(want, fmt.Sprint("a", i+1))
				if i >= 3 {
					want[i] = fmt.Sprint("b", i+1)
				}
			}
			wantFollowed(t, f, m, want)
			check(t, f.Close())
			continue
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		ended := f.WaitIndex(ctx, 100)
		cancel()
		if errors.Is(ended, context.DeadlineExceeded) {
			t.Errorf("%v: the follower goes on: %+v", b, f.Status())
		}
		err := f.Close()
		if !errors.Is(err, store.ErrCorrupt) || errors.Is(err, store.ErrNotRetained) || !strings.Contains(err.Error(), "set back to an earlier state") {
			t.Errorf("%v: the follower ended with %v", b, err)
		}
		if want := []string{"a1", "a2", "a3", "a4", "a5", "a6"}; !slices.Equal(m.updates, want) || f.Status().Index != 6 {
			t.Errorf("%v: the follower has %q at index %d", b, m.updates, f.Status().Index)
		}
	}
}

// TailUpdates ends as a follower does where its store was set back.
func TestTailUpdatesEndsWhereItsStoreWasSetBack(t *testing.T) {
	noRename(t)
	for _, b := range setbacks() {
		at := t.TempDir() + "/state"
		replace := b.run(t, at, func() {})
		var got []string
		var ended error
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		for u, err := range store.TailUpdatesOn(ctx, at, 1, func(context.Context) {
			if replace != nil {
				replace()
				replace = nil
			}
		}) {
			if err != nil {
				ended = err
				break
			}
			got = append(got, string(u.Data))
		}
		cancel()
		files, err := store.Files(at)
		check(t, err)
		want := store.ErrCorrupt
		if files[0].First > 7 {
			want = store.ErrNotRetained
		}
		if !errors.Is(ended, want) || !slices.Equal(got, []string{"a1", "a2", "a3", "a4", "a5", "a6"}) {
			t.Errorf("%v: got %q and then %v", b, got, ended)
		}
	}
}

// A store that holds what was followed goes on being followed, whether it is a backup or a
// copy, and whatever its clock.
func TestAFollowerGoesOnInACopyOfItsStore(t *testing.T) {
	noRename(t)
	for _, ahead := range []bool{false, true} {
		for _, how := range []string{"backup", "copy", "running", "Copy", "Repair"} {
			for _, snaps := range []int{0, 1, 2} {
				b := setback{how, 6, 3, snaps, 3, ahead}
				at := t.TempDir() + "/state"
				var f *store.Follower
				m := &journal{}
				replace := b.run(t, at, func() {
					var err error
					f, err = store.Follow(t.Context(), at, m, &store.FollowOptions{Poll: time.Millisecond})
					check(t, err)
				})
				replace()
				wantFollowed(t, f, m, []string{"a1", "a2", "a3", "a4", "a5", "a6", "b7", "b8", "b9"})
				check(t, f.Close())
			}
		}
	}
}

// What follows a log notices that what it has read was written over there, as by a store
// that recovers without an update which its disk has lost, whatever it does at that moment.
func TestAFollowerEndsWhereItsLogWasWrittenOver(t *testing.T) {
	for n, last := 0, false; !last; n++ {
		dir, other := fmt.Sprint("/over", n), fmt.Sprint("/other", n)
		mem, fs := memory(t, dir)
		t.Cleanup(storefs.Mount(other, mem))
		s := open(t, dir, &journal{}, nil)
		for i := range 5 {
			update(t, s, fmt.Sprint("a", i+1))
		}
		check(t, mem.Mkdir(other, 0o700))
		for name, b := range readFiles(t, mem, dir) {
			f, err := mem.Open(other+"/"+name, fsys.Create, 0o600)
			check(t, err)
			_, err = f.WriteAt(b, 0)
			check(t, errors.Join(err, f.Close()))
		}
		update(t, s, "a6")
		o := open(t, other, &journal{}, nil)
		update(t, o, "b6")
		update(t, o, "b7")
		update(t, o, "b8")
		written := false
		over := func() {
			written = true
			log, err := mem.Open(dir+"/"+log0, fsys.ReadWrite, 0)
			check(t, err)
			_, err = log.WriteAt(readFiles(t, mem, other)[log0], 0)
			check(t, errors.Join(err, log.Close()))
		}
		var got []string
		var ended error
		waits := 0
		for u, err := range store.TailUpdatesOn(t.Context(), dir, 1, func(context.Context) {
			switch waits++; {
			case waits > 1000:
				t.Fatalf("written over before operation %d: got %q, and no error", n, got)
			case waits == 1:
				update(t, s, "a7")
				ops := 0
				fs.OnOp(func(faultfs.Op) {
					if ops++; ops == n+1 {
						over()
					}
				})
			case !written:
				last = true
				over()
			}
		}) {
			if err != nil {
				ended = err
				break
			}
			got = append(got, string(u.Data))
		}
		if !errors.Is(ended, store.ErrCorrupt) {
			t.Errorf("written over before operation %d: ended with %v", n, ended)
		}
		if want := []string{"a1", "a2", "a3", "a4", "a5", "a6", "a7"}; !slices.Equal(got, want[:len(got)]) || len(got) < 6 {
			t.Errorf("written over before operation %d: got %q", n, got)
		}
	}
}

// Another store in the place of the one that is followed is told by its identity, also
// while it is shorter, and after the first was closed.
func TestAFollowerTellsAShorterStoreOfAnotherIdentity(t *testing.T) {
	noRename(t)
	for _, updates := range []int{0, 1, 3, 4} {
		dir := t.TempDir()
		at := dir + "/state"
		s := open(t, at, &journal{}, nil)
		for range 3 {
			update(t, s, "ours")
		}
		f, err := store.Follow(t.Context(), at, &journal{}, &store.FollowOptions{Poll: time.Millisecond})
		check(t, err)
		check(t, s.Close())
		other := open(t, dir+"/other", &journal{}, nil)
		for range updates {
			update(t, other, "foreign")
		}
		check(t, other.Close())
		check(t, os.Rename(at, dir+"/old"))
		check(t, os.Rename(dir+"/other", at))
		<-f.Done()
		if err := f.Close(); !errors.Is(err, store.ErrCorrupt) || !strings.Contains(err.Error(), "belongs to another store") {
			t.Errorf("with %d updates: the follower ended with %v", updates, err)
		}
	}
}

// A follower whose machine ends the goroutine says so, and does not pass for one that works.
func TestAFollowerWhoseMachineEndsItsGoroutineSaysSo(t *testing.T) {
	const dir = "/exit"
	memory(t, dir)
	s := open(t, dir, &journal{}, nil)
	update(t, s, "one")
	m := &hooked{hook: func(n int) {
		if n == 2 {
			runtime.Goexit()
		}
	}}
	f, err := store.Follow(t.Context(), dir, m, &store.FollowOptions{Poll: time.Millisecond})
	check(t, err)
	update(t, s, "two")
	<-f.Done()
	wantIs(t, f.WaitIndex(t.Context(), 2), store.ErrFailed)
	wantIs(t, f.Close(), store.ErrFailed)
}

// A follower of a relative directory keeps to it when the process goes elsewhere.
func TestAFollowerKeepsToItsDirectory(t *testing.T) {
	dir := t.TempDir()
	t.Chdir(dir)
	s := open(t, "state", &journal{}, nil)
	update(t, s, "one")
	m := &journal{}
	f, err := store.Follow(t.Context(), "state", m, &store.FollowOptions{Poll: time.Millisecond})
	check(t, err)
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	var got []string
	for u, err := range store.TailUpdates(ctx, "state", 1) {
		check(t, err)
		if got = append(got, string(u.Data)); len(got) == 3 {
			break
		}
		t.Chdir(t.TempDir())
		check(t, s.Snapshot(t.Context()))
		update(t, s, "more")
	}
	wantFollowed(t, f, m, []string{"one", "more", "more"})
	check(t, errors.Join(f.Close(), s.Close()))
	if len(got) != 3 {
		t.Errorf("got %q", got)
	}
}

// Load, Follow and ReadUpdates require all that the name of a snapshot proves, as Open does,
// also if the snapshot is damaged.
func TestWhatASnapshotProvesIsRequired(t *testing.T) {
	const dir, snap8 = "/proof", "00000000000000000008.snap"
	mem, _ := memory(t, dir)
	s := open(t, dir, &journal{}, &store.Options{KeepSnapshots: 9, SnapshotBytes: -1})
	var before files
	for i := range 8 {
		update(t, s, fmt.Sprint(i))
		if i == 2 {
			check(t, s.Snapshot(t.Context()))
			before = readFiles(t, mem, dir)
		}
	}
	check(t, errors.Join(s.Snapshot(t.Context()), s.Close()))
	all := readFiles(t, mem, dir)
	before[snap8] = spoil(all[snap8], len(all[snap8])-1)
	for what, fl := range map[string]files{"a damaged snapshot": before, "a snapshot": {log0: before[log0], log3: before[log3], snap3: before[snap3], snap8: all[snap8]}} {
		unmount := storefs.Mount(dir, fl.mem(t, dir))
		_, opened := store.Open(dir, &journal{}, quiet(nil))
		index, loaded := store.Load(t.Context(), dir, &journal{})
		f, followed := store.Follow(t.Context(), dir, &journal{}, nil)
		if followed == nil {
			check(t, f.Close())
		}
		var read error
		for _, err := range store.ReadUpdates(t.Context(), dir, 1) {
			read = err
		}
		unmount()
		for how, err := range map[string]error{"Open": opened, "Load": loaded, "Follow": followed, "ReadUpdates": read} {
			if !errors.Is(err, store.ErrCorrupt) {
				t.Errorf("%s of update 8, without the log after it: %s: %v (index %d)", what, how, err, index)
			}
		}
	}
}
