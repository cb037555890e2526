package store_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/stateio/stateio/internal/crashtest"
	"github.com/stateio/stateio/internal/fsys"
	"github.com/stateio/stateio/internal/fsys/faultfs"
	"github.com/stateio/stateio/internal/fsys/memfs"
	"github.com/stateio/stateio/internal/storefs"
	"github.com/stateio/stateio/internal/wine"
	"github.com/stateio/stateio/store"
)

const (
	linkedDir = "/linked" // of the store
	copyDir   = "/copy"   // with links to its files
)

// linkAll is cp -al: it gives all files of a directory a name in another.
func linkAll(t *testing.T, mem *memfs.FS, from, to string) {
	t.Helper()
	check(t, mem.Mkdir(to, 0o700))
	entries, err := mem.List(from)
	check(t, err)
	for _, e := range entries {
		check(t, mem.Link(filepath.Join(from, e.Name), filepath.Join(to, e.Name)))
	}
}

// At every moment of a store's life a copy of it is made with hard links. Each of the
// two goes on as if the other were not there: the copy with what was acknowledged by
// then, and what was on its way.
func TestAStoreAndItsHardLinkedCopyGoOnSeparately(t *testing.T) {
	for n := int64(1); ; n++ {
		l := newLinked(t, memfs.New(memfs.Options{}))
		came := l.run(n)
		if t.Failed() {
			t.Fatalf("the links were made at operation %d", n)
		}
		if !came {
			break
		}
	}
}

// A linked is a store of which a copy with hard links is made.
type linked struct {
	t       *testing.T
	mem     *memfs.FS
	f       *faultfs.FS
	acked   []string
	made    bool
	atLeast int // updates that the copy has
}

func newLinked(t *testing.T, mem *memfs.FS) *linked {
	return &linked{t: t, mem: mem, f: faultfs.New(mem)}
}

func (l *linked) run(n int64) (came bool) {
	defer storefs.Mount(linkedDir, l.f)()
	defer storefs.Mount(copyDir, l.mem)()
	l.f.OnOp(func(op faultfs.Op) {
		if op.N == n {
			l.link()
		}
	})
	l.live(linkedDir, &l.acked, "a", "b")
	l.live(linkedDir, &l.acked, "c")
	l.f.OnOp(nil)
	if !l.made {
		return l.f.Ops() >= n // as when the directory was not there
	}
	var copied []string
	l.judge(copyDir, &copied, l.atLeast)
	for range 2 {
		l.live(copyDir, &copied, "x", "y")
		l.live(linkedDir, &l.acked, "z")
	}
	return true
}

func (l *linked) link() {
	if _, err := l.mem.Stat(linkedDir); err != nil {
		return
	}
	linkAll(l.t, l.mem, linkedDir, copyDir)
	l.made, l.atLeast = true, len(l.acked)
}

// judge opens a store, and takes what is there for what should be.
func (l *linked) judge(dir string, have *[]string, atLeast int) {
	m := &journal{}
	s, err := store.Open(dir, m, quiet(nil))
	if err != nil {
		l.t.Errorf("the copy does not open: %v", err)
		return
	}
	defer s.Close()
	if n := len(m.updates); n < atLeast || n > len(l.acked) || !slices.Equal(m.updates, l.acked[:n]) {
		l.t.Errorf("the copy has %q of %q, of which %d were acknowledged before it was made", m.updates, l.acked, atLeast)
	}
	*have = m.updates
}

// live opens the store in dir, which should have what have says, makes updates and
// a snapshot, and closes it.
func (l *linked) live(dir string, have *[]string, updates ...string) {
	m := &journal{}
	s, err := store.Open(dir, m, quiet(&store.Options{SnapshotBytes: -1, PreallocateBytes: 600, KeepSnapshots: 1}))
	if err != nil {
		l.t.Errorf("the store in %s: %v", dir, err)
		return
	}
	if !slices.Equal(m.updates, *have) {
		l.t.Errorf("the store in %s has %q, should have %q", dir, m.updates, *have)
	}
	for _, u := range updates {
		for i := range 3 {
			u := fmt.Sprint(u, i)
			if _, err := s.Update(context.Background(), []byte(u)); err != nil {
				l.t.Errorf("the store in %s: %v", dir, err)
			}
			*have = append(slices.Clone(*have), u)
		}
		if err := s.Snapshot(context.Background()); err != nil {
			l.t.Errorf("the store in %s: %v", dir, err)
		}
	}
	if err := s.Close(); err != nil {
		l.t.Errorf("the store in %s: %v", dir, err)
	}
}

