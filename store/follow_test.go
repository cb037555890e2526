package store_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"

	"github.com/stateio/stateio"
	"github.com/stateio/stateio/internal/fsys/faultfs"
	"github.com/stateio/stateio/internal/fsys/memfs"
	"github.com/stateio/stateio/store"
)

// fill makes a store with updates, of several blocks at times, and snapshots.
func fill(t testing.TB, s *store.Store, from, n int) (updates []string) {
	t.Helper()
	for i := from; i < from+n; i++ {
		u := fmt.Sprint(i)
		if i%7 == 3 {
			u += strings.Repeat("x", 50_000)
		}
		update(t, s, u)
		updates = append(updates, u)
		if i%10 == 9 {
			if err := s.Snapshot(t.Context()); err != nil {
				t.Error(err)
			}
		}
	}
	return updates
}

func TestUpdatesReturnsThePastAndFollowsThePresent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const dir = "/follow"
		memory(t, dir)
		s := open(t, dir, &journal{}, &store.Options{KeepSnapshots: 100, SnapshotBytes: -1})
		want := fill(t, s, 0, 35)
		ctx, cancel := context.WithCancel(t.Context())
		var mu sync.Mutex // guards got
		got := map[uint64][]string{}
		var ended atomic.Int64
		for _, from := range []uint64{0, 1, 2, 11, 35, 36, 60} {
			go func() {
				for u, err := range s.Updates(ctx, from) {
					if err != nil {
						t.Errorf("from %d: %v", from, err)
						break
					}
					mu.Lock()
					if want := max(from, 1) + uint64(len(got[from])); u.Index != want {
						t.Errorf("from %d: index %d, want %d", from, u.Index, want)
					}
					got[from] = append(got[from], string(u.Data))
					mu.Unlock()
				}
				ended.Add(1)
			}()
			synctest.Wait()
		}
		want = append(want, fill(t, s, 35, 40)...)
		synctest.Wait()
		for from, updates := range got {
			if !slices.Equal(updates, want[max(from, 1)-1:]) {
				t.Errorf("from %d: got %d updates, want %d", from, len(updates), len(want)-int(max(from, 1))+1)
			}
		}
		cancel()
		synctest.Wait()
		if n := ended.Load(); n != 7 {
			t.Errorf("%d of 7 sequences ended with their context", n)
		}
		go func() {
			var last error
			for _, err := range s.Updates(context.Background(), 70) {
				last = err
			}
			wantIs(t, last, store.ErrClosed)
			ended.Add(1)
		}()
		synctest.Wait()
		s.Close()
		synctest.Wait()
		if ended.Load() != 8 {
			t.Error("the sequence did not end when the store was closed")
		}
	})
}

func TestUpdatesReturnsOnlyWhatIsDurable(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const dir = "/durable"
		_, fs := memory(t, dir)
		s := open(t, dir, &journal{}, nil)
		release := hold(fs)
		n := 0
		go func() {
			for range s.Updates(t.Context(), 1) {
				if n++; n == 2 {
					return
				}
			}
		}()
		for range 2 {
			if _, err := s.Submit([]byte("u")); err != nil {
				t.Error(err)
			}
		}
		synctest.Wait()
		if n != 0 {
			t.Error("an update was returned before it was durable")
		}
		release()
		synctest.Wait()
		if n != 2 {
			t.Errorf("%d updates were returned, want 2", n)
		}
		s.Close()
	})
}

func TestUpdatesThatAreNotRetained(t *testing.T) {
	const dir = "/retained"
	memory(t, dir)
	s := open(t, dir, &journal{}, &store.Options{KeepSnapshots: 1, SnapshotBytes: -1})
	want := fill(t, s, 0, 25)
	var got []string
	for u, err := range s.Updates(t.Context(), 21) {
		if err != nil {
			t.Fatal(err)
		}
		if got = append(got, string(u.Data)); len(got) == 5 {
			break
		}
	}
	if !slices.Equal(got, want[20:]) {
		t.Errorf("got %.100q", got)
	}
	n := 0
	for _, err := range s.Updates(t.Context(), 20) {
		wantIs(t, err, store.ErrNotRetained)
		n++
	}
	for _, err := range store.ReadUpdates(t.Context(), dir, 20) {
		wantIs(t, err, store.ErrNotRetained)
		n++
	}
	wantIs(t, store.RestoreAt(t.Context(), dir, &journal{}, 19, nil), store.ErrNotRetained)
	wantIs(t, store.RestoreAt(t.Context(), dir, &journal{}, 26, nil), store.ErrNotRetained)
	if n != 2 {
		t.Errorf("%d errors, want 2", n)
	}
	s.Close()
}

