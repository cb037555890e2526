package store_test

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"
	"syscall"
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

// picky is a journal that refuses one update.
type picky struct {
	journal
	update string
}

func (p *picky) Apply(u []byte) (any, error) {
	if string(u) == p.update {
		return nil, errRefused
	}
	return p.journal.Apply(u)
}

// A machine that refuses what it took before is told apart from damage, and
// where: nothing on disk is wrong.
func TestAMachineThatRefusesItsOwnPastIsReported(t *testing.T) {
	const dir = "/past"
	mem, _ := memory(t, dir)
	s := open(t, dir, &journal{}, &store.Options{SnapshotBytes: -1})
	update(t, s, "one")
	update(t, s, "two")
	s.Close()
	before := readFiles(t, mem, dir)
	_, err := store.Open(dir, &picky{update: "two"}, quiet(nil))
	wantIs(t, err, errRefused)
	if errors.Is(err, store.ErrCorrupt) || !strings.Contains(err.Error(), "update 2, at offset 106 of "+dir+"/"+log0) {
		t.Errorf("got %v", err)
	}
	for name, b := range readFiles(t, mem, dir) {
		if !bytes.Equal(b, before[name]) {
			t.Errorf("%s has changed", name)
		}
	}
	wantUpdates(t, dir, "one", "two")
}

// Recovery tells what was read and where, and what was cut off.
func TestRecoveryTellsWhatOpenFound(t *testing.T) {
	const dir = "/found"
	fl, _ := build(t, dir, 9, 20, snapshot, 30, 40, killed)
	used := headerLen + 2*entryLen + 30 + 40
	torn := replace(fl[log1], used-1, []byte{fl[log1][used-1] ^ 1})
	for _, tt := range []struct {
		log     []byte
		updates uint64
		torn    int64
		text    string
	}{
		{fl[log1], 2, 0, fmt.Sprintf("recovered index 3 from %s, replayed 2 updates of 1 logs, read 0.0 MB in ", snap1)},
		{torn, 1, entryLen + 40, fmt.Sprintf("recovered index 2 from %s, replayed 1 updates of 1 logs, cut %d torn bytes off %s at offset %d (no valid record), read 0.0 MB in ",
			snap1, entryLen+40, log1, headerLen+entryLen+30)},
	} {
		now := files{log0: fl[log0], snap1: fl[snap1], log1: tt.log}
		unmount := storefs.Mount(dir, now.mem(t, dir))
		s := open(t, dir, &plainMachine{}, nil)
		r := s.Recovery()
		s.Close()
		unmount()
		want := store.Recovery{
			Index: 1 + tt.updates, Snapshot: dir + "/" + snap1, SnapshotIndex: 1, Logs: 1, Updates: tt.updates,
			Bytes: int64(len(fl[snap1])) + int64(used) - tt.torn, Took: r.Took,
		}
		if tt.torn > 0 {
			want.TornBytes, want.TornPath, want.TornOffset, want.TornReason = tt.torn, dir+"/"+log1, int64(used)-tt.torn, "no valid record"
		}
		if fmt.Sprint(r) != fmt.Sprint(want) || fmt.Sprintf("%#v", r) != fmt.Sprintf("%#v", want) {
			t.Errorf("got\n%#v, want\n%#v", r, want)
		}
		if !strings.HasPrefix(r.String(), tt.text) {
			t.Errorf("got %q, want %q", r, tt.text)
		}
	}
	if (store.Recovery{Bytes: 5}).Rate() != 0 || (store.Recovery{Bytes: 500, Took: 5e8}).Rate() != 1000 {
		t.Error("the rate is wrong")
	}
}

// Directories above the store are made, and made durable, from the top down.
func TestTheDirectoryIsMadeDurable(t *testing.T) {
	const dir = "/one/two/three"
	_, f := memory(t, dir)
	var did []string
	f.OnOp(func(op fsys.Op) {
		if op.Kind == fsys.OpMkdir || op.Kind == fsys.OpSyncDir {
			did = append(did, op.String())
		}
	})
	open(t, dir, &journal{}, nil).Close()
	want := []string{"mkdir /one", "syncdir /", "mkdir /one/two", "syncdir /one", "mkdir " + dir, "syncdir /one/two"}
	if len(did) < len(want) || !slices.Equal(did[:len(want)], want) {
		t.Errorf("got %q, want %q first", did, want)
	}
	for _, kind := range []fsys.Kind{fsys.OpMkdir, fsys.OpSyncDir, fsys.OpStat, fsys.OpList} {
		f := fsys.NewFaulty(fsys.NewMem(fsys.MemOptions{}))
		f.Inject(fsys.Fault{Kinds: kind, Err: syscall.EIO})
		unmount := storefs.Mount(dir, f)
		_, err := store.Open(dir, &journal{}, quiet(nil))
		unmount()
		wantIs(t, err, syscall.EIO)
	}
}

// What is almost a name of a store's file is not one, and is left alone.
func TestNamesThatAreAlmostThoseOfAStore(t *testing.T) {
	const dir = "/almost"
	fl, want := build(t, "/made", 2, 20, 30)
	for _, name := range []string{
		"+0000000000000000009.log", "0000000000000000009.log", "000000000000000000009.log", "00000000000000000009.lo",
		"99999999999999999999.log", "0000000000000000000x.snap", "00000000000000000009", "00000000000000000009.tmp", "lost+found",
	} {
		fl[name] = []byte("mine")
	}
	mem := fl.mem(t, dir)
	mount(t, dir, mem)
	m := &journal{}
	open(t, dir, m, nil).Close()
	after := readFiles(t, mem, dir)
	for name, b := range fl {
		if string(b) == "mine" && string(after[name]) != "mine" {
			t.Errorf("%s is gone", name)
		}
	}
	if len(m.updates) != int(want.Count) {
		t.Errorf("%d updates, want %d", len(m.updates), want.Count)
	}
}
