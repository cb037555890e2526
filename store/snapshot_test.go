package store_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stateio/stateio/internal/fsys/faultfs"
	"github.com/stateio/stateio/store"
)

func TestSnapshotsBoundTheLogAndAreKept(t *testing.T) {
	const dir = "/keep"
	mem, _ := memory(t, dir)
	s := open(t, dir, &journal{}, &store.Options{KeepSnapshots: 3, SnapshotBytes: -1})
	var want []string
	for i := range 6 {
		for j := range 10 {
			u := fmt.Sprint(i, j)
			update(t, s, u)
			want = append(want, u)
		}
		for range 2 { // the second has nothing to do
			if err := s.Snapshot(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
	}
	st := s.Stats()
	if st.Snapshots != 6 || st.SnapshotIndex != 60 || st.SinceSnapshot != 0 || st.SnapshotBytes == 0 {
		t.Errorf("stats: %+v", st)
	}
	s.Close()
	got := readFiles(t, mem, dir).names()
	if !slices.Equal(got, []string{
		"00000000000000000040.log", "00000000000000000040.snap", "00000000000000000050.log", "00000000000000000050.snap",
		"00000000000000000060.log", "00000000000000000060.snap",
	}) {
		t.Errorf("the directory holds %q", got)
	}
	wantUpdates(t, dir, want...)
}

func TestSnapshotsStartByThemselves(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const dir = "/auto"
		memory(t, dir)
		s := open(t, dir, &journal{}, &store.Options{SnapshotBytes: 10_000})
		for range 100 {
			update(t, s, strings.Repeat("u", 964)) // 1000 in the log
			synctest.Wait()
		}
		if st := s.Stats(); st.Snapshots < 9 || st.Snapshots > 10 || st.SinceSnapshot > 11_000 {
			t.Errorf("%d snapshots were made of 100 kB of log, %d bytes since the last", st.Snapshots, st.SinceSnapshot)
		}
		s.Close()
	})
}

// What is applied and not committed when a snapshot begins is in it, and no log after it.
func TestWhatASnapshotCommitsIsInIt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const dir = "/commits"
		memory(t, dir)
		s := open(t, dir, &journal{}, &store.Options{SnapshotBytes: -1, SyncInterval: time.Hour})
		update(t, s, "one")
		_, err := s.Submit([]byte("two"))
		check(t, err)
		check(t, s.Snapshot(t.Context()))
		if st := s.Stats(); st.SnapshotIndex != 2 || st.SinceSnapshot != 0 {
			t.Errorf("%d bytes of log are after the snapshot of index %d, want none after 2", st.SinceSnapshot, st.SnapshotIndex)
		}
		check(t, s.Close())
	})
}

// By default, that is when 64 MiB of log are after the last one.
func TestSnapshotsStartByThemselvesByDefault(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const dir, size = "/default", 1 << 20
		memory(t, dir)
		s := open(t, dir, nothing{}, nil)
		for i := range 64 {
			if st := s.Stats(); st.Snapshots != 0 {
				t.Fatalf("a snapshot was made of %d MiB of log", i)
			}
			update(t, s, strings.Repeat("u", size-entryLen))
			synctest.Wait()
		}
		if st := s.Stats(); st.Snapshots != 1 || st.SinceSnapshot > 2*size {
			t.Errorf("%d snapshots were made of 64 MiB of log, %d bytes since", st.Snapshots, st.SinceSnapshot)
		}
		check(t, s.Close())
	})
}

// While a snapshot is being made none starts by itself, however much is logged.
func TestOneSnapshotStartsAtATime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const dir = "/slow"
		memory(t, dir)
		m := &troubled{}
		captures, release := 0, make(chan struct{})
		m.snapshot = func() (io.WriterTo, error) {
			captures++
			return captured{func(io.Writer) error { <-release; return nil }, new(int)}, nil
		}
		s := open(t, dir, m, &store.Options{SnapshotBytes: 1000})
		update(t, s, strings.Repeat("u", 964))
		synctest.Wait()
		for range 50 {
			update(t, s, strings.Repeat("u", 964))
		}
		stacks := make([]byte, 1<<20)
		if n := bytes.Count(stacks[:runtime.Stack(stacks, true)], []byte(".makeSnapshot(")); n != 1 {
			t.Errorf("%d snapshots are being made, want 1", n)
		}
		close(release)
		synctest.Wait()
		update(t, s, "one more")
		synctest.Wait()
		if captures != 2 {
			t.Errorf("%d snapshots were begun, want one in the midst of the updates, and one after them", captures)
		}
		check(t, s.Close())
	})
}

