package store_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/stateio/stateio/internal/fsys/faultfs"
	"github.com/stateio/stateio/internal/storefs"
	"github.com/stateio/stateio/store"
)

func TestRestoreAtSaysWhatItCannotDo(t *testing.T) {
	const dir = "/cannot"
	fl, _ := build(t, "/made", 1, 20, snapshot, 30, 40, snapshot, 50)
	mount(t, dir, fl.mem(t, dir))
	if err := store.RestoreAt(t.Context(), dir, nil, 3, nil); err == nil || !strings.Contains(err.Error(), "nil") {
		t.Errorf("without a machine: %v", err)
	}
	for _, index := range []uint64{0, 1, 2, 5, 1 << 60} {
		err := store.RestoreAt(t.Context(), dir, &plainMachine{}, index, nil)
		wantIs(t, err, store.ErrNotRetained)
		why := "is older than what is kept"
		if index > 4 {
			why = "ends with update 4, before"
		}
		if !strings.Contains(err.Error(), why) || !strings.Contains(err.Error(), dir) || !strings.Contains(err.Error(), fmt.Sprint(index)) {
			t.Errorf("%q does not tell the directory and the update", err)
		}
	}
	for index := uint64(3); index <= 4; index++ {
		if err := store.RestoreAt(t.Context(), dir, &plainMachine{}, index, nil); err != nil {
			t.Errorf("update %d: %v", index, err)
		}
	}
	mount(t, "/nobody", files{"mine": nil}.mem(t, "/nobody"))
	if err := store.RestoreAt(t.Context(), "/nobody", &plainMachine{}, 0, nil); err == nil || !strings.Contains(err.Error(), "no store in /nobody") {
		t.Errorf("without a store: %v", err)
	}
	if err := store.RestoreAt(t.Context(), "/nowhere", &plainMachine{}, 0, nil); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("without a directory: %v", err)
	}
}

// A state is had from the files that hold it, whatever became of those after
// them. Those before it have to be there.
func TestRestoreAtNeedsOnlyWhatIsBehindIt(t *testing.T) {
	const dir = "/needs"
	whole := checkedStore(t)
	newer := maps.Clone(whole)
	newer[log4] = newer[log4][:20]
	unknown := maps.Clone(whole) // which store the newest snapshot is of
	unknown[log3] = unknown[log3][:20]
	for _, tt := range []struct {
		index uint64
		fl    files
		lost  []string
		want  error
	}{
		{1, whole, []string{log3}, nil},
		{2, whole, []string{log3}, nil},
		{3, whole, []string{log3, snap3, log4}, nil},
		{4, whole, []string{log4}, nil},
		{2, files{snap3: whole[snap3]}, nil, store.ErrNotRetained},
		{3, newer, nil, nil},
		{3, unknown, nil, nil}, // from the snapshot before, and the log after it
		{4, unknown, nil, store.ErrCorrupt},
		{1, whole, []string{log1}, nil}, // the snapshot is all of it
		{2, whole, []string{log1}, store.ErrCorrupt},
		{4, whole, []string{log3}, store.ErrCorrupt},
	} {
		fl := maps.Clone(tt.fl)
		for _, name := range tt.lost {
			delete(fl, name)
		}
		unmount := storefs.Mount(dir, fl.mem(t, dir))
		wantIs(t, store.RestoreAt(t.Context(), dir, &plainMachine{}, tt.index, nil), tt.want)
		unmount()
	}
}

// A crash in the middle of removing old logs may bring back the first of them
// without the next: what they held was dropped.
func TestRestoreAtBehindLogsThatCameBack(t *testing.T) {
	const dir = "/back"
	fl := maps.Clone(checkedStore(t))
	delete(fl, snap1)
	delete(fl, log1)
	mount(t, dir, fl.mem(t, dir))
	if _, err := store.Check(t.Context(), dir, nil); err != nil {
		t.Fatal(err)
	}
	check(t, store.RestoreAt(t.Context(), dir, &plainMachine{}, 1, nil)) // all of it is in the first log
	err := store.RestoreAt(t.Context(), dir, &plainMachine{}, 2, nil)
	wantIs(t, err, store.ErrNotRetained)
	if !strings.Contains(err.Error(), "were dropped from /back, after a snapshot of update 3") {
		t.Errorf("got %v", err)
	}
	check(t, store.RestoreAt(t.Context(), dir, &plainMachine{}, 3, nil))
}

