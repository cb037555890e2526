package store_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stateio/stateio/internal/crashtest"
	"github.com/stateio/stateio/internal/fsys/memfs"
	"github.com/stateio/stateio/internal/storefs"
	"github.com/stateio/stateio/store"
)

// wantFollowed fails unless the follower's machine comes to hold these updates.
func wantFollowed(t *testing.T, f *store.Follower, m *journal, want []string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	if err := f.WaitIndex(ctx, uint64(len(want))); err != nil {
		t.Fatal(err)
	}
	check(t, f.View(func() error {
		if !slices.Equal(m.updates, want) {
			t.Errorf("followed to %.200q, want %.200q", m.updates, want)
		}
		return nil
	}))
}

// A follower has what the store has, over snapshots, retention, and uses of the store.
func TestFollow(t *testing.T) {
	const dir = "/follow"
	memory(t, dir)
	opts := &store.Options{KeepSnapshots: 1, SnapshotBytes: -1}
	s := open(t, dir, &journal{}, opts)
	var want []string
	make3 := func(s *store.Store) {
		for range 3 {
			want = append(want, fmt.Sprint(len(want)))
			update(t, s, want[len(want)-1])
		}
	}
	make3(s)
	m := &journal{}
	f, err := store.Follow(t.Context(), dir, m, &store.FollowOptions{Poll: time.Millisecond})
	check(t, err)
	wantFollowed(t, f, m, want)
	for range 3 {
		for range 2 {
			make3(s)
			check(t, s.Snapshot(t.Context()))
		}
		wantFollowed(t, f, m, want)
		check(t, s.Close())
		s = open(t, dir, &journal{}, opts)
	}
	make3(s)
	wantFollowed(t, f, m, want)
	if st := f.Status(); st.Index != uint64(len(want)) || st.Time.IsZero() || st.Current.Before(st.Time) && st.Current.IsZero() {
		t.Errorf("the status is %+v", st)
	}
	check(t, f.Close())
	if err := f.WaitIndex(t.Context(), 99); !errors.Is(err, store.ErrClosed) {
		t.Errorf("waiting after Close: %v", err)
	}
	check(t, f.WaitIndex(t.Context(), 3))
	check(t, s.Close())
	check(t, f.Close())
}

// A program may set the state of a new store and make a snapshot of it, before the first
// update. A follower that has begun with none has it then, too, and before that update.
func TestAFollowerHasTheStateThatIsSetAfterItBegan(t *testing.T) {
	for _, idle := range []bool{true, false} {
		synctest.Test(t, func(t *testing.T) {
			dir := fmt.Sprint("/followinitial", idle)
			memory(t, dir)
			live, m := &journal{}, &journal{}
			s := open(t, dir, live, nil)
			f, err := store.Follow(t.Context(), dir, m, &store.FollowOptions{Poll: time.Second})
			check(t, err)
			live.updates = []string{"old"}
			check(t, s.Snapshot(t.Context()))
			if idle {
				after(2 * time.Second)
				if n := f.Status().Restored; n != 1 {
					t.Errorf("before the update, it has restored %d snapshots", n)
				}
			}
			update(t, s, "new")
			check(t, f.WaitIndex(t.Context(), 1))
			check(t, f.Close())
			check(t, s.Close())
			if !slices.Equal(m.updates, []string{"old", "new"}) {
				t.Errorf("followed to %q", m.updates)
			}
		})
	}
}

// A follower that was slower than the store keeps updates goes on with a snapshot.
func TestAFollowerThatIsTooSlowRestoresASnapshot(t *testing.T) {
	const dir = "/slowfollow"
	_, fs := memory(t, dir)
	s := open(t, dir, &journal{}, &store.Options{KeepSnapshots: 1, SnapshotBytes: -1})
	update(t, s, "one")
	m := &journal{}
	f, err := store.Follow(t.Context(), dir, m, &store.FollowOptions{Poll: time.Millisecond})
	check(t, err)
	block := make(chan struct{})
	blocked := make(chan struct{})
	go func() {
		_ = f.View(func() error { // updates are not applied until this returns
			close(blocked)
			<-block
			return nil
		})
	}()
	<-blocked
	want := []string{"one"}
	for i := range 5 {
		want = append(want, fmt.Sprint(i))
		update(t, s, want[len(want)-1])
		check(t, s.Snapshot(t.Context()))
	}
	close(block)
	wantFollowed(t, f, m, want)
	check(t, f.Close())
	check(t, s.Close())
	fs.OnOp(nil)
}