// While a store is open, a copy with hard links can't be opened, and is told why; once
// it has made two updates, it can.
func TestAHardLinkedCopyOfAnOpenStore(t *testing.T) {
	if wine.Runs() {
		t.Skip("Wine can't replace an open file")
	}
	for _, remove := range []bool{false, true} {
		top := t.TempDir()
		dir, other := filepath.Join(top, "store"), filepath.Join(top, "copy")
		m := &journal{}
		s := open(t, dir, m, nil)
		update(t, s, "one")
		check(t, os.Mkdir(other, 0o700))
		names, err := os.ReadDir(dir)
		check(t, err)
		for _, name := range names {
			if err := os.Link(filepath.Join(dir, name.Name()), filepath.Join(other, name.Name())); err != nil {
				t.Skip(err)
			}
		}
		if remove {
			check(t, os.Remove(filepath.Join(other, lockFile)))
		}
		_, err = store.Open(other, &journal{}, quiet(nil))
		wantIs(t, err, store.ErrLocked)
		if err != nil && !strings.Contains(err.Error(), "cp -al") {
			t.Errorf("%q does not tell of the links", err)
		}
		update(t, s, "two")
		update(t, s, "three")
		copied := &journal{}
		c := open(t, other, copied, nil)
		update(t, c, "of the copy")
		update(t, s, "four")
		check(t, s.Close())
		check(t, c.Close())
		open(t, dir, m, nil).Close()
		m = &journal{}
		open(t, dir, m, nil).Close()
		if want := "[one two three four]"; fmt.Sprint(m.updates) != want {
			t.Errorf("the store has %v, should have %v", m.updates, want)
		}
		copied = &journal{}
		open(t, other, copied, nil).Close()
		if want := "[one two of the copy]"; fmt.Sprint(copied.updates) != want {
			t.Errorf("the copy has %v, should have %v", copied.updates, want)
		}
	}
}

// Whoever follows the updates gets all of them, though the log that is read is
// replaced by a copy.
func TestUpdatesGoOnInTheCopyOfALog(t *testing.T) {
	mem, _ := memory(t, linkedDir)
	s := open(t, linkedDir, &journal{}, &store.Options{SnapshotBytes: -1})
	update(t, s, "1")
	got := uint64(0)
	for u, err := range s.Updates(t.Context(), 1) {
		check(t, err)
		if got++; u.Index != got || string(u.Data) != fmt.Sprint(got) {
			t.Errorf("update %d is %q", u.Index, u.Data)
		}
		if got == 2 {
			linkAll(t, mem, linkedDir, copyDir)
		}
		if got == 6 {
			break
		}
		update(t, s, fmt.Sprint(got+1))
	}
}

// While a log with another name is copied, and after, the power may go at any moment.
func TestAPowerCutWhileALinkedLogIsCopied(t *testing.T) {
	rng := rand.New(rand.NewPCG(8, 8))
	mem := memfs.New(memfs.Options{PageSize: 512, Garbage: true})
	f := faultfs.New(mem)
	h := crashtest.NewHistory()
	type state struct {
		mem  *memfs.FS
		hist *crashtest.History
		when string
	}
	var states []state
	func() {
		defer storefs.Mount(linkedDir, f)()
		s := open(t, linkedDir, &crashtest.Machine{}, &store.Options{PreallocateBytes: 600, SnapshotBytes: -1})
		updateHistory(t, s, h)
		for i := range 3 {
			linkAll(t, mem, linkedDir, fmt.Sprint(copyDir, i))
			f.OnOp(func(op faultfs.Op) {
				for range 10 {
					states = append(states, state{mem.Crash(rng), h.Clone(), "before " + op.String()})
				}
			})
			for range 4 {
				updateHistory(t, s, h)
			}
			f.OnOp(nil)
		}
		check(t, s.Close())
	}()
	for _, st := range states {
		if err := recovers(linkedDir, st.mem, st.hist); err != nil {
			t.Fatalf("a power cut %s: %v", st.when, err)
		}
	}
	t.Logf("%d states", len(states))
}

func updateHistory(t *testing.T, s *store.Store, h *crashtest.History) {
	t.Helper()
	if _, err := s.Update(t.Context(), h.Next(200)); err != nil {
		t.Fatal(err)
	}
	h.Acked(h.Len())
}