// After one that failed, the next snapshot does not start with the next commit.
func TestSnapshotsThatFailAreNotMadeAllTheTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const dir, size = "/again", 1 << 20
		memory(t, dir)
		m := &troubled{}
		tries := 0
		m.snapshot = func() (io.WriterTo, error) {
			tries++
			return nil, errors.New("not now")
		}
		s := open(t, dir, m, &store.Options{SnapshotBytes: size})
		for i := range 18 {
			update(t, s, strings.Repeat("u", size-entryLen))
			synctest.Wait()
			if want := 1 + (i+1)/17; tries != want { // a quarter of 64 MiB later
				t.Errorf("%d MiB were logged, and %d snapshots tried, want %d", i+1, tries, want)
			}
		}
		check(t, s.Close())
	})
}

// troubled is a journal whose snapshots go wrong.
type troubled struct {
	journal
	snapshot func() (io.WriterTo, error)
}

func (m *troubled) Snapshot() (io.WriterTo, error) { return m.snapshot() }

// captured is a state that counts calls of Close.
type captured struct {
	write  func(w io.Writer) error
	closed *int
}

func (c captured) WriteTo(w io.Writer) (int64, error) { return 0, c.write(w) }

func (c captured) Close() error {
	*c.closed++
	return nil
}

func TestAFailingSnapshotDoesNotHurtUpdates(t *testing.T) {
	const dir = "/trouble"
	_, fs := memory(t, dir)
	m := &troubled{}
	s := open(t, dir, m, &store.Options{SnapshotBytes: -1})
	closed, captures := 0, 0
	good := func(w io.Writer) error { _, err := journalState(m.updates[:1]).WriteTo(w); return err }
	bad := errors.New("bad state")
	capture := func(write func(w io.Writer) error) func() (io.WriterTo, error) {
		return func() (io.WriterTo, error) {
			captures++
			return captured{write, &closed}, nil
		}
	}
	var want []string
	for i, tt := range []struct {
		name     string
		snapshot func() (io.WriterTo, error)
		fault    faultfs.Fault
		want     string
	}{
		{"error", func() (io.WriterTo, error) { return nil, bad }, faultfs.Fault{}, "bad state"},
		{"nil", func() (io.WriterTo, error) { return nil, nil }, faultfs.Fault{}, "neither"},
		{"panic", func() (io.WriterTo, error) { panic("ouch") }, faultfs.Fault{}, "ouch"},
		{"write error", capture(func(io.Writer) error { return bad }), faultfs.Fault{}, "bad state"},
		{"write panic", capture(func(io.Writer) error { panic("ouch") }), faultfs.Fault{}, "ouch"},
		{"create", capture(good), faultfs.Fault{Kinds: faultfs.OpCreate, Path: "*.snap.tmp"}, "unexpected EOF"},
		{"create log", capture(good), faultfs.Fault{Kinds: faultfs.OpCreate, Path: "*.log.tmp"}, "unexpected EOF"},
		{"write file", capture(good), faultfs.Fault{Kinds: faultfs.OpWrite, Path: "*.snap.tmp"}, "unexpected EOF"},
		{"sync", capture(good), faultfs.Fault{Kinds: faultfs.OpSync, Path: "*.snap.tmp"}, "unexpected EOF"},
		{"read back", capture(good), faultfs.Fault{Kinds: faultfs.OpRead, Path: "*.snap.tmp"}, "unexpected EOF"},
		{"lost write", capture(good), faultfs.Fault{Kinds: faultfs.OpDropCache, Path: "*.snap.tmp"}, "unexpected EOF"},
		{"rename", capture(good), faultfs.Fault{Kinds: faultfs.OpRename, Path: "*.snap"}, "unexpected EOF"},
		{"rename log", capture(good), faultfs.Fault{Kinds: faultfs.OpRename, Path: "*.log"}, "unexpected EOF"},
	} {
		m.snapshot = tt.snapshot
		u := fmt.Sprint(i)
		update(t, s, u)
		want = append(want, u)
		if tt.fault.Kinds != 0 {
			fs.Inject(tt.fault)
		}
		err := s.Snapshot(t.Context())
		fs.Heal()
		if err == nil || !strings.Contains(err.Error(), tt.want) || !strings.HasPrefix(err.Error(), "store: ") {
			t.Errorf("%s: got error %v, want one with %q", tt.name, err, tt.want)
		}
		if st := s.Stats(); st.SnapshotsFailed != uint64(i+1) || st.SnapshotError == nil || st.Snapshots != 0 {
			t.Errorf("%s: stats: %+v", tt.name, st)
		}
		if closed != captures {
			t.Errorf("%s: %d states were captured, %d closed", tt.name, captures, closed)
		}
	}
	m.snapshot = m.journal.Snapshot
	if err := s.Snapshot(t.Context()); err != nil {
		t.Error(err)
	}
	if st := s.Stats(); st.SnapshotError != nil || st.Snapshots != 1 {
		t.Errorf("stats: %+v", st)
	}
	s.Close()
	wantUpdates(t, dir, want...)
}

