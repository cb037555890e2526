package store_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stateio/stateio/internal/fsys"
	"github.com/stateio/stateio/internal/fsys/faultfs"
	"github.com/stateio/stateio/store"
)

func TestAFullDiskRefusesUpdatesAndLosesNothing(t *testing.T) {
	t.Run("preallocated", func(t *testing.T) { fillMemory(t, nil) })
	t.Run("file system without preallocation", func(t *testing.T) {
		fillMemory(t, &faultfs.Fault{Kinds: faultfs.OpPreallocate, Err: errors.ErrUnsupported, Forever: true})
	})
}

func fillMemory(t *testing.T, fault *faultfs.Fault) {
	const dir = "/full"
	mem, fs := memory(t, dir)
	if fault != nil {
		fs.Inject(*fault)
	}
	mem.SetQuota(100_000)
	m := &journal{}
	s := open(t, dir, m, &store.Options{SnapshotBytes: -1})
	var want []string
	u := bytes.Repeat([]byte("u"), 700)
	fill := func() {
		t.Helper()
		for {
			ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
			_, err := s.Update(ctx, u)
			cancel()
			if errors.Is(err, store.ErrNoSpace) {
				break
			}
			if err != nil {
				t.Fatal(err)
			}
			want = append(want, string(u))
		}
	}
	fill()
	if len(want) < 100 || len(m.updates) != len(want) || s.Index() != uint64(len(want)) {
		t.Errorf("%d updates fit, %d are in the machine, index %d", len(want), len(m.updates), s.Index())
	}
	if err := s.View(func() error { return nil }); err != nil {
		t.Error(err)
	}
	wantIs(t, s.Snapshot(t.Context()), store.ErrNoSpace)
	mem.SetQuota(200_000)
	fill()
	if len(want) < 200 {
		t.Errorf("%d updates fit after the space was doubled", len(want))
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	mem.SetQuota(1)
	m = &journal{}
	s = open(t, dir, m, nil)
	if len(m.updates) != len(want) {
		t.Errorf("on a full disk, %d updates of %d were recovered", len(m.updates), len(want))
	}
	mem.SetQuota(400_000)
	update(t, s, "more")
	if err := s.Snapshot(t.Context()); err != nil {
		t.Error(err)
	}
	s.Close()
	wantUpdates(t, dir, append(want, "more")...)
}

// Where space can't be set aside, it is written: an update finds it there.
func TestSpaceIsWrittenWhereItCantBePreallocated(t *testing.T) {
	const dir = "/unsupported"
	mem, fs := memory(t, dir)
	fs.Inject(faultfs.Fault{Kinds: faultfs.OpPreallocate, Err: errors.ErrUnsupported, Forever: true})
	s := open(t, dir, &journal{}, &store.Options{PreallocateBytes: 1 << 20})
	update(t, s, "one")
	used := mem.Used()
	if used < 16<<10 || used > 16<<10+4096 {
		t.Errorf("%d bytes of the disk are used, want 16 KiB and little more", used)
	}
	mem.SetQuota(1) // nothing more
	update(t, s, "two")
	if mem.Used() != used {
		t.Errorf("an update has used another %d bytes", mem.Used()-used)
	}
	check(t, s.Close())
	mem.SetQuota(0)
	wantUpdates(t, dir, "one", "two")
}

// A server of files may say only in answer to a sync that it has no space for what was written. An
// update is refused then, and the store goes on.
func TestAServerWithoutSpaceSaysSoWhenZerosAreSynced(t *testing.T) {
	const dir = "/server"
	mem, fs := memory(t, dir)
	unsupported := faultfs.Fault{Kinds: faultfs.OpPreallocate, Err: errors.ErrUnsupported, Forever: true}
	fs.Inject(unsupported)
	s := open(t, dir, &journal{}, &store.Options{SnapshotBytes: -1})
	update(t, s, "one")
	size := func() int64 {
		info, err := mem.Stat(filepath.Join(dir, log0))
		check(t, err)
		return info.Size
	}
	before := size()
	fs.Inject(faultfs.Fault{Kinds: faultfs.OpSync | faultfs.OpDatasync, Path: log0, Err: syscall.ENOSPC, Forever: true})
	_, err := s.Update(t.Context(), make([]byte, 100<<10))
	wantIs(t, err, store.ErrNoSpace)
	if n := size(); n != before {
		t.Errorf("the log has %d bytes, and had %d", n, before)
	}
	fs.Heal()
	fs.Inject(unsupported)
	large := strings.Repeat("2", 100<<10)
	update(t, s, large)
	check(t, s.Close())
	wantUpdates(t, dir, "one", large)
}

// What the sync of zeros tells is not to be told of a commit, nor the other way round: none is between
// the write of a commit and its sync.
func TestNoZerosAreWrittenDuringACommit(t *testing.T) {
	const dir = "/between"
	_, fs := memory(t, dir)
	fs.Inject(faultfs.Fault{Kinds: faultfs.OpPreallocate, Err: errors.ErrUnsupported, Forever: true})
	s := open(t, dir, &journal{}, &store.Options{SnapshotBytes: -1})
	update(t, s, "one")
	synced, release := make(chan struct{}), make(chan struct{})
	var commit, between atomic.Int64
	fs.OnOp(func(op faultfs.Op) {
		switch {
		case !strings.HasSuffix(op.Path, ".log") || op.Kind&(faultfs.OpWrite|faultfs.OpSync|faultfs.OpDatasync) == 0:
		case commit.Load() == 2:
			between.Add(1)
		case op.Kind == faultfs.OpDatasync && commit.CompareAndSwap(1, 2):
			close(synced)
			<-release
			commit.Store(3)
		}
	})
	commit.Store(1)
	done := make(chan error, 2)
	submit := func(u []byte) {
		_, err := s.Update(context.Background(), u)
		done <- err
	}
	go submit([]byte("two"))
	store.Arrives(t, synced, "an update is not committed")
	go submit(make([]byte, 100<<10))
	store.Settle()
	if n := between.Load(); n > 0 {
		t.Errorf("%d operations came between a commit's write and the end of its sync", n)
	}
	close(release)
	for range 2 {
		check(t, store.Arrives(t, done, "an update does not return"))
	}
	check(t, s.Close())
}

// Updates do not have to wait for space: a commit sets it aside while there is a
// quarter left of what was.
func TestSpaceIsSetAsideBeforeItIsShort(t *testing.T) {
	const dir, piece = "/ahead", 10_000
	mem, _ := memory(t, dir)
	s := open(t, dir, &journal{}, &store.Options{PreallocateBytes: piece, SnapshotBytes: -1})
	end := int64(headerLen)
	for range 100 {
		update(t, s, strings.Repeat("u", 64))
		end += entryLen + 64
		info, err := mem.Stat(filepath.Join(dir, log0))
		check(t, err)
		if left := info.Size - end; left < piece/4 || left > piece/4+piece {
			t.Fatalf("%d bytes are left after offset %d, want a quarter of %d, and not much more than all of it", left, end, piece)
		}
	}
}

// Where there is less than a store would set aside, it leaves what it has no need of:
// a snapshot makes room only if it can be written.
func TestALogLeavesSpaceForTheSnapshot(t *testing.T) {
	const dir = "/little"
	for _, err := range []error{nil, errors.ErrUnsupported} {
		mem, fs := memory(t, dir)
		if err != nil {
			fs.Inject(faultfs.Fault{Kinds: faultfs.OpPreallocate, Err: err, Forever: true})
		}
		fs.Inject(faultfs.Fault{Kinds: faultfs.OpFree, Err: errors.ErrUnsupported, Forever: true})
		mem.SetQuota(3 << 20)
		s := open(t, dir, &keepLast{}, &store.Options{SnapshotBytes: -1})
		for range 2000 { // until the next piece would be more than what is left
			update(t, s, strings.Repeat("x", 1000))
		}
		logged := s.Stats().SinceSnapshot
		if used := mem.Used(); used > logged+logged/4 { // pages of 4096 bytes, and those of other files
			t.Errorf("preallocation: %v: %d bytes are used of which %d are logged", err, used, logged)
		}
		check(t, s.Snapshot(t.Context()))
		mem.SetQuota(0)
		for range 15 { // doubled each time, they make 4 MiB of 300 bytes
			before := mem.Used()
			for mem.Used() == before {
				update(t, s, strings.Repeat("x", 300))
			}
		}
		end := s.Stats().SinceSnapshot
		if used := mem.Used(); used < end+1<<20 {
			t.Errorf("preallocation: %v: %d bytes are used, and %d logged: want 1 MiB set aside when there was space again", err, used, end)
		}
		check(t, s.Close())
	}
}

// A disk that is full is not asked again and again for what it does not have.
func TestARefusedUpdateAsksForSpaceOnce(t *testing.T) {
	const dir = "/refused"
	mem, fs := memory(t, dir)
	mem.SetQuota(100_000)
	s := open(t, dir, &journal{}, nil)
	refused := func() (changes int) {
		fs.OnOp(func(op faultfs.Op) {
			if op.Kind&faultfs.Changes != 0 {
				changes++
			}
		})
		defer fs.OnOp(nil)
		_, err := s.Update(t.Context(), make([]byte, 100_000))
		wantIs(t, err, store.ErrNoSpace)
		return changes
	}
	refused()
	if n := refused(); n != 2 { // what was got of it is given back
		t.Errorf("%d operations change the disk for an update that is refused, want 2", n)
	}
	update(t, s, "that there is space for")
	check(t, s.Close())
}

func TestANewStoreOpensOnAFullDisk(t *testing.T) {
	const dir = "/fullnew"
	mem, _ := memory(t, dir)
	mem.SetQuota(1)
	s := open(t, dir, &journal{}, nil)
	_, err := s.Update(t.Context(), []byte("one"))
	wantIs(t, err, store.ErrNoSpace)
	wantIs(t, err, fsys.ErrNoSpace)
	wantIs(t, s.Snapshot(t.Context()), store.ErrNoSpace)
	mem.SetQuota(0)
	update(t, s, "two")
	s.Close()
	wantUpdates(t, dir, "two")
}

// A store that had no space for its first log makes a snapshot as soon as it has.
func TestASnapshotBeforeTheFirstLog(t *testing.T) {
	const dir = "/snapnew"
	mem, _ := memory(t, dir)
	mem.SetQuota(1)
	s := open(t, dir, &journal{}, nil)
	mem.SetQuota(0)
	check(t, s.Snapshot(t.Context()))
	update(t, s, "one")
	check(t, s.Close())
	wantUpdates(t, dir, "one")
}

// A cantSnapshot is a machine with a state that it can't capture any more.
type cantSnapshot struct {
	journal
	fails bool
	calls int
}

func (m *cantSnapshot) Snapshot() (io.WriterTo, error) {
	m.calls++
	if m.fails {
		return nil, errors.New("it holds what can't be written")
	}
	return m.journal.Snapshot()
}

// While snapshots fail for another reason than space, updates get all the space that there is,
// and those that there is none for do not have the snapshot tried again and again.
func TestNoSpaceIsKeptForASnapshotThatFails(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const dir, size = "/cant", 16 << 10
		mem, _ := memory(t, dir)
		m := &cantSnapshot{}
		s := open(t, dir, m, &store.Options{KeepSnapshots: 1, PreallocateBytes: 64 << 10})
		u := make([]byte, size)
		for range 64 {
			update(t, s, string(u))
		}
		check(t, s.Snapshot(t.Context()))
		m.fails = true
		mem.SetQuota(mem.Used() + 3<<20) // the next snapshot takes more than 1 MiB
		tries := func(n int) (refused int) {
			for range n {
				if _, err := s.Update(t.Context(), u); err != nil {
					wantIs(t, err, store.ErrNoSpace)
					refused++
				}
				synctest.Wait()
			}
			return refused
		}
		tries(400)
		if free, err := mem.Free("/"); err != nil || free > 4*size {
			t.Errorf("updates are refused while %d bytes are free, %v", free, err)
		}
		before := m.calls
		if n := tries(100); n != 100 || m.calls != before {
			t.Errorf("%d updates of 100 were refused, and the snapshot was tried %d times more", n, m.calls-before)
		}
		m.fails = false
		mem.SetQuota(mem.Used() + 8<<20)
		time.Sleep(time.Minute)
		mem.SetQuota(mem.Used() + size/2)
		if n := tries(1); n != 1 {
			t.Error("an update was made without space")
		}
		if st := s.Stats(); m.calls != before+1 {
			t.Errorf("a minute later, the snapshot was tried %d times: %v", m.calls-before, st.SnapshotError)
		}
		check(t, s.Close())
	})
}

