package store

import (
	"context"
	"strings"
	"testing"
)

// A snapshot that waits for a View before it has begun says so: nothing is written yet.
func TestWhatASnapshotWaitsForBeforeItBegins(t *testing.T) {
	const dir = "/sightbegin"
	s := hostileOpen(t, dir, &Options{SnapshotBytes: -1})
	made := make(chan error, 1)
	for range 2 { // the second time, another one was made before
		if _, err := s.Update(context.Background(), []byte("one")); err != nil {
			t.Fatal(err)
		}
		if err := s.View(func() error {
			go func() { made <- s.Snapshot(context.Background()) }()
			Settle()
			if got, want := s.sight().doing, "a snapshot is to begin, and waits until functions passed to View return"; !strings.Contains(got, want) {
				t.Errorf("what is told is %q, want %q", got, want)
			}
			return nil
		}); err != nil {
			t.Error(err)
		}
		if err := Arrives(t, made, "the snapshot does not return"); err != nil {
			t.Error(err)
		}
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}
}