// A follower ends with its context, and with what it can't read.
func TestAFollowerEnds(t *testing.T) {
	const dir = "/endfollow"
	mem, _ := memory(t, dir)
	s := open(t, dir, &journal{}, nil)
	update(t, s, "one")
	ctx, cancel := context.WithCancel(t.Context())
	f, err := store.Follow(ctx, dir, &journal{}, nil)
	check(t, err)
	cancel()
	<-f.Done()
	check(t, f.Err())

	m := &picky{update: "bad"}
	f, err = store.Follow(t.Context(), dir, m, &store.FollowOptions{Poll: time.Millisecond})
	check(t, err)
	update(t, s, "bad")
	err = f.WaitIndex(t.Context(), 2)
	var replay *store.ReplayError
	if !errors.As(err, &replay) || replay.Index != 2 || !errors.Is(err, errRefused) {
		t.Errorf("following ended with %v", err)
	}
	<-f.Done()
	wantIs(t, f.Close(), errRefused)
	check(t, s.Close())

	for _, bad := range []func() (*store.Follower, error){
		func() (*store.Follower, error) { return store.Follow(t.Context(), dir, nil, nil) },
		func() (*store.Follower, error) { return store.Follow(t.Context(), "", &journal{}, nil) },
		func() (*store.Follower, error) {
			return store.Follow(t.Context(), dir, &journal{}, &store.FollowOptions{Poll: -1})
		},
		func() (*store.Follower, error) {
			check(t, mem.Mkdir("/nothing", 0o700))
			defer storefs.Mount("/nothing", mem)()
			return store.Follow(t.Context(), "/nothing", &journal{}, nil)
		},
	} {
		if f, err := bad(); err == nil {
			f.Close()
			t.Error("no error")
		} else if !strings.HasPrefix(err.Error(), "store: ") {
			t.Errorf("the error is %q", err)
		}
	}
}

// Load gives what Open would, from any store, and leaves it as it is.
func TestLoad(t *testing.T) {
	const dir = "/load"
	fl := checkedStore(t)
	mem := fl.mem(t, dir)
	mount(t, dir, mem)
	m := &crashtest.Machine{Size: 100}
	index, err := store.Load(t.Context(), dir, m)
	if err != nil || index != 4 || m.Count != 4 {
		t.Errorf("loaded index %d and %d updates, %v", index, m.Count, err)
	}
	for name, b := range readFiles(t, mem, dir) {
		if !bytes.Equal(b, fl[name]) {
			t.Errorf("%s has changed", name)
		}
	}
	// The newest snapshot is damaged: an older one, and the longer log.
	fl[snap3] = spoil(fl[snap3], len(fl[snap3])-1)
	mount(t, dir, fl.mem(t, dir))
	m = &crashtest.Machine{Size: 100}
	if index, err = store.Load(t.Context(), dir, m); err != nil || index != 4 || m.Count != 4 {
		t.Errorf("loaded index %d and %d updates, %v", index, m.Count, err)
	}
	// Damage among the updates is told.
	fl[log3] = spoil(fl[log3], headerLen+30)
	mount(t, dir, fl.mem(t, dir))
	_, err = store.Load(t.Context(), dir, &crashtest.Machine{Size: 100})
	wantIs(t, err, store.ErrCorrupt)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err = store.Load(ctx, dir, &crashtest.Machine{Size: 100})
	wantIs(t, err, context.Canceled)
}

// Without its snapshot, a state that no update has made is not there.
func TestLoadNeedsTheStateThatNoUpdateMade(t *testing.T) {
	const dir = "/loadinitial"
	mem := memfs.New(memfs.Options{})
	mount(t, dir, mem)
	check(t, store.Create(dir, journalState{"old"}, nil))
	m := &journal{}
	if _, err := store.Load(t.Context(), dir, m); err != nil || !slices.Equal(m.updates, []string{"old"}) {
		t.Errorf("loaded %q, %v", m.updates, err)
	}
	fl := readFiles(t, mem, dir)
	for _, harm := range []func(files){
		func(fl files) { delete(fl, snap0) },
		func(fl files) { fl[snap0] = spoil(fl[snap0], len(fl[snap0])-1) },
	} {
		bad := files{}
		for name, b := range fl {
			bad[name] = b
		}
		harm(bad)
		unmount := storefs.Mount(dir, bad.mem(t, dir))
		_, err := store.Load(t.Context(), dir, &journal{})
		wantIs(t, err, store.ErrCorrupt)
		unmount()
	}
}

