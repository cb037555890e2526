package store_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/stateio/stateio/internal/fsys/memfs"
	"github.com/stateio/stateio/internal/storefs"
	"github.com/stateio/stateio/store"
)

// journaled makes a store of a journal with n updates, "update 1" and so on, with
// snapshots and uses as drawn, and returns its files.
func journaled(t *testing.T, rng *rand.Rand, n int) files {
	t.Helper()
	const dir = "/journaled"
	mem := memfs.New(memfs.Options{})
	defer storefs.Mount(dir, mem)()
	m := &journal{}
	opts := &store.Options{KeepSnapshots: 2, SnapshotBytes: -1, PreallocateBytes: 4096}
	s := open(t, dir, m, opts)
	for i := 1; i <= n; i++ {
		var last *store.Ticket
		for range 1 + rng.IntN(3) { // a commit of some
			u := fmt.Sprintf("update %d", i)
			if rng.IntN(8) == 0 {
				u += strings.Repeat(" long", rng.IntN(2_000))
			}
			ticket, err := s.Submit([]byte(u))
			check(t, err)
			last = ticket
			if i++; i > n {
				break
			}
		}
		i--
		check(t, last.Wait(t.Context()))
		switch rng.IntN(12) {
		case 0:
			check(t, s.Snapshot(t.Context()))
		case 1:
			check(t, s.Close())
			*m = journal{}
			s = open(t, dir, m, opts)
		}
	}
	check(t, s.Close())
	return readFiles(t, mem, dir)
}

// harm damages one of the files, or takes it away.
func harm(rng *rand.Rand, fl files) {
	names := slices.Sorted(maps.Keys(fl))
	name := names[rng.IntN(len(names))]
	b := bytes.Clone(fl[name])
	if len(b) == 0 { // it was cut before
		return
	}
	at := rng.IntN(len(b))
	switch rng.IntN(6) {
	case 0:
		delete(fl, name)
		return
	case 1:
		b = b[:at]
	case 2:
		clear(b[at:min(len(b), at+512)])
	case 3:
		for i := at; i < min(len(b), at+4096); i++ {
			b[i] = byte(rng.Uint32())
		}
	default:
		b[at] ^= 1 << rng.IntN(8)
	}
	fl[name] = b
}

// wantPrefix fails unless the store holds the first updates up to index.
func wantPrefix(t *testing.T, dir string, index uint64) {
	t.Helper()
	m := &journal{}
	s := open(t, dir, m, nil)
	defer s.Close()
	if s.Index() != index || uint64(len(m.updates)) != index {
		t.Errorf("the repaired store has index %d and %d updates, want %d", s.Index(), len(m.updates), index)
	}
	for i, u := range m.updates {
		if want := fmt.Sprintf("update %d", i+1); strings.TrimSuffix(u, strings.TrimPrefix(u, want)) != want {
			t.Fatalf("update %d of the repaired store is %.30q", i+1, u)
		}
	}
}

// However a store is damaged, Repair saves the newest state that is exactly one it had,
// and leaves the store as it is.
func TestRepairSavesTheNewestExactState(t *testing.T) {
	const src, dst = "/damaged", "/repaired"
	rounds, each := 40, 500
	if testing.Short() {
		rounds, each = 8, 60
	}
	for round := range rounds {
		rng := rand.New(rand.NewPCG(uint64(round), 5))
		whole := journaled(t, rng, 1+rng.IntN(40))
		for range each {
			fl := maps.Clone(whole)
			for range 1 + rng.IntN(3) {
				if len(fl) > 0 {
					harm(rng, fl)
				}
			}
			repairOne(t, src, dst, fl)
			if t.Failed() {
				t.Fatalf("in round %d", round)
			}
		}
	}
}

func repairOne(t *testing.T, src, dst string, fl files) {
	t.Helper()
	mem := fl.mem(t, src)
	defer storefs.Mount(src, mem)()
	defer storefs.Mount(dst, memfs.New(memfs.Options{}))()
	reports, err := store.Check(t.Context(), src, nil)
	if err != nil {
		if len(fl) > 0 {
			t.Errorf("Check: %v", err)
		}
		return
	}
	last, ok := store.LastIntact(reports)
	rep, err := store.Repair(t.Context(), src, dst, nil)
	if after := readFiles(t, mem, src); !maps.EqualFunc(after, fl, bytes.Equal) {
		t.Error("Repair has changed the damaged store")
	}
	if !ok {
		wantIs(t, err, store.ErrCorrupt)
		return
	}
	if err != nil || rep.Index != last || !rep.Exact || rep.Snapshot+rep.Updates != rep.Index {
		t.Errorf("repaired: %+v, %v, want index %d", rep, err, last)
		return
	}
	wantPrefix(t, dst, last)
	for i, loss := range rep.Lost {
		if loss.Last != 0 && loss.First > loss.Last || loss.First <= last || i > 0 && loss.First <= rep.Lost[i-1].Last {
			t.Errorf("index %d was saved, and lost %+v", last, rep.Lost)
		}
	}
}

