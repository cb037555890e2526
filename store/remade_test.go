package store

import (
	"io"
	"strings"
	"testing"
)

// still is a machine without a state.
type still struct{}

func (still) Apply([]byte) (any, error)      { return nil, nil }
func (still) Snapshot() (io.WriterTo, error) { return strings.NewReader(""), nil }
func (still) Restore(io.Reader) error        { return nil }

// What a store remembers does not grow with each snapshot.
func TestSnapshotsAreNotRemembered(t *testing.T) {
	s, err := Open(t.TempDir(), still{}, nil)
	if err != nil {
		t.Fatal(err)
	}
	for range 5 {
		if _, err := s.Update(t.Context(), nil); err != nil {
			t.Fatal(err)
		}
		if err := s.Snapshot(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if len(s.remade) > 0 {
		t.Errorf("%d snapshots are remembered", len(s.remade))
	}
}