// Updates go on while a snapshot is written, and it is that of its moment.
func TestUpdatesGoOnWhileASnapshotIsWritten(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const dir = "/beside"
		mem, _ := memory(t, dir)
		m := &troubled{}
		s := open(t, dir, m, &store.Options{SnapshotBytes: -1})
		update(t, s, "one")
		gate := make(chan struct{})
		m.snapshot = func() (io.WriterTo, error) {
			state, err := m.journal.Snapshot()
			closed := 0
			return captured{func(w io.Writer) error {
				<-gate
				_, err := state.WriteTo(w)
				return err
			}, &closed}, err
		}
		done := make(chan error, 1)
		go func() { done <- s.Snapshot(t.Context()) }()
		synctest.Wait()
		update(t, s, "two")
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		wantIs(t, s.Snapshot(ctx), context.Canceled)
		update(t, s, "three")
		close(gate)
		if err := <-done; err != nil {
			t.Error(err)
		}
		synctest.Wait()
		s.Close()
		names := readFiles(t, mem, dir).names()
		if !slices.Contains(names, "00000000000000000001.snap") {
			t.Errorf("the directory holds %q", names)
		}
		wantUpdates(t, dir, "one", "two", "three")
	})
}

func TestCloseGivesUpASnapshot(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const dir = "/giveup"
		mem, _ := memory(t, dir)
		m := &troubled{}
		s := open(t, dir, m, &store.Options{SnapshotBytes: -1})
		update(t, s, "one")
		closed := 0
		m.snapshot = func() (io.WriterTo, error) {
			return captured{func(w io.Writer) error {
				for { // a state without end
					if _, err := w.Write(make([]byte, 100_000)); err != nil {
						return err
					}
				}
			}, &closed}, nil
		}
		done := make(chan error, 1)
		go func() { done <- s.Snapshot(t.Context()) }()
		if err := s.Close(); err != nil {
			t.Error(err)
		}
		if err := <-done; !errors.Is(err, store.ErrClosed) {
			t.Errorf("the snapshot: %v, want ErrClosed", err)
		}
		for _, name := range readFiles(t, mem, dir).names() {
			if strings.Contains(name, "snap") {
				t.Errorf("%s was left", name)
			}
		}
		wantUpdates(t, dir, "one")
	})
}

// A log that was begun and can't be removed again fails the store, whatever the
// reason: nothing is said of space that somebody could wait for.
func TestARotationThatCantBeUndoneFailsTheStore(t *testing.T) {
	const dir = "/r12"
	name := "00000000000000000001.log"
	begins := map[string]faultfs.Fault{
		"its name can't be made durable": {Kinds: faultfs.OpSyncDir, Err: syscall.ENOSPC},
		"the seal finds no space":        {Kinds: faultfs.OpWrite, Path: log0, Err: syscall.ENOSPC},
	}
	for _, tt := range []struct {
		why    string
		faults []faultfs.Fault // besides that for which it is given up
		says   string
	}{
		{"the removal can't be made durable", []faultfs.Fault{{Kinds: faultfs.OpSyncDir, N: 2, Err: syscall.ENOSPC}}, name},
		{"it can't be removed", []faultfs.Fault{{Kinds: faultfs.OpRemove, Path: name, Err: syscall.EIO}}, "it can't be removed"},
		{"nobody knows", []faultfs.Fault{{Kinds: faultfs.OpRemove, Path: name, Err: syscall.EIO}, {Kinds: faultfs.OpStat, Path: name, Err: syscall.EACCES}}, "permission denied"},
	} {
		for method, rotate := range map[string]func(s *store.Store) error{
			"Snapshot": func(s *store.Store) error { return s.Snapshot(t.Context()) },
			"Close":    (*store.Store).Close,
		} {
			for begin, fault := range begins {
				_, f := memory(t, dir)
				s := open(t, dir, &journal{}, nil)
				update(t, s, "a")
				f.Inject(fault)
				for _, fault := range tt.faults {
					f.Inject(fault)
				}
				for _, err := range []error{rotate(s), s.Stats().Err, s.Close()} {
					if !errors.Is(err, store.ErrFailed) || errors.Is(err, store.ErrNoSpace) || !strings.Contains(fmt.Sprint(err), tt.says) {
						t.Errorf("%s, %s, %s: got error %v, want ErrFailed, not ErrNoSpace, and %q", method, begin, tt.why, err, tt.says)
					}
				}
				wantUpdates(t, dir, "a")
			}
		}
	}
}

