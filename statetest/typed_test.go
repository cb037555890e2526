package statetest_test

import (
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/stateio/stateio/statetest"
	"github.com/stateio/stateio/store"
)

// tally counts words, by the store's clock.
type tally struct {
	store.JSONState[map[string]int64]
	store.NoTypedApply[string, int64]
	broken bool
}

func newTally() store.TypedMachine[string, int64] {
	return &tally{JSONState: store.JSONState[map[string]int64]{State: map[string]int64{}}}
}

func (c *tally) ApplyAt(at time.Time, index uint64, word string) (int64, error) {
	if word == "" {
		return 0, errors.New("no word")
	}
	if c.broken {
		at = time.Now()
	}
	c.State[word] += at.UnixNano() + int64(index)
	return c.State[word], nil
}

func words(yield func(string) bool) {
	for i := range 60 {
		if !yield(strings.Repeat("x", i%7)) {
			return
		}
	}
}

// A typed machine that goes by the time it is given passes, and one that looks at the
// clock does not.
func TestRunTyped(t *testing.T) {
	opts := &statetest.Options{CrashStates: 200}
	statetest.RunTyped(t, newTally, nil, words, opts)
	r := &recorder{name: t.Name()}
	statetest.RunTyped(r, func() store.TypedMachine[string, int64] {
		m := newTally().(*tally)
		m.broken = true
		return m
	}, nil, words, opts)
	if !strings.Contains(strings.Join(r.errors, "\n"), "different states") {
		t.Errorf("a machine that looks at the clock passes: %q", r.errors)
	}
	r = &recorder{name: t.Name()}
	statetest.RunTyped[string, int64](r, nil, nil, nil, nil)
	if !strings.Contains(strings.Join(r.errors, "\n"), "not nil") {
		t.Errorf("without a machine: %q", r.errors)
	}
	r = &recorder{name: t.Name()}
	statetest.RunTyped(r, newTally, nil, func(yield func(string) bool) {
		_ = yield("a") && yield("\xff")
	}, opts)
	if !strings.Contains(strings.Join(r.errors, "\n"), "encoding an update") {
		t.Errorf("with text that is not UTF-8: %q", r.errors)
	}
}

// Replay finds a program that has done something else in memory than it logged.
func TestReplay(t *testing.T) {
	dir := t.TempDir()
	live := newCloned().(*cloned)
	s, err := store.Open(dir, live, &store.Options{Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	change := func(value string) {
		if _, err := s.Change(t.Context(), func(tx *store.Tx) error {
			live.m["a"] = value
			return tx.Append([]byte("set a 1"))
		}); err != nil {
			t.Fatal(err)
		}
	}
	change("1")
	statetest.Replay(t, dir, live, newCloned(), nil)
	statetest.Replay(t, dir, live, newCloned(), func(a, b store.Machine) bool {
		return fmt.Sprint(a.(*cloned).m) == fmt.Sprint(b.(*cloned).m)
	})
	change("2")
	for _, tt := range []struct {
		dir   string
		fresh store.Machine
		want  string
	}{{dir, newCloned(), "is not in the state"}, {dir, nil, "not nil"}, {t.TempDir(), newCloned(), "no store"}} {
		r := &recorder{name: t.Name()}
		statetest.Replay(r, tt.dir, live, tt.fresh, nil)
		if !strings.Contains(strings.Join(r.errors, "\n"), tt.want) {
			t.Errorf("Replay says %q, want %q", r.errors, tt.want)
		}
	}
}
