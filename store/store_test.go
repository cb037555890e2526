package store_test

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"slices"
	"strings"
	"testing"

	"github.com/stateio/stateio/store"
)

// journal is a machine whose state is the list of all updates, so that tests
// can tell what was lost, doubled or reordered.
type journal struct {
	updates []string
}

var errRefused = errors.New("refused")

func (j *journal) Apply(update []byte) (any, error) {
	switch string(update) {
	case "refuse":
		return nil, errRefused
	case "panic":
		panic("told to")
	}
	j.updates = append(j.updates, string(update))
	return len(j.updates), nil
}

func (j *journal) Snapshot() (io.WriterTo, error) {
	return journalState(j.updates[:len(j.updates):len(j.updates)]), nil
}

func (j *journal) Restore(r io.Reader) error {
	b, err := io.ReadAll(r)
	if err != nil {
		return err
	}
	j.updates = nil
	for len(b) > 0 {
		n, k := binary.Uvarint(b)
		if k <= 0 || n > uint64(len(b)-k) {
			return errors.New("not a journal")
		}
		j.updates = append(j.updates, string(b[k:k+int(n)]))
		b = b[k+int(n):]
	}
	return nil
}

// journalState is a captured journal.
type journalState []string

func (s journalState) WriteTo(w io.Writer) (n int64, err error) {
	var b []byte
	for _, u := range s {
		b = append(binary.AppendUvarint(b[:0], uint64(len(u))), u...)
		k, err := w.Write(b)
		n += int64(k)
		if err != nil {
			return n, err
		}
	}
	return n, nil
}

func quiet(o *store.Options) *store.Options {
	c := store.Options{}
	if o != nil {
		c = *o
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	return &c
}

func open(t testing.TB, dir string, m store.Machine, o *store.Options) *store.Store {
	t.Helper()
	s := openOnly(t, dir, m, o)
	t.Cleanup(func() { s.Close() })
	return s
}

// openOnly is open for a test after which Close may hang, if it fails.
func openOnly(t testing.TB, dir string, m store.Machine, o *store.Options) *store.Store {
	t.Helper()
	s, err := store.Open(dir, m, quiet(o))
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func update(t testing.TB, s *store.Store, u string) {
	t.Helper()
	if _, err := s.Update(context.Background(), []byte(u)); err != nil {
		t.Errorf("updating: %v", err)
	}
}

func TestUpdatesSurviveReopening(t *testing.T) {
	dir := t.TempDir()
	var want []string
	for gen := range 5 {
		m := &journal{}
		s := open(t, dir, m, nil)
		if fmt.Sprint(m.updates) != fmt.Sprint(want) {
			t.Fatalf("generation %d: got %d updates, want %d", gen, len(m.updates), len(want))
		}
		for i := range 50 {
			u := fmt.Sprintf("%d/%d %*d", gen, i, i*i*20, i)
			update(t, s, u)
			want = append(want, u)
		}
		if gen%2 == 1 {
			if err := s.Snapshot(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		update(t, s, "")
		want = append(want, "")
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		t.Log(s.Recovery())
	}
}

// Where an entry ends just before, at, or after the end of a block, what
// follows is found nevertheless.
func TestEntriesAroundTheEndOfABlock(t *testing.T) {
	const header, head = 15 + 9 + 43, 15 + 9 + 12
	for left := -40; left <= 100; left++ {
		dir := fmt.Sprint("/edge", left)
		memory(t, dir)
		s := open(t, dir, &journal{}, nil)
		first := strings.Repeat("x", 32<<10-header-head-left)
		update(t, s, first)
		update(t, s, "next")
		if err := s.Snapshot(t.Context()); err != nil {
			t.Error(err)
		}
		update(t, s, first)
		update(t, s, "next")
		s.Close()
		m := &journal{}
		if err := store.RestoreAt(t.Context(), dir, m, 4, nil); err != nil || !slices.Equal(m.updates, []string{first, "next", first, "next"}) {
			t.Errorf("with %d bytes left of a block: %d updates, %v", left, len(m.updates), err)
		}
	}
}
