package store_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stateio/stateio/internal/fsys"
	"github.com/stateio/stateio/internal/fsys/faultfs"
	"github.com/stateio/stateio/internal/fsys/memfs"
	"github.com/stateio/stateio/store"
)

// installed makes a store of four updates, of which the third is a whole state, and returns
// its machine.
func installed(t *testing.T, dir string, opts *store.Options) (*store.Store, *journal) {
	t.Helper()
	m := &journal{}
	s := open(t, dir, m, opts)
	update(t, s, "one")
	update(t, s, "two")
	index, err := s.Replace(t.Context(), journalState{"in", "place"})
	if err != nil || index != 3 || s.Index() != 3 || s.Stats().Durable != 3 {
		t.Errorf("index %d, %v; the store has %d", index, err, s.Index())
	}
	update(t, s, "four")
	return s, m
}

var afterReplace = []string{"in", "place", "four"}

// A state that was installed is there at once, after every restart, and whichever way the
// store is read.
func TestAStateThatWasInstalledIsThere(t *testing.T) {
	const dir, dst = "/replaced", "/repaired"
	memory(t, dir)
	memory(t, dst)
	s, m := installed(t, dir, nil)
	check(t, s.Close())
	same := func(what string, m *journal, want ...string) {
		t.Helper()
		if !slices.Equal(m.updates, want) {
			t.Errorf("%s gives %q, want %q", what, m.updates, want)
		}
	}
	same("Replace", m, afterReplace...)
	for index, want := range [][]string{{}, {"one"}, {"one", "two"}, {"in", "place"}, afterReplace} {
		m := &journal{}
		check(t, store.RestoreAt(t.Context(), dir, m, uint64(index), nil))
		same(fmt.Sprint("RestoreAt ", index), m, want...)
	}
	loaded := &journal{}
	_, err := store.Load(t.Context(), dir, loaded)
	check(t, err)
	same("Load", loaded, afterReplace...)
	rep, err := store.Repair(t.Context(), dir, dst, nil)
	if err != nil || !rep.Exact || rep.Index != 4 {
		t.Errorf("repaired to %+v, %v", rep, err)
	}
	repaired := &journal{}
	s = open(t, dst, repaired, nil)
	same("Repair", repaired, afterReplace...)
	check(t, s.Close())
	_, err = store.Bisect(t.Context(), dir, func() store.Machine { return &journal{} }, func(m store.Machine) bool {
		return slices.Equal(m.(*journal).updates, afterReplace)
	})
	check(t, err)
	again := &journal{}
	s = open(t, dir, again, nil)
	same("Open", again, afterReplace...)
	check(t, s.Snapshot(t.Context()))
	check(t, s.Close())
	again = &journal{}
	s = open(t, dir, again, nil)
	same("the snapshot after it", again, afterReplace...)
	check(t, s.Close())
}

// What reads updates is told which one is a whole state, and what follows the store has it.
func TestAStateThatWasInstalledIsToldToThoseThatFollow(t *testing.T) {
	const dir = "/replaced"
	memory(t, dir)
	s := open(t, dir, &journal{}, nil)
	followed := &journal{}
	f, err := store.Follow(t.Context(), dir, followed, &store.FollowOptions{Poll: time.Millisecond})
	check(t, err)
	check(t, s.Close())
	s, _ = installed(t, dir, nil)
	check(t, f.WaitIndex(t.Context(), 4))
	check(t, f.Close())
	if !slices.Equal(followed.updates, afterReplace) {
		t.Errorf("the follower has %q", followed.updates)
	}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var told []string
	for u, err := range s.Updates(ctx, 1) {
		check(t, err)
		told = append(told, fmt.Sprintf("%d %v %q", u.Index, u.State, u.Data))
		if u.Index == 4 {
			cancel()
		}
	}
	var checked []string
	_, err = store.Check(t.Context(), dir, &store.CheckOptions{Update: func(u store.Update) {
		checked = append(checked, fmt.Sprintf("%d %v %q", u.Index, u.State, u.Data))
	}})
	check(t, err)
	want := []string{`1 false "one"`, `2 false "two"`, `3 true "\x02in\x05place"`, `4 false "four"`}
	if !slices.Equal(told, want) || !slices.Equal(checked, want) {
		t.Errorf("Updates told %q, and Check %q", told, checked)
	}
}