// A store that is smaller than what is kept for its next snapshot has that made when an update
// would take of it.
func TestASmallStoreMakesRoomOnAShortDisk(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const dir = "/small"
		mem, _ := memory(t, dir)
		mem.SetQuota(95_000)
		s := open(t, dir, &keepLast{}, nil)
		var err error
		for err == nil {
			_, err = s.Update(t.Context(), make([]byte, 1000))
		}
		wantIs(t, err, store.ErrNoSpace)
		synctest.Wait()
		if st := s.Stats(); st.Snapshots != 1 || st.SnapshotError != nil {
			t.Errorf("after %v: %d snapshots were made, %v", err, st.Snapshots, st.SnapshotError)
		}
		check(t, s.Close())
	})
}

// A sized machine has a state of so many bytes, whatever is applied.
type sized struct {
	size int
	gate chan struct{} // if not nil, WriteTo waits for it
}

func (*sized) Apply([]byte) (any, error) { return nil, nil }
func (*sized) Restore(io.Reader) error   { return nil }

func (m *sized) Snapshot() (io.WriterTo, error) {
	return store.WriterFunc(func(w io.Writer) error {
		if m.gate != nil {
			<-m.gate
		}
		_, err := w.Write(make([]byte, m.size))
		return err
	}), nil
}

