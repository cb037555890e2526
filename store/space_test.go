package store_test

import (
	"bytes"
	"errors"
	"testing"

	"github.com/stateio/stateio/internal/fsys"
	"github.com/stateio/stateio/store"
)

func TestAFullDiskRefusesUpdatesAndLosesNothing(t *testing.T) {
	const dir = "/full"
	mem, _ := memory(t, dir)
	mem.SetQuota(100_000)
	m := &journal{}
	s := open(t, dir, m, nil)
	var want []string
	u := bytes.Repeat([]byte("u"), 700)
	fill := func() {
		t.Helper()
		for {
			_, err := s.Update(t.Context(), u)
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