// Bisect finds the first update that makes the state bad, before, between and after
// snapshots.
func TestBisect(t *testing.T) {
	const dir = "/bisect"
	memory(t, dir)
	s := open(t, dir, &journal{}, &store.Options{KeepSnapshots: 2, SnapshotBytes: -1})
	for i := 1; i <= 20; i++ {
		update(t, s, fmt.Sprint(i))
		if i%5 == 0 && i < 20 {
			check(t, s.Snapshot(t.Context())) // 10 and 15 are kept
		}
	}
	defer s.Close()
	machines := func() store.Machine { return &journal{} }
	from := func(n int) func(store.Machine) bool {
		return func(m store.Machine) bool { return len(m.(*journal).updates) >= n }
	}
	for _, n := range []int{11, 12, 15, 16, 20} {
		u, err := store.Bisect(t.Context(), dir, machines, from(n))
		if err != nil || u.Index != uint64(n) || string(u.Data) != fmt.Sprint(n) || u.Time.IsZero() {
			t.Errorf("bad from update %d on: found %+v, %v", n, u, err)
		}
	}
	for _, n := range []int{3, 10, 21} {
		_, err := store.Bisect(t.Context(), dir, machines, from(n))
		wantIs(t, err, store.ErrNotRetained)
	}
	_, err := store.Bisect(t.Context(), dir, nil, nil)
	if err == nil {
		t.Error("no error without functions")
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err = store.Bisect(ctx, dir, machines, from(12))
	wantIs(t, err, context.Canceled)
}

// A store that has lost its snapshots, and the logs before them long ago, has no state to
// begin with.
func TestBisectWithoutAState(t *testing.T) {
	const dir = "/bisectnothing"
	mem := memfs.New(memfs.Options{})
	mount(t, dir, mem)
	s := open(t, dir, &journal{}, &store.Options{KeepSnapshots: 1, SnapshotBytes: -1})
	for range 3 {
		update(t, s, "a")
		check(t, s.Snapshot(t.Context()))
	}
	check(t, s.Close())
	left := readFiles(t, mem, dir)
	for name := range left {
		if strings.HasSuffix(name, ".snap") {
			delete(left, name)
		}
	}
	defer storefs.Mount(dir, left.mem(t, dir))()
	_, err := store.Bisect(t.Context(), dir, func() store.Machine { return &journal{} }, func(store.Machine) bool { return true })
	wantIs(t, err, store.ErrCorrupt)
}

// A store in memory works as one on a disk does.
func TestOpenMemory(t *testing.T) {
	m := &journal{}
	s, err := store.OpenMemory(m, quiet(nil))
	check(t, err)
	other, err := store.OpenMemory(&journal{}, quiet(nil))
	check(t, err)
	update(t, s, "one")
	check(t, s.Snapshot(t.Context()))
	update(t, s, "two")
	for u, err := range s.Updates(t.Context(), 2) {
		if err != nil || string(u.Data) != "two" {
			t.Errorf("update %+v, %v", u, err)
		}
		break
	}
	if s.Index() != 2 || other.Index() != 0 || len(m.updates) != 2 {
		t.Errorf("indexes %d and %d", s.Index(), other.Index())
	}
	check(t, errors.Join(s.Close(), other.Close()))
	if _, err := store.OpenMemory(nil, nil); err == nil {
		t.Error("no error without a machine")
	}
	if _, err := store.OpenMemory(m, &store.Options{MaxUpdate: -1}); err == nil {
		t.Error("no error of wrong options")
	}
}

// Files tells indexes and times as the names and headers do.
func TestFiles(t *testing.T) {
	const dir = "/files"
	clock, mem := dialed(t, dir)
	start := clock.now()
	s := open(t, dir, &diary{}, &store.Options{SnapshotBytes: -1})
	for i := range 5 {
		clock.move(time.Minute)
		update(t, s, fmt.Sprint(i))
		if i == 1 || i == 2 {
			check(t, s.Snapshot(t.Context()))
		}
	}
	check(t, s.Close())
	got, err := store.Files(dir)
	check(t, err)
	at := func(minutes int) time.Time { return start.Add(time.Duration(minutes) * time.Minute) }
	want := []store.File{
		{First: 1, Last: 2, Until: at(2)},
		{First: 3, Last: 3, From: at(2), Until: at(3)},
		{First: 4, Last: 5, From: at(3), Until: at(5)},
		{First: 6, From: at(5)},
		{Snapshot: true, First: 2, Last: 2, From: at(2), Until: at(2)},
		{Snapshot: true, First: 3, Last: 3, From: at(3), Until: at(3)},
	}
	for i := range want {
		if i >= len(got) {
			break
		}
		if info, err := mem.Stat(got[i].Path); err != nil || info.Size != got[i].Size {
			t.Errorf("%s has %d bytes, want %d, %v", got[i].Path, got[i].Size, info.Size, err)
		}
		want[i].Path, want[i].Size = got[i].Path, got[i].Size
	}
	if !slices.Equal(got, want) {
		t.Errorf("got\n%+v\nwant\n%+v", got, want)
	}
	fl := readFiles(t, mem, dir)
	fl[log3] = spoil(fl[log3], 30)
	mount(t, dir, fl.mem(t, dir))
	got, err = store.Files(dir)
	if err != nil || !errors.Is(got[2].Err, store.ErrCorrupt) || got[2].First != 4 {
		t.Errorf("with a damaged header: %+v, %v", got, err)
	}
	if _, err := store.Files("/"); err == nil {
		t.Error("no error where no store is")
	}
}

// TailUpdates goes on where ReadUpdates ends, over snapshots and uses of the store, until
// its context ends or the loop does.
func TestTailUpdates(t *testing.T) {
	const dir = "/tail"
	memory(t, dir)
	opts := &store.Options{SnapshotBytes: -1, KeepSnapshots: 9}
	s := open(t, dir, &journal{}, opts)
	update(t, s, "1")
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	n := uint64(0)
	for u, err := range store.TailUpdates(ctx, dir, 0) {
		check(t, err)
		if n++; u.Index != n || string(u.Data) != fmt.Sprint(n) {
			t.Fatalf("update %d is %+v", n, u)
		}
		switch {
		case n == 20:
			cancel()
			continue
		case n%5 == 0:
			check(t, s.Snapshot(t.Context()))
		case n%7 == 0:
			check(t, s.Close())
			s = open(t, dir, &journal{}, opts)
		}
		update(t, s, fmt.Sprint(n+1))
	}
	if n != 20 {
		t.Errorf("%d updates came", n)
	}
	for range store.TailUpdates(t.Context(), dir, 3) {
		break
	}
	check(t, s.Close())
	for _, err := range store.TailUpdates(t.Context(), "/nothing", 1) {
		if err == nil {
			t.Error("no error where nothing is")
		}
	}
}

// TailUpdatesOn looks when it is told to, and waits only where there is nothing more.
func TestTailUpdatesOn(t *testing.T) {
	const dir = "/tail-on"
	memory(t, dir)
	opts := &store.Options{SnapshotBytes: -1, KeepSnapshots: 9}
	s := open(t, dir, &journal{}, opts)
	update(t, s, "1")
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	came, waits := uint64(0), 0
	for u, err := range store.TailUpdatesOn(ctx, dir, 0, func(waiting context.Context) {
		if waiting != ctx || came != s.Index() {
			t.Errorf("it waits after %d of %d updates", came, s.Index())
		}
		switch waits++; {
		case waits == 20:
			cancel()
		case waits%5 == 0:
			check(t, s.Snapshot(t.Context()))
		case waits%3 == 0: // there is nothing more
		default:
			update(t, s, "more")
			update(t, s, "and more")
		}
	}) {
		check(t, err)
		if came++; u.Index != came {
			t.Fatalf("update %d is %+v", came, u)
		}
	}
	if waits != 20 || came != s.Index() {
		t.Errorf("%d of %d updates came, with %d waits", came, s.Index(), waits)
	}
	check(t, s.Close())
}

// endless restores whatever it gets, and ends its context meanwhile.
type endless struct {
	journal
	end context.CancelFunc
}

func (e *endless) Restore(r io.Reader) error {
	e.end()
	_, err := io.Copy(io.Discard, r)
	return err
}

// A context ends loading while a snapshot is restored, too.
func TestAContextEndsTheRestoreOfLoad(t *testing.T) {
	const dir = "/loadctx"
	mount(t, dir, checkedStore(t).mem(t, dir))
	ctx, cancel := context.WithCancel(t.Context())
	_, err := store.Load(ctx, dir, &endless{end: cancel})
	wantIs(t, err, context.Canceled)
	if err == nil || !strings.Contains(err.Error(), "restoring") {
		t.Errorf("ended with %v", err)
	}
}