// Whatever fails while a log with another name is copied: nothing that was
// acknowledged is lost, of the store or of its copy, and the shared file is not
// written.
func TestFaultsWhileALinkedLogIsCopied(t *testing.T) {
	for _, errno := range []error{syscall.EIO, syscall.ENOSPC, syscall.EMFILE} {
		for _, after := range []bool{false, true} {
			for n := int64(1); ; n++ {
				l := newLinked(t, memfs.New(memfs.Options{}))
				hits := l.fail(faultfs.Fault{Kinds: faultfs.AnyOp &^ (faultfs.OpClose | faultfs.OpUnlock), N: n, Err: errno, After: after})
				if t.Failed() {
					t.Fatalf("%v at operation %d, after it: %v", errno, n, after)
				}
				if hits == 0 {
					break
				}
			}
		}
	}
}

// fail makes updates after links were made, with a fault in one of their operations.
func (l *linked) fail(fault faultfs.Fault) (hits int64) {
	defer storefs.Mount(linkedDir, l.f)()
	defer storefs.Mount(copyDir, l.mem)()
	m := &journal{}
	s := open(l.t, linkedDir, m, &store.Options{SnapshotBytes: -1, PreallocateBytes: 600})
	update(l.t, s, "first")
	linkAll(l.t, l.mem, linkedDir, copyDir)
	injected := l.f.Inject(fault)
	acked := []string{"first"}
	for _, u := range []string{"second", "third", strings.Repeat("x", 700), "last"} {
		if _, err := s.Update(context.Background(), []byte(u)); err == nil {
			acked = append(acked, u)
		}
	}
	applied := slices.Clone(m.updates)
	hits = injected.Hits()
	l.f.Heal()
	_ = s.Close() // it may have failed
	m = &journal{}
	s, err := store.Open(linkedDir, m, quiet(nil))
	if err != nil {
		l.t.Errorf("the store: %v", err)
		return hits
	}
	defer s.Close()
	if len(m.updates) < len(acked) || !slices.Equal(m.updates, applied[:len(m.updates)]) {
		l.t.Errorf("%.20q were acknowledged, %.20q are there", acked, m.updates)
	}
	l.acked = []string{"first", "second"}
	l.judge(copyDir, new([]string), 1)
	return hits
}

// A log that has another name when the store is opened is copied before it is
// written, cut or sealed.
func TestALogWithTwoNamesIsNotWritten(t *testing.T) {
	mem, _ := memory(t, linkedDir)
	s := open(t, linkedDir, &journal{}, &store.Options{SnapshotBytes: -1})
	update(t, s, "one")
	check(t, mem.Mkdir("/kept", 0o700))
	killed := mem.Kill() // with a log that has no seal
	check(t, s.Close())
	mount(t, copyDir, killed)
	linkAll(t, killed, linkedDir, copyDir)
	before := readFiles(t, killed, linkedDir)
	c := open(t, copyDir, &journal{}, nil)
	update(t, c, "two")
	check(t, c.Snapshot(t.Context()))
	check(t, c.Close())
	if after := readFiles(t, killed, linkedDir); fmt.Sprint(before) != fmt.Sprint(after) {
		t.Error("the files of the store have changed")
	}
}

// On a full disk a store opens though its log has another name and a torn tail, and
// refuses updates until there is space for a copy.
func TestALogWithTwoNamesOnAFullDisk(t *testing.T) {
	mem, s := tornOnAFullDisk(t)
	before := readFiles(t, mem, copyDir) // what the failed sync lost is gone
	for range 2 {
		_, err := s.Update(t.Context(), []byte("two"))
		wantIs(t, err, store.ErrNoSpace)
	}
	mem.SetQuota(0)
	update(t, s, "two")
	check(t, s.Close())
	wantUpdates(t, linkedDir, "one", "two")
	if after := readFiles(t, mem, copyDir); fmt.Sprint(before) != fmt.Sprint(after) {
		t.Error("the files of the copy have changed")
	}
}