// Salvage keeps every update that can be read: with one flipped bit, all but the one it
// hits.
func TestSalvageKeepsEveryReadableUpdate(t *testing.T) {
	const src, dst = "/hit", "/salvaged"
	flips := 4000
	if testing.Short() {
		flips = 300
	}
	const n = 30
	mem := memfs.New(memfs.Options{})
	unmount := storefs.Mount(src, mem)
	s := open(t, src, &journal{}, &store.Options{PreallocateBytes: 1})
	for i := 1; i <= n; i += 3 {
		for k := range 3 {
			_, err := s.Submit(fmt.Appendf(nil, "update %d%s", i+k, strings.Repeat(" long", i*40)))
			check(t, err)
		}
		check(t, s.Sync(t.Context()))
	}
	whole := readFiles(t, mem, src)
	check(t, s.Close())
	unmount()
	rng := rand.New(rand.NewPCG(7, 7))
	used := len(bytes.TrimRight(whole[log0], "\x00"))
	for range flips {
		at := headerLen + rng.IntN(used-headerLen)
		fl := files{log0: spoil(whole[log0], at)}
		func() {
			defer storefs.Mount(src, fl.mem(t, src))()
			defer storefs.Mount(dst, memfs.New(memfs.Options{}))()
			rep, err := store.Repair(t.Context(), src, dst, &store.RepairOptions{Salvage: true})
			m := &journal{}
			if err == nil {
				_, err = store.Load(t.Context(), dst, m)
			}
			if err != nil || rep.Index < n-1 || len(m.updates) != int(rep.Index) {
				t.Fatalf("byte %d of %d flipped: %+v, %v, and %d updates", at, used, rep, err, len(m.updates))
			}
			if len(rep.Lost) > 1 || len(rep.Lost) == 1 && (rep.Lost[0].First != rep.Lost[0].Last || rep.Lost[0].Known) {
				t.Fatalf("byte %d flipped: lost %+v", at, rep.Lost)
			}
			if exact := len(rep.Lost) == 0 || rep.Lost[0].First == n; rep.Exact != exact {
				t.Errorf("byte %d flipped: %+v", at, rep)
			}
		}()
	}
}

// An update that the machine refuses can be dropped, and only that.
func TestRepairDropsAnUpdate(t *testing.T) {
	const src, dst = "/refusing", "/dropped"
	memory(t, src)
	memory(t, dst)
	s := open(t, src, &journal{}, nil)
	for _, u := range []string{"one", "bad", "three"} {
		update(t, s, u)
	}
	check(t, s.Close())
	_, err := store.Open(src, &picky{update: "bad"}, quiet(nil))
	var replay *store.ReplayError
	if !errors.As(err, &replay) {
		t.Fatal(err)
	}
	rep, err := store.Repair(t.Context(), src, dst, &store.RepairOptions{Drop: []uint64{replay.Index, 99}})
	if err != nil || rep.Exact || !slices.Equal(rep.Dropped, []uint64{2}) || rep.Index != 2 || len(rep.Lost) > 0 {
		t.Errorf("%+v, %v", rep, err)
	}
	m := &picky{update: "bad"}
	check(t, open(t, dst, m, nil).Close())
	if !slices.Equal(m.updates, []string{"one", "three"}) {
		t.Errorf("the new store holds %q", m.updates)
	}
}

// The new store is the old one's place: same identity, indexes and times, and goes on.
func TestARepairedStoreGoesOn(t *testing.T) {
	const src, dst = "/old", "/new"
	clock, _ := dialed(t, src)
	memory(t, dst)
	s := open(t, src, &diary{}, &store.Options{KeepSnapshots: 1})
	for i := range 5 {
		update(t, s, fmt.Sprint(i))
		clock.move(1e9)
		if i == 1 || i == 2 { // the first is dropped
			check(t, s.Snapshot(t.Context()))
		}
	}
	check(t, s.Close())
	rep, err := store.Repair(t.Context(), src, dst, nil)
	if err != nil || !rep.Exact || rep.Snapshot != 3 || rep.Index != 5 || len(rep.Lost)+len(rep.Damage) > 0 {
		t.Errorf("%+v, %v", rep, err)
	}
	old, repaired := &diary{}, &diary{}
	_, err = store.Load(t.Context(), src, old)
	check(t, err)
	s = open(t, dst, repaired, nil)
	if !slices.Equal(old.Entries, repaired.Entries) {
		t.Errorf("repaired to %v, want %v", repaired.Entries, old.Entries)
	}
	update(t, s, "more")
	check(t, s.Close())
	wantOrder(t, repaired)
}