// An Open that cuts off the remainder of a commit may do so while the log is read.
func TestRestoreAtBesideACut(t *testing.T) {
	const dir = "/cut"
	const block = 32 << 10
	fl, _ := build(t, "/made", 2, block-headerLen-entryLen-5, killed) // ends 5 bytes before a block
	mem := files{log0: slices.Concat(fl[log0][:block-5], make([]byte, 5), []byte("torn"))}.mem(t, dir)
	f := faultfs.New(mem)
	mount(t, dir, f)
	f.OnOp(func(op faultfs.Op) {
		if op.Kind == faultfs.OpRead {
			check(t, overwrite(mem, op.Path, 0, nil, block-5))
		}
	})
	err := store.RestoreAt(t.Context(), dir, &plainMachine{}, 2, nil)
	wantIs(t, err, store.ErrNotRetained)
	if !strings.Contains(err.Error(), "ends with update 1, before 2") {
		t.Errorf("got %v", err)
	}
}

// A snapshot that a newer one has replaced after the directory was listed is not
// missed.
func TestRestoreAtFromASnapshotThatIsReplacedMeanwhile(t *testing.T) {
	const dir = "/replaced"
	mem, _ := memory(t, dir)
	s := open(t, dir, &journal{}, &store.Options{KeepSnapshots: 1, SnapshotBytes: -1, PreallocateBytes: 4096})
	update(t, s, "a")
	check(t, s.Snapshot(t.Context()))
	update(t, s, "b")
	f := faultfs.New(mem) // of RestoreAt alone
	mount(t, dir, f)
	f.OnOp(func(op faultfs.Op) {
		if op.Kind == faultfs.OpOpen {
			f.OnOp(nil)
			check(t, s.Snapshot(t.Context()))
		}
	})
	m := &journal{}
	var progress told
	var states []uint64
	check(t, store.RestoreAt(t.Context(), dir, m, 2, &store.RestoreOptions{
		Progress: progress.add,
		State:    func(index uint64) { states = append(states, index) },
	}))
	progress.verify(t, 1<<20)
	if !slices.Equal(m.updates, []string{"a", "b"}) || !slices.Equal(states, []uint64{2}) {
		t.Errorf("restored %q, told of the states %d", m.updates, states)
	}
	update(t, s, "c")
	f.OnOp(func(op faultfs.Op) {
		if op.Kind == faultfs.OpOpen {
			f.OnOp(nil)
			check(t, s.Snapshot(t.Context()))
			f.Inject(faultfs.Fault{Kinds: faultfs.OpRead, Path: "*.snap", Err: syscall.EIO})
		}
	})
	wantIs(t, store.RestoreAt(t.Context(), dir, &journal{}, 3, nil), syscall.EIO)
}

// A file that is listed and not there, for whatever reason, is an error, also if
// the directory can't be listed again to find out why, or the store not checked.
func TestRestoreAtOfFilesThatAreListedOnly(t *testing.T) {
	const dir = "/listed"
	gone := faultfs.Fault{Kinds: faultfs.OpOpen, Path: "*.*", Err: syscall.ENOENT, Forever: true}
	unlisted := faultfs.Fault{Kinds: faultfs.OpList, N: 2, Err: syscall.EIO}
	whole := checkedStore(t)
	damaged := maps.Clone(whole)
	damaged[log1] = replace(damaged[log1], headerLen+20, []byte{^damaged[log1][headerLen+20]})
	for _, tt := range []struct {
		fl     files
		faults []faultfs.Fault
		want   error
	}{
		{whole, []faultfs.Fault{gone}, fs.ErrNotExist},
		{whole, []faultfs.Fault{gone, unlisted}, fs.ErrNotExist},
		{files{log0: whole[log0], log1: whole[log1]}, []faultfs.Fault{gone}, fs.ErrNotExist},
		{damaged, []faultfs.Fault{unlisted}, store.ErrCorrupt},
	} {
		f := faultfs.New(tt.fl.mem(t, dir))
		for _, fault := range tt.faults {
			f.Inject(fault)
		}
		unmount := storefs.Mount(dir, f)
		wantIs(t, store.RestoreAt(t.Context(), dir, &plainMachine{}, 2, nil), tt.want)
		unmount()
	}
}