// tornOnAFullDisk opens a store whose log has a torn tail and another name, on a disk that is full.
func tornOnAFullDisk(t *testing.T) (*memfs.FS, *store.Store) {
	t.Helper()
	mem, f := memory(t, linkedDir)
	s := open(t, linkedDir, &journal{}, &store.Options{SnapshotBytes: -1, PreallocateBytes: 1})
	update(t, s, "one")
	f.Inject(faultfs.Fault{Kinds: faultfs.OpDatasync, Err: syscall.EIO})
	_, err := s.Update(t.Context(), []byte(strings.Repeat("torn ", 2000)))
	wantIs(t, err, store.ErrFailed)
	wantIs(t, s.Close(), store.ErrFailed)
	w, err := mem.Open(linkedDir+"/"+log0, fsys.ReadWrite, 0)
	check(t, err)
	_, err = w.WriteAt([]byte("garbage"), 5000) // within the second update
	check(t, err)
	check(t, w.Close())
	linkAll(t, mem, linkedDir, copyDir)
	mem.SetQuota(mem.Used())
	m := &journal{}
	s = open(t, linkedDir, m, &store.Options{SnapshotBytes: -1, PreallocateBytes: 1})
	if s.Recovery().TornBytes == 0 || len(m.updates) != 1 {
		t.Errorf("%v, %d updates", s.Recovery(), len(m.updates))
	}
	return mem, s
}

// The other name may go before there is space. Then the torn tail is cut off before anything is
// written, and a copy that is made later has all updates.
func TestATornTailIsCutWhenTheOtherNameIsGone(t *testing.T) {
	mem, s := tornOnAFullDisk(t)
	copied := linkedDir + "/" + log0
	check(t, mem.Remove(copyDir+"/"+log0))
	mem.SetQuota(0)
	update(t, s, "two")
	if size := len(readFiles(t, mem, linkedDir)[log0]); size > 5000 {
		t.Errorf("the log has %d bytes, with those of the torn tail", size)
	}
	check(t, mem.Link(copied, copyDir+"/"+log0))
	want := []string{"one", "two"}
	for i := range 5 {
		want = append(want, fmt.Sprint(i))
		update(t, s, want[len(want)-1])
	}
	check(t, s.Close())
	wantUpdates(t, linkedDir, want...)
}

// A copy of the log has taken its place, and it is not known whether a crash undoes that. Nothing is
// written any more until the store is opened again, and that it has failed is seen, whatever asks first.
func TestACopyOfTheLogThatMayBeUndoneFailsTheStore(t *testing.T) {
	for name, write := range map[string]func(s *store.Store, update []byte) error{
		"Update": func(s *store.Store, update []byte) error {
			_, err := s.Update(context.Background(), update)
			return err
		},
		"Change": func(s *store.Store, update []byte) error {
			_, err := s.Change(context.Background(), func(tx *store.Tx) error { return tx.Append(update) })
			return err
		},
	} {
		for _, size := range []int{1, 1 << 20} { // a commit, and space for one, change the file first
			mem, f := memory(t, linkedDir)
			s := open(t, linkedDir, &journal{}, &store.Options{SnapshotBytes: -1})
			update(t, s, "one")
			linkAll(t, mem, linkedDir, copyDir)
			update(t, s, "two") // with which the other name is seen
			f.Inject(faultfs.Fault{Kinds: faultfs.OpSyncDir, Err: syscall.EIO})
			wantIs(t, write(s, make([]byte, size)), store.ErrFailed)
			if err := s.Stats().Err; !errors.Is(err, store.ErrFailed) {
				t.Errorf("%s of %d bytes: the store says %v", name, size, err)
			}
			wantIs(t, s.Close(), store.ErrFailed)
			m := &journal{}
			check(t, open(t, linkedDir, m, nil).Close())
			if len(m.updates) < 2 {
				t.Errorf("%s of %d bytes: %d updates", name, size, len(m.updates))
			}
		}
	}
}

// Two stores whose LOCK is one file by a hard link do not keep one another out for
// ever: the first that is opened gets a LOCK of its own.
func TestALOCKWithTwoNamesIsReplaced(t *testing.T) {
	mem, _ := memory(t, linkedDir)
	mount(t, copyDir, mem)
	s := open(t, linkedDir, &journal{}, nil)
	update(t, s, "one")
	check(t, s.Close())
	linkAll(t, mem, linkedDir, copyDir)
	first := open(t, linkedDir, &journal{}, nil)
	second := open(t, copyDir, &journal{}, nil)
	update(t, first, "two")
	update(t, second, "three")
	for _, dir := range []string{linkedDir, copyDir} {
		if _, err := store.Open(dir, &journal{}, quiet(nil)); !errors.Is(err, store.ErrLocked) {
			t.Errorf("%s, once more: %v", dir, err)
		}
	}
}
