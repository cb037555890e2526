package store_test

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/stateio/stateio/internal/fsys"
	"github.com/stateio/stateio/internal/storefs"
	"github.com/stateio/stateio/store"
)

func TestRestoreAtSaysWhatItCannotDo(t *testing.T) {
	const dir = "/cannot"
	fl, _ := build(t, "/made", 1, 20, snapshot, 30, 40, snapshot, 50)
	mount(t, dir, fl.mem(t, dir))
	if err := store.RestoreAt(dir, nil, 3); err == nil || !strings.Contains(err.Error(), "nil") {
		t.Errorf("without a machine: %v", err)
	}
	for _, index := range []uint64{0, 1, 2, 5, 1 << 60} {
		err := store.RestoreAt(dir, &plainMachine{}, index)
		wantIs(t, err, store.ErrNotRetained)
		if !strings.Contains(err.Error(), dir) || !strings.Contains(err.Error(), fmt.Sprint(index)) {
			t.Errorf("%q does not tell the directory and the update", err)
		}
	}
	for index := uint64(3); index <= 4; index++ {
		if err := store.RestoreAt(dir, &plainMachine{}, index); err != nil {
			t.Errorf("update %d: %v", index, err)
		}
	}
	mount(t, "/nobody", files{"mine": nil}.mem(t, "/nobody"))
	if err := store.RestoreAt("/nobody", &plainMachine{}, 0); err == nil || !strings.Contains(err.Error(), "no store in /nobody") {
		t.Errorf("without a store: %v", err)
	}
	if err := store.RestoreAt("/nowhere", &plainMachine{}, 0); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("without a directory: %v", err)
	}
}

// A state is had from the files that hold it, whatever became of those behind
// them. Those before it have to be there.
func TestRestoreAtNeedsOnlyWhatIsBehindIt(t *testing.T) {
	const dir = "/needs"
	whole := checkedStore(t)
	newer := maps.Clone(whole)
	newer[log4] = newer[log4][:20]
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
		{3, newer, nil, nil},
		{1, whole, []string{log1}, store.ErrCorrupt}, // it shows which store the snapshot is of
		{2, whole, []string{log1}, store.ErrCorrupt},
		{4, whole, []string{log3}, store.ErrCorrupt},
	} {
		fl := maps.Clone(tt.fl)
		for _, name := range tt.lost {
			delete(fl, name)
		}
		unmount := storefs.Mount(dir, fl.mem(t, dir))
		wantIs(t, store.RestoreAt(dir, &plainMachine{}, tt.index), tt.want)
		unmount()
	}
}

// An Open that cuts off the remainder of a commit may do so while the log is read.
func TestRestoreAtBesideACut(t *testing.T) {
	const dir = "/cut"
	const block = 32 << 10
	fl, _ := build(t, "/made", 2, block-headerLen-entryLen-5, killed) // ends 5 bytes before a block
	mem := files{log0: slices.Concat(fl[log0][:block-5], make([]byte, 5), []byte("torn"))}.mem(t, dir)
	f := fsys.NewFaulty(mem)
	mount(t, dir, f)
	f.OnOp(func(op fsys.Op) {
		if op.Kind == fsys.OpRead {
			check(t, overwrite(mem, op.Path, 0, nil, block-5))
		}
	})
	err := store.RestoreAt(dir, &plainMachine{}, 2)
	wantIs(t, err, store.ErrNotRetained)
	if !strings.Contains(err.Error(), "ends with update 1, before 2") {
		t.Errorf("got %v", err)
	}
}
