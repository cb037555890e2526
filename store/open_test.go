package store_test

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"strings"
	"testing"

	"github.com/stateio/stateio/store"
)

// Open makes no store where one must be, and none in a directory without a name.
func TestMustExist(t *testing.T) {
	const dir = "/mustexist"
	mem, _ := memory(t, dir)
	memory(t, "/mustexist2")
	must := quiet(&store.Options{MustExist: true})
	_, err := store.Open(dir, &journal{}, must)
	wantIs(t, err, fs.ErrNotExist)
	if names := readFiles(t, mem, "/").names(); len(names) > 0 {
		t.Errorf("%q were made", names)
	}
	check(t, open(t, dir, &journal{}, nil).Close())
	check(t, open(t, dir, &journal{}, must).Close())
	_, err = store.Open("", &journal{}, quiet(nil))
	if err == nil || store.Create("", journalState{}, nil) == nil {
		t.Error("a store was made in a directory without a name")
	}
	check(t, store.Create("/mustexist2", journalState{"old"}, must)) // Create makes one by definition
	inMemory, err := store.OpenMemory(&journal{}, must)              // and so does OpenMemory
	check(t, err)
	check(t, inMemory.Close())
}

// choosy is a machine that refuses what it accepted before.
type choosy struct {
	journal
	refuse string
}

func (m *choosy) Apply(u []byte) (any, error) {
	if string(u) == m.refuse {
		return nil, errRefused
	}
	return m.journal.Apply(u)
}

// An update that Apply refuses when it is replayed is named, with what can be done.
func TestARefusedReplayNamesTheUpdate(t *testing.T) {
	const dir = "/choosy"
	memory(t, dir)
	s := open(t, dir, &choosy{}, nil)
	for _, u := range []string{"one", "two", "three"} {
		update(t, s, u)
	}
	check(t, s.Close())
	_, err := store.Open(dir, &choosy{refuse: "two"}, quiet(nil))
	var refused *store.ReplayError
	if !errors.As(err, &refused) || refused.Index != 2 || !errors.Is(err, errRefused) || !strings.HasSuffix(refused.Path, log0) {
		t.Fatalf("got error %v", err)
	}
	for u, err := range store.ReadUpdates(t.Context(), dir, refused.Index) {
		if check(t, err); string(u.Data) != "two" {
			t.Errorf("update %d is %q", u.Index, u.Data)
		}
		break
	}
	check(t, store.RestoreAt(t.Context(), dir, &choosy{refuse: "two"}, refused.Index-1, nil))
}

// A context ends the opening of a store, which is unharmed.
func TestAContextEndsOpen(t *testing.T) {
	const dir = "/opencontext"
	memory(t, dir)
	s := open(t, dir, &journal{}, nil)
	for i := range 1000 {
		update(t, s, fmt.Sprint(i))
	}
	check(t, s.Close())
	ctx, cancel := context.WithCancel(t.Context())
	m := &hooked{hook: func(n int) {
		if n == 100 {
			cancel()
		}
	}}
	_, err := store.OpenContext(ctx, dir, m, quiet(nil))
	wantIs(t, err, context.Canceled)
	if m.n >= 1000 {
		t.Errorf("%d updates were replayed after the context had ended", m.n)
	}
	again := &journal{}
	check(t, open(t, dir, again, nil).Close())
	if len(again.updates) != 1000 {
		t.Errorf("%d updates", len(again.updates))
	}
}