// onShortDisk opens a store that has two snapshots, on a disk on which so many percent of the
// size of another one are free. It is called in a bubble.
func onShortDisk(t *testing.T, dir string, m *sized, percent int) *store.Store {
	mem, _ := memory(t, dir)
	s := open(t, dir, m, &store.Options{PreallocateBytes: 64 << 10})
	for range 2 {
		update(t, s, "one")
		check(t, s.Snapshot(t.Context()))
	}
	synctest.Wait() // the last one has ended, and the files before it are removed
	mem.SetQuota(mem.Used() + int64(m.size*percent/100))
	return s
}

// A disk that others keep nearly full has no snapshot made for each few updates: they would
// write many times what they free. The store makes room all the same, and refuses nothing.
func TestADiskThatStaysShortHasFewSnapshots(t *testing.T) {
	const size, updates, logged = 4 << 20, 5000, 500 + entryLen
	for percent, share := range map[int]uint64{108: 64, 120: 16, 140: 16} {
		synctest.Test(t, func(t *testing.T) {
			s := onShortDisk(t, "/staysshort", &sized{size: size}, percent)
			for range updates {
				update(t, s, strings.Repeat("u", 500))
				synctest.Wait()
			}
			st := s.Stats()
			if n := st.Snapshots - 2; n < 2 || n > updates*logged*share/size || st.SnapshotError != nil {
				t.Errorf("%d %% of a snapshot are free: %d were made of %d bytes of log, %v", percent, n, updates*logged, st.SnapshotError)
			}
			check(t, s.Close())
		})
	}
}

// What updates lacked while a snapshot was made is no reason for another one after it.
func TestASnapshotMakesRoomForWhatCameMeanwhile(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := &sized{size: 4 << 20}
		s := onShortDisk(t, "/meanwhile", m, 130)
		m.gate = make(chan struct{})
		for !s.Stats().SnapshotRunning {
			update(t, s, strings.Repeat("u", 500))
		}
		for range 200 {
			update(t, s, strings.Repeat("u", 500))
		}
		close(m.gate)
		synctest.Wait()
		update(t, s, "one more")
		synctest.Wait()
		if st := s.Stats(); st.Snapshots != 3 || st.SnapshotError != nil {
			t.Errorf("%d snapshots were made to make room, %v, want 1", st.Snapshots-2, st.SnapshotError)
		}
		check(t, s.Close())
	})
}