// Beside an open store and after it, each state that is retained can be had.
func TestRestoreAtEveryIndex(t *testing.T) {
	const dir = "/at"
	memory(t, dir)
	s := open(t, dir, &journal{}, &store.Options{KeepSnapshots: 100, SnapshotBytes: -1})
	want := fill(t, s, 0, 25)
	for i := range want {
		m := &journal{}
		if err := store.RestoreAt(t.Context(), dir, m, uint64(i+1), nil); err != nil || !slices.Equal(m.updates, want[:i+1]) {
			t.Errorf("index %d: %d updates, %v", i+1, len(m.updates), err)
		}
	}
	m := &journal{}
	if err := store.RestoreAt(t.Context(), dir, m, 0, nil); err != nil || len(m.updates) != 0 {
		t.Errorf("index 0: %d updates, %v", len(m.updates), err)
	}
	var got []string
	for u, err := range store.ReadUpdates(t.Context(), dir, 0) {
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, string(u.Data))
	}
	if !slices.Equal(got, want) {
		t.Errorf("ReadUpdates returned %d updates, want %d", len(got), len(want))
	}
	s.Close()
}

func TestABackupMakesAStore(t *testing.T) {
	const dir = "/backup"
	memory(t, dir)
	s := open(t, dir, &journal{}, nil)
	want := fill(t, s, 0, 25)
	var b bytes.Buffer
	index, err := s.Backup(t.Context(), &b)
	if index != 25 || err != nil {
		t.Fatalf("Backup = %d, %v", index, err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err = s.Backup(ctx, &b)
	wantIs(t, err, context.Canceled)
	s.Close()

	state, _, _, err := stateio.Restore(bytes.NewReader(b.Bytes()), int64(b.Len()))
	if m := (&journal{}); err != nil || m.Restore(bytes.NewReader(state)) != nil || !slices.Equal(m.updates, want) {
		t.Errorf("package stateio reads %d bytes of state: %v", len(state), err)
	}
}

// stateFile returns a state file with a snapshot and updates after it.
func stateFile(t testing.TB, snapshot []string, updates ...string) []byte {
	t.Helper()
	var b bytes.Buffer
	w := stateio.NewWriter(&b, 0, 0)
	if snapshot != nil {
		var state bytes.Buffer
		if _, err := journalState(snapshot).WriteTo(&state); err != nil {
			t.Fatal(err)
		}
		if err := w.Snapshot(state.Bytes()); err != nil {
			t.Fatal(err)
		}
	}
	for _, u := range updates {
		if err := w.Update([]byte(u)); err != nil {
			t.Fatal(err)
		}
	}
	return b.Bytes()
}

func TestImport(t *testing.T) {
	many := make([]string, 3000)
	for i := range many {
		many[i] = strings.Repeat("u", i)
	}
	for i, tt := range []struct{ snapshot, updates []string }{
		{[]string{}, nil}, {[]string{"s"}, nil}, {nil, []string{"u", ""}}, {[]string{"s", "t"}, many},
	} {
		dir := fmt.Sprint("/import", i)
		memory(t, dir)
		b := stateFile(t, tt.snapshot, tt.updates...)
		if err := store.Import(dir, bytes.NewReader(b), int64(len(b))); err != nil {
			t.Fatal(err)
		}
		wantIs(t, store.Import(dir, bytes.NewReader(b), int64(len(b))), fs.ErrExist)
		m := &journal{}
		s := open(t, dir, m, nil)
		if want := slices.Concat(tt.snapshot, tt.updates); !slices.Equal(m.updates, want) || s.Index() != uint64(len(tt.updates)) {
			t.Errorf("%d: %d updates at index %d, want %d at %d", i, len(m.updates), s.Index(), len(want), len(tt.updates))
		}
		s.Close()
	}
}

// Every file of a store is a state file of package stateio.
func TestFilesOfAStoreAreStateFiles(t *testing.T) {
	const dir = "/state"
	mem, _ := memory(t, dir)
	s := open(t, dir, &journal{}, nil)
	want := fill(t, s, 0, 25)
	s.Close()
	updates := 0
	for name, b := range readFiles(t, mem, dir) {
		_, epoch, r, err := stateio.Restore(bytes.NewReader(b), int64(len(b)))
		if err != nil || epoch != 0 {
			t.Errorf("%s: epoch %d, %v", name, epoch, err)
			continue
		}
		for u, err := range r.All() {
			if err != nil {
				t.Errorf("%s: %v", name, err)
				break
			}
			if strings.HasSuffix(name, ".log") && slices.ContainsFunc(want, func(w string) bool { return bytes.HasSuffix(u, []byte(w)) }) {
				updates++
			}
		}
	}
	if updates < len(want) {
		t.Errorf("the logs hold %d updates, want %d", updates, len(want))
	}
}

// The update after the newest snapshot is the next, whatever a crash has brought
// back of the logs before it.
func TestReadUpdatesBehindLogsThatCameBack(t *testing.T) {
	const dir = "/r9"
	mem, f := memory(t, dir)
	o := &store.Options{KeepSnapshots: 1, SnapshotBytes: -1, PreallocateBytes: 4096}
	s := open(t, dir, &journal{}, o)
	update(t, s, "1")
	check(t, s.Close())
	s = open(t, dir, &journal{}, o)
	update(t, s, "2")
	check(t, s.Snapshot(t.Context()))
	update(t, s, "3")
	var states []*memfs.FS
	f.OnOp(func(op faultfs.Op) {
		if op.Kind == faultfs.OpSyncDir {
			for st := range mem.CrashStates() {
				states = append(states, st)
			}
		}
	})
	check(t, s.Snapshot(t.Context()))
	f.OnOp(nil)
	for _, st := range states {
		mount(t, dir, st)
		s := open(t, dir, &journal{}, o)
		for _, err := range store.ReadUpdates(t.Context(), dir, s.Stats().Durable+1) {
			t.Error(err)
		}
		s.Close()
	}
	if len(states) < 10 {
		t.Errorf("%d states", len(states))
	}
}

// A loop may end its context and then itself.
func TestALoopOverUpdatesThatCancelsAndBreaks(t *testing.T) {
	const dir = "/cancelbreak"
	memory(t, dir)
	s := open(t, dir, &journal{}, nil)
	for _, u := range []string{"one", "two"} {
		update(t, s, u)
	}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	for _, err := range store.ReadUpdates(ctx, dir, 1) {
		check(t, err)
		cancel()
		break
	}
	check(t, s.Close())
}

// An answering is a machine whose Apply returns when the test says with what.
type answering struct {
	nothing
	in  chan struct{}
	out chan error
}

func (m *answering) Apply([]byte) (any, error) {
	m.in <- struct{}{}
	return nil, <-m.out
}

// An update that is being applied when the store is closed may be acknowledged still: whoever
// waits for it gets it then, and is told that it will not come if Apply refuses it.
func TestWhatIsAppliedWhileTheStoreIsClosedComes(t *testing.T) {
	waits := map[string]func(s *store.Store) error{
		"WaitIndex": func(s *store.Store) error { return s.WaitIndex(context.Background(), 1) },
		"Updates": func(s *store.Store) error {
			for _, err := range s.Updates(context.Background(), 1) {
				return err
			}
			return nil
		},
	}
	for name, wait := range waits {
		for answer, want := range map[error]error{nil: nil, errRefused: store.ErrClosed} {
			const dir = "/followclosing"
			memory(t, dir)
			m := &answering{in: make(chan struct{}), out: make(chan error)}
			s := openOnly(t, dir, m, nil)
			made, closed, waited := make(chan error, 1), make(chan error, 1), make(chan error, 1)
			go func() {
				_, err := s.Update(context.Background(), []byte("last"))
				made <- err
			}()
			store.Arrives(t, m.in, "the update is not applied")
			go func() { closed <- s.Close() }()
			store.Settle() // it waits for Apply
			go func() { waited <- wait(s) }()
			store.Settle()
			m.out <- answer
			if err := store.Arrives(t, made, "the update has not ended"); !errors.Is(err, answer) {
				t.Errorf("%s: the update: %v, want %v", name, err, answer)
			}
			if err := store.Arrives(t, waited, name+" has not ended"); !errors.Is(err, want) {
				t.Errorf("%s, when Apply has returned %v: %v, want %v", name, answer, err, want)
			}
			check(t, store.Arrives(t, closed, "Close has not ended"))
		}
	}
}

// The updates of a store that is closed are read from its files. Where another store has taken the
// place of those, its updates are not told for them.
func TestUpdatesOfAClosedStoreAreItsOwn(t *testing.T) {
	const dir = "/followclosed"
	mem, _ := memory(t, dir)
	s := open(t, dir, &journal{}, nil)
	update(t, s, "one")
	check(t, s.Close())
	read := func() (got []string, err error) {
		for u, err := range s.Updates(t.Context(), 1) {
			if err != nil {
				return got, err
			}
			got = append(got, string(u.Data))
		}
		return got, nil
	}
	if got, err := read(); !slices.Equal(got, []string{"one"}) || !errors.Is(err, store.ErrClosed) {
		t.Errorf("closed: %q, %v", got, err)
	}
	check(t, mem.Rename(dir, dir+".old"))
	other := open(t, dir, &journal{}, nil)
	update(t, other, "another")
	if got, err := read(); len(got) > 0 || !errors.Is(err, store.ErrCorrupt) {
		t.Errorf("with another store in its place: %q, %v", got, err)
	}
	check(t, other.Close())
}