// Typed updates come with the state's bytes, and without a value.
func TestAStateThatWasInstalledAmongTypedUpdates(t *testing.T) {
	const dir = "/replaced"
	memory(t, dir)
	m := &adder{}
	s, err := store.OpenTyped(dir, m, nil, quiet(nil))
	check(t, err)
	defer s.Close()
	_, err = s.Replace(t.Context(), strings.NewReader("7\n"))
	check(t, err)
	sum, err := s.Update(t.Context(), 5)
	if sum != 12 || err != nil {
		t.Errorf("7 and 5 give %d, %v", sum, err)
	}
	for u, err := range s.Updates(t.Context(), 1) {
		if last := u.Index == 2; err != nil || last != (u.Value == 5) || last != (u.State == nil) || !last && string(u.State) != "7\n" {
			t.Errorf("%+v, %v", u, err)
		}
		if u.Index == 2 {
			break
		}
	}
}

// An adder is a typed machine that adds up.
type adder struct{ store.JSONState[int] }

func (m *adder) Apply(n int) (int, error) {
	m.State += n
	return m.State, nil
}

// A shadow installs the state, too.
func TestAShadowInstallsAState(t *testing.T) {
	const dir = "/replaced"
	memory(t, dir)
	s, _ := installed(t, dir, &store.Options{Shadow: func() store.Machine { return &journal{} }})
	check(t, s.Snapshot(t.Context()))
	check(t, s.Close())
	m := &journal{}
	s = open(t, dir, m, nil)
	if r := s.Recovery(); r.SnapshotIndex != 4 || !slices.Equal(m.updates, afterReplace) {
		t.Errorf("recovered %q from snapshot %d", m.updates, r.SnapshotIndex)
	}
}

// In each state of the disk that a crash may leave, there is the old state or the new one.
func TestACrashDuringReplaceLeavesOneState(t *testing.T) {
	const dir = "/replaced"
	mem, fs := memory(t, dir)
	s := open(t, dir, &journal{}, nil)
	update(t, s, "one")
	state := journalState{strings.Repeat("new", 30_000), "state"}
	type left struct {
		disk         *memfs.FS
		acknowledged bool
	}
	var crashes []left
	acknowledged := false
	fs.OnOp(func(faultfs.Op) {
		for seed := range uint64(5) {
			crashes = append(crashes, left{mem.Crash(rand.New(rand.NewPCG(seed, uint64(len(crashes))))), acknowledged})
		}
		crashes = append(crashes, left{mem.Kill(), acknowledged})
	})
	_, err := s.Replace(t.Context(), state)
	check(t, err)
	acknowledged = true
	check(t, s.Close())
	fs.OnOp(nil)
	seen := map[bool]int{}
	for _, l := range crashes {
		mount(t, dir, l.disk)
		m := &journal{}
		check(t, open(t, dir, m, nil).Close())
		isNew := slices.Equal(m.updates, state)
		if seen[isNew]++; !isNew && (l.acknowledged || !slices.Equal(m.updates, []string{"one"})) {
			t.Errorf("a crash leaves %.40q; acknowledged: %v", m.updates, l.acknowledged)
		}
	}
	if seen[true] == 0 || seen[false] == 0 {
		t.Errorf("of the crashes, %d left the new state, and %d the old", seen[true], seen[false])
	}
}

// All that is wrong with a state before it was installed leaves the one that is there.
func TestAStateThatIsNotInstalled(t *testing.T) {
	const dir = "/replaced"
	memory(t, dir)
	m := &journal{}
	s := open(t, dir, m, &store.Options{MaxUpdate: 100})
	update(t, s, "one")
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	broken := errors.New("broken")
	for name, c := range map[string]struct {
		ctx   context.Context
		state io.WriterTo
		want  error
	}{
		"no state":  {t.Context(), nil, nil},
		"too large": {t.Context(), journalState{strings.Repeat("x", 99), "y"}, store.ErrTooLarge},
		"too large, and WriteTo goes on": {t.Context(), store.WriterFunc(func(w io.Writer) error {
			for _, n := range []int{60, 60, 30} {
				_, _ = w.Write(make([]byte, n))
			}
			return nil
		}), store.ErrTooLarge},
		"an ended context": {ended, journalState{"two"}, context.Canceled},
		"that fails":       {t.Context(), store.WriterFunc(func(io.Writer) error { return broken }), broken},
		"that panics":      {t.Context(), store.WriterFunc(func(io.Writer) error { panic("broken") }), nil},
		"a closed log": {t.Context(), store.WriterFunc(func(w io.Writer) error {
			_, err := w.Write([]byte("half"))
			return errors.Join(err, fsys.ErrNotRegular)
		}), fsys.ErrNotRegular},
	} {
		_, err := s.Replace(c.ctx, c.state)
		if err == nil || c.want != nil && !errors.Is(err, c.want) || !strings.HasPrefix(err.Error(), "store: ") {
			t.Errorf("%s: %v", name, err)
		}
	}
	check(t, s.View(func() error {
		_, err := s.Replace(t.Context(), journalState{"two"})
		wantIs(t, err, store.ErrReentrant)
		return nil
	}))
	update(t, s, "two")
	if !slices.Equal(m.updates, []string{"one", "two"}) || s.Index() != 2 {
		t.Errorf("index %d, %q", s.Index(), m.updates)
	}
	check(t, s.Close())
	_, err := s.Replace(t.Context(), journalState{"three"})
	wantIs(t, err, store.ErrClosed)
}

