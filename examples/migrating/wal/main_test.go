package main

import (
	"fmt"
	"iter"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/tidwall/wal"

	"github.com/stateio/stateio/examples/migrating/internal/move/movetest"
	"github.com/stateio/stateio/statetest"
	"github.com/stateio/stateio/store"
)

// entries makes a log of n entries, of which the first of those kept is first.
func entries(t *testing.T, n, first uint64, entry func(i uint64) string) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "app.wal")
	log, err := wal.Open(dir, &wal.Options{NoSync: true})
	if err != nil {
		t.Fatal(err)
	}
	for i := uint64(1); i <= n; i++ {
		if err := log.Write(i, []byte(entry(i))); err != nil {
			t.Fatal(err)
		}
	}
	if first > 1 {
		if err := log.TruncateFront(first); err != nil {
			t.Fatal(err)
		}
	}
	if err := log.Close(); err != nil {
		t.Fatal(err)
	}
	return dir
}

func line(i uint64) string { return fmt.Sprint("line ", i) }

func TestALogMovesThereAndBack(t *testing.T) {
	dir, returned := movetest.Run(t, entries(t, 500, 1, line), "500", there, back)
	m := &lines{}
	s, err := store.Open(dir, m, nil)
	if err != nil {
		t.Fatal(err)
	}
	if s.Index() != 500 || len(m.State) != 500 || m.State[499] != "line 500" {
		t.Errorf("index %d, %d lines", s.Index(), len(m.State))
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	log, err := wal.Open(returned, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer log.Close()
	if data, err := log.Read(500); err != nil || string(data) != "line 500" {
		t.Errorf("back: %q, %v", data, err)
	}
}

func TestALogWithoutItsBeginningIsRefused(t *testing.T) {
	err := movetest.Refused(t, entries(t, 50, 20, line), there)
	if !strings.Contains(err.Error(), "entry 20") || !strings.Contains(err.Error(), "store.Create") {
		t.Error(err)
	}
}

// A log holds what was applied: a machine that refuses some of it is not that of the log.
func TestADirectoryWithoutALogIsRefused(t *testing.T) {
	if err := movetest.Refused(t, t.TempDir(), there); !strings.Contains(err.Error(), "no entry") {
		t.Error(err)
	}
}

func TestAnEntryThatTheMachineRefusesIsNotLost(t *testing.T) {
	from := entries(t, 5, 1, func(i uint64) string { return strings.Repeat("x", int(i)%4) })
	if err := movetest.Refused(t, from, there); !strings.Contains(err.Error(), "entry 4") {
		t.Error(err)
	}
}

func TestLinesKeepTheContract(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	var updates iter.Seq[[]byte] = func(yield func([]byte) bool) {
		for yield(slices.Repeat([]byte("x"), rng.IntN(30))) {
		}
	}
	statetest.Run(t, func() store.Machine { return &lines{} }, updates, nil)
}