// A seal that there is no space for, as where files are copied on write, is not made: the log goes on,
// and the next one is given up. Only one that is there in spite of the error fails the store.
func TestASealWithoutSpaceIsNotMade(t *testing.T) {
	const dir = "/noseal"
	for short, there := range map[int]bool{0: false, 20: false, 700: true} { // bytes written
		for _, snapshot := range []bool{true, false} {
			mem, f := memory(t, dir)
			s := open(t, dir, &journal{}, &store.Options{SnapshotBytes: -1})
			update(t, s, "a")
			want := []string{"a"}
			f.Inject(faultfs.Fault{Kinds: faultfs.OpWrite, Path: log0, Err: syscall.ENOSPC, Short: short})
			if snapshot && !there {
				wantIs(t, s.Snapshot(t.Context()), store.ErrNoSpace)
				update(t, s, "b")
				want = append(want, "b")
			} else if snapshot {
				wantIs(t, s.Snapshot(t.Context()), store.ErrFailed)
			}
			if err := s.Close(); errors.Is(err, store.ErrFailed) != there || !there && err != nil {
				t.Errorf("snapshot %v, %d bytes written: Close: %v", snapshot, short, err)
			}
			if names := readFiles(t, mem, dir).names(); !snapshot && slices.Contains(names, log1) != there {
				t.Errorf("%d bytes written: the files are %q", short, names)
			}
			wantUpdates(t, dir, want...)
		}
	}
}

// The initial state can be snapshotted, too, and no state is twice.
func TestASnapshotOfTheInitialState(t *testing.T) {
	const dir = "/initial"
	mem, _ := memory(t, dir)
	s := open(t, dir, &journal{}, nil)
	for range 2 {
		check(t, s.Snapshot(t.Context()))
		if st := s.Stats(); st.Snapshots != 1 {
			t.Errorf("%d snapshots were made, want 1", st.Snapshots)
		}
	}
	if names := readFiles(t, mem, dir).names(); !slices.Contains(names, snap0) {
		t.Errorf("there is no snapshot among %q", names)
	}
	update(t, s, "one")
	check(t, s.Close())
	wantUpdates(t, dir, "one")
}

// A log without its seal is not gone on after.
func TestASealThatFailsFailsTheStore(t *testing.T) {
	const dir = "/seal"
	for _, kind := range []faultfs.Kind{faultfs.OpWrite, faultfs.OpDatasync} {
		_, f := memory(t, dir)
		s := open(t, dir, &journal{}, nil)
		update(t, s, "one")
		f.Inject(faultfs.Fault{Kinds: kind, Path: log0, Err: syscall.EIO, Short: 10})
		wantIs(t, s.Snapshot(t.Context()), store.ErrFailed)
		_, err := s.Update(t.Context(), []byte("refused"))
		wantIs(t, err, store.ErrFailed)
		wantIs(t, s.Close(), store.ErrFailed)
		wantUpdates(t, dir, "one")
	}
}

// A snapshot that fails may leave the file that it was writing, if that can't be
// removed either. The next one writes over it.
func TestASnapshotAfterOneThatHasLeftItsFiles(t *testing.T) {
	const dir = "/left"
	for _, suffix := range []string{".log.tmp", ".snap.tmp"} {
		mem, f := memory(t, dir)
		s := open(t, dir, &journal{}, nil)
		update(t, s, "a")
		f.Inject(faultfs.Fault{Kinds: faultfs.OpSync, Path: "*" + suffix, Err: syscall.EIO})
		f.Inject(faultfs.Fault{Kinds: faultfs.OpRemove, Path: "*" + suffix, Err: syscall.EIO})
		wantIs(t, s.Snapshot(t.Context()), syscall.EIO)
		if names := unfinished(mem, dir); len(names) != 1 || !strings.HasSuffix(names[0], suffix) {
			t.Errorf("%q are left, want one that ends with %s", names, suffix)
		}
		check(t, s.Snapshot(t.Context()))
		if names := unfinished(mem, dir); len(names) > 0 {
			t.Errorf("%q are left after the next snapshot", names)
		}
		check(t, s.Close())
	}
}