// Repair refuses what it must not touch, and what it can't do.
func TestRepairRefuses(t *testing.T) {
	const src, dst = "/torepair", "/taken"
	fl, _ := build(t, "/made", 2, 20, snapshot, 30)
	mount(t, src, fl.mem(t, src))
	mem, _ := memory(t, dst)
	_, err := store.Repair(t.Context(), src, src, nil)
	wantIs(t, err, fs.ErrExist)
	check(t, mem.Mkdir(dst, 0o700))
	_, err = store.Repair(t.Context(), src, dst, nil)
	wantIs(t, err, fs.ErrExist)
	if _, err = store.Repair(t.Context(), src, "", nil); err == nil {
		t.Error("no error without a name")
	}
	memory(t, dst)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err = store.Repair(ctx, src, dst, nil)
	wantIs(t, err, context.Canceled)
	if _, err := store.Repair(t.Context(), "/nothing-here", dst, nil); err == nil {
		t.Error("no error without a store")
	}
	delete(fl, log0)
	delete(fl, snap1)
	mount(t, src, fl.mem(t, src))
	_, err = store.Repair(t.Context(), src, dst, nil)
	wantIs(t, err, store.ErrCorrupt)
	rep, err := store.Repair(t.Context(), src, dst, &store.RepairOptions{Salvage: true})
	if err != nil || rep.Index != 1 || len(rep.Lost) != 1 || rep.Lost[0].First != 1 || rep.Lost[0].Last != 1 || rep.Lost[0].Known {
		t.Errorf("%+v, %v", rep, err)
	}
}

// A foreign log that lies at the end does not take the store's place.
func TestRepairIsNotMisledByAForeignLog(t *testing.T) {
	const src, dst = "/mixed", "/unmixed"
	rng := rand.New(rand.NewPCG(3, 3))
	fl := journaled(t, rng, 20)
	foreign := journaled(t, rng, 30)
	for name, b := range foreign {
		if strings.HasSuffix(name, "30.log") {
			fl[name] = b
		}
	}
	mount(t, src, fl.mem(t, src))
	memory(t, dst)
	rep, err := store.Repair(t.Context(), src, dst, nil)
	if err != nil || rep.Index != 20 || !rep.Exact {
		t.Errorf("%+v, %v", rep, err)
	}
	wantPrefix(t, dst, 20)
}

// What a log that is missing has held is not known, and that is said. A snapshot alone
// has the identity of its store.
func TestRepairSaysThatTheEndIsMissing(t *testing.T) {
	const src, dst = "/endless", "/ended"
	fl := checkedStore(t)
	for name := range fl {
		if name != snap3 {
			delete(fl, name)
		}
	}
	mount(t, src, fl.mem(t, src))
	mem, _ := memory(t, dst)
	rep, err := store.Repair(t.Context(), src, dst, nil)
	if err != nil || rep.Index != 3 || !rep.Exact || len(rep.Lost) != 1 || rep.Lost[0].First != 4 || rep.Lost[0].Last != 0 {
		t.Errorf("%+v, %v", rep, err)
	}
	const identity = 15 + 9 + 8 + 2 + 1 + 1 + 4*4
	old, repaired := fl[snap3], readFiles(t, mem, dst)[log3]
	if !bytes.Equal(old[identity:identity+16], repaired[identity:identity+16]) {
		t.Error("the new store has another identity")
	}
}

// A store that is open is not repaired, nor into itself.
func TestRepairOfAStoreThatIsOpen(t *testing.T) {
	dir := t.TempDir() + "/open"
	s := open(t, dir, &journal{}, nil)
	update(t, s, "one")
	_, err := store.Repair(t.Context(), dir, dir+".repaired", nil)
	wantIs(t, err, store.ErrLocked)
	check(t, s.Close())
	if _, err = store.Repair(t.Context(), dir, dir+"/within", nil); err == nil || !strings.Contains(err.Error(), "would be within") {
		t.Errorf("repaired into itself: %v", err)
	}
	_, err = store.Repair(t.Context(), dir, dir+".repaired", nil)
	check(t, err)
}

// Whatever a program has put into an update, a store that holds it is repaired.
func TestRepairKeepsAnUpdateLikeTheEndOfABackup(t *testing.T) {
	const src, dst = "/likeabackup", "/likeabackup2"
	for _, salvage := range []bool{false, true} {
		memory(t, src)
		memory(t, dst)
		s := open(t, src, &journal{}, nil)
		update(t, s, likeABackupEnd)
		check(t, s.Close())
		if _, err := store.Repair(t.Context(), src, dst, &store.RepairOptions{Salvage: salvage}); err != nil {
			t.Errorf("Salvage %v: %v", salvage, err)
			continue
		}
		wantUpdates(t, dst, likeABackupEnd)
	}
}
