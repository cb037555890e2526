package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"iter"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stateio/stateio"
	"github.com/stateio/stateio/examples/migrating/internal/move/movetest"
	"github.com/stateio/stateio/statetest"
	"github.com/stateio/stateio/store"
)

// stateFile is what the program has left, with an update in the middle of which it was
// killed if torn.
func stateFile(t *testing.T, torn bool) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "balance.state")
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	w, err := stateio.NewFileWriter(f)
	if err != nil {
		t.Fatal(err)
	}
	for _, write := range []func() error{
		func() error { return w.Update([]byte(`{"Account": "ann", "Amount": 7}`)) },
		func() error { return w.Snapshot([]byte(`{"ann": 7}`)) },
		func() error { return w.Update([]byte(`{"Account": "bob", "Amount": 3}`)) },
		func() error { return w.Update([]byte(`{"Account": "ann", "Amount": -5}`)) },
	} {
		if err := write(); err != nil {
			t.Fatal(err)
		}
	}
	if torn {
		if _, err := f.WriteString("torn"); err != nil {
			t.Fatal(err)
		}
	}
	return path
}

func TestAStateFileMovesThereAndBack(t *testing.T) {
	dir, returned := movetest.Run(t, stateFile(t, false), "2", there, back)
	want := balances{"ann": 2, "bob": 3}
	got := balances{}
	s, err := store.Open(dir, got, nil)
	if err != nil {
		t.Fatal(err)
	}
	if !maps.Equal(got, want) || s.Index() != 2 {
		t.Errorf("index %d: %v, want %v", s.Index(), got, want)
	}
	if _, err := s.Update(t.Context(), []byte(`{"Account": "ann", "Amount": 1}`)); err != nil || got["ann"] != 3 {
		t.Errorf("after an update: %v, %v", got, err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	f, err := os.Open(returned)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if got, err := restoreFile(f); err != nil || !maps.Equal(got, want) {
		t.Errorf("back: %v, %v", got, err)
	}
}

// Open the file once with the old program: it cuts off what was never acknowledged.
func TestATornFileIsRefused(t *testing.T) {
	if err := movetest.Refused(t, stateFile(t, true), there); !errors.Is(err, store.ErrCorrupt) || !strings.Contains(err.Error(), "cut it to") {
		t.Error(err)
	}
}

// The files of the original package are those that the vectors of the format hold.
func TestAFileOfTheOriginalIsImported(t *testing.T) {
	b, err := os.ReadFile("../../../testdata/vectors/updates-only.state")
	if err != nil {
		t.Fatal(err)
	}
	dir := filepath.Join(t.TempDir(), "data")
	if err := store.Import(dir, bytes.NewReader(b), int64(len(b))); err != nil {
		t.Fatal(err)
	}
	_, _, updates, err := stateio.Restore(bytes.NewReader(b), int64(len(b)))
	if err != nil {
		t.Fatal(err)
	}
	n := uint64(0)
	for u, err := range store.ReadUpdates(t.Context(), dir, 1) {
		if err != nil {
			t.Fatal(err)
		}
		want, err := updates.Read()
		if n++; err != nil || u.Index != n || !bytes.Equal(u.Data, want) {
			t.Fatalf("update %d is %q, and %q in the file: %v", u.Index, u.Data, want, err)
		}
	}
	if n == 0 {
		t.Error("no updates")
	}
}

func TestBalancesKeepTheContract(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	updates := iter.Seq[[]byte](func(yield func([]byte) bool) {
		for {
			b, err := json.Marshal(update{string(rune('a' + rng.IntN(5))), rng.IntN(100) - 40})
			if err != nil || !yield(b) {
				return
			}
		}
	})
	statetest.Run(t, func() store.Machine { return balances{} }, updates, nil)
}