// A state that is an io.Closer is closed, whether it was installed or not.
func TestReplaceClosesTheState(t *testing.T) {
	const dir = "/replaced"
	memory(t, dir)
	s := open(t, dir, &journal{}, &store.Options{MaxUpdate: 10})
	for _, size := range []int{5, 20} {
		state := &closedState{journalState: journalState{strings.Repeat("x", size)}}
		if _, err := s.Replace(t.Context(), state); (err == nil) != (size == 5) || state.closed != 1 {
			t.Errorf("a state of %d bytes was closed %d times, %v", size, state.closed, err)
		}
	}
}

type closedState struct {
	journalState
	closed int
}

func (c *closedState) Close() error {
	c.closed++
	return nil
}

// A state that Restore refuses, or panics on, fails the store, which has the state before
// when it is opened again.
func TestAStateThatRestoreRefuses(t *testing.T) {
	for name, c := range map[string]struct {
		m    store.Machine
		want string
	}{
		"refuses": {&journal{}, "Restore refused the state that was to be installed: not a journal"},
		"panics":  {&panicky{}, "panic in Restore: told to"},
	} {
		dir := "/replaced" + name
		memory(t, dir)
		s := openOnly(t, dir, c.m, nil)
		update(t, s, "one")
		func() {
			defer func() { _ = recover() }()
			_, err := s.Replace(t.Context(), store.WriterFunc(func(w io.Writer) error {
				_, err := w.Write([]byte{200, 1, 'x'})
				return err
			}))
			wantIs(t, err, store.ErrFailed)
		}()
		err := s.Stats().Err
		wantIs(t, err, store.ErrFailed)
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: the store has failed with %v", name, err)
		}
		_ = s.Close()
		wantUpdates(t, dir, "one")
	}
}

// A machine whose state is in another store may refuse one because that is closed. This one has
// failed with it once and for all, also when the commit under way fails after that.
func TestAStoreFailsOnceWithTheErrorOfAnother(t *testing.T) {
	const dir = "/failsonce"
	_, f := memory(t, dir)
	s := openOnly(t, dir, refusesState{}, nil)
	f.Inject(faultfs.Fault{Kinds: faultfs.OpDatasync, Err: errors.New("broken")})
	release := hold(f)
	ticket, err := s.Submit([]byte("one"))
	check(t, err)
	store.Settle() // it is being committed
	_, err = s.Replace(t.Context(), journalState{"two"})
	wantIs(t, err, store.ErrFailed)
	wantIs(t, err, store.ErrClosed) // of the other one
	release()
	err = ticket.Wait(t.Context())
	wantIs(t, err, store.ErrUnknown)
	wantIs(t, err, store.ErrFailed)
	if err := s.Stats().Err; err == nil || strings.Contains(err.Error(), "broken") {
		t.Errorf("the store failed with %v", err)
	}
	wantIs(t, s.Close(), store.ErrFailed)
}

// refusesState has its state in another store, which is closed.
type refusesState struct{ nothing }

func (refusesState) Restore(io.Reader) error { return fmt.Errorf("elsewhere: %w", store.ErrClosed) }

// panicky panics when it restores a state.
type panicky struct{ journal }

func (*panicky) Restore(io.Reader) error { panic("told to") }

// A state that the machine refuses in a replay is told with its place.
func TestAStateThatReplayRefuses(t *testing.T) {
	const dir = "/replaced"
	memory(t, dir)
	s, _ := installed(t, dir, nil)
	check(t, s.Close())
	_, err := store.Open(dir, &stubborn{}, quiet(nil))
	var replay *store.ReplayError
	if !errors.As(err, &replay) || replay.Index != 3 || !errors.Is(err, errRefused) {
		t.Errorf("opened with %v", err)
	}
}

// stubborn restores nothing.
type stubborn struct{ journal }

func (*stubborn) Restore(io.Reader) error { return errRefused }