// What looks like damage in a store that is written may be none: RestoreAt looks again. If its
// context ends meanwhile, nobody knows, and the error is that of the context.
func TestAContextThatEndsWhileRestoreAtLooksAgain(t *testing.T) {
	const dir, other = "/doubted", "/doubted/." // the same directory
	ended := 0
	for at := 1; at <= 16; at++ { // operations of RestoreAt, before which two commits are made
		for after := 1; after <= 18; after++ { // further ones, before which the context ends
			mem, _ := memory(t, dir)
			s := openOnly(t, dir, &journal{}, nil)
			update(t, s, "1")
			ctx, cancel := context.WithCancel(t.Context())
			ops, fs := 0, faultfs.New(mem)
			fs.OnOp(func(faultfs.Op) {
				switch ops++; ops {
				case at:
					update(t, s, "2")
					update(t, s, "3")
				case at + after:
					cancel()
				}
			})
			unmount := storefs.Mount(other, fs)
			err := store.RestoreAt(ctx, other, &journal{}, 3, nil)
			if errors.Is(err, store.ErrCorrupt) {
				t.Errorf("two commits were made before operation %d, and the context ended %d after that: %v", at, after, err)
			}
			if errors.Is(err, context.Canceled) {
				ended++
			}
			cancel()
			unmount()
			check(t, s.Close())
		}
	}
	if ended == 0 {
		t.Error("RestoreAt has never ended with its context")
	}
}

// A machine that holds a part of the logs already is not given them again.
func TestRestoreAtDoesNotReplayTwice(t *testing.T) {
	const dir = "/twice"
	whole := checkedStore(t)
	mem := files{log0: whole[log0], log1: whole[log1], log3: whole[log3]}.mem(t, dir)
	f := faultfs.New(mem)
	mount(t, dir, f)
	looked := false // at its header, before anything is read
	f.OnOp(func(op faultfs.Op) {
		if op.Kind == faultfs.OpOpen && filepath.Base(op.Path) == log1 {
			if !looked {
				looked = true
				return
			}
			check(t, mem.Rename(op.Path, filepath.Join(dir, snap3)))
		}
	})
	wantIs(t, store.RestoreAt(t.Context(), dir, &plainMachine{}, 2, nil), fs.ErrNotExist)
}

// RestoreAt passes on what the machine says, and does not ask it again.
func TestRestoreAtPassesOnWhatTheMachineSays(t *testing.T) {
	const dir = "/r10"
	memory(t, dir)
	s := open(t, dir, &journal{}, &store.Options{KeepSnapshots: 100})
	update(t, s, "a")
	for _, want := range []error{fs.ErrNotExist, store.ErrCorrupt} {
		calls := 0
		err := store.RestoreAt(t.Context(), dir, refusing(func() error {
			calls++
			check(t, s.Snapshot(t.Context()))
			update(t, s, "b")
			return want
		}), 1, nil)
		if !errors.Is(err, want) || calls != 1 {
			t.Errorf("%d calls, error %v, want %v", calls, err, want)
		}
	}
}

// refusing is a machine that refuses updates and states.
type refusing func() error

func (r refusing) Apply([]byte) (any, error)      { return nil, r() }
func (r refusing) Restore(io.Reader) error        { return r() }
func (r refusing) Snapshot() (io.WriterTo, error) { return nil, r() }
