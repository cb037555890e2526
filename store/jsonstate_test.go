package store_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"os"
	"strings"
	"testing"

	"github.com/stateio/stateio/store"
)

// inventory is all that a machine with its state in JSON takes.
type inventory struct {
	store.JSONState[map[string]int]
}

func (s *inventory) Apply(item string) (int, error) {
	s.State[item]++
	return s.State[item], nil
}

func newInventory() *inventory {
	return &inventory{store.JSONState[map[string]int]{State: map[string]int{}}}
}

// A state in JSON is there again after a snapshot, and refused where it can't be kept.
func TestJSONState(t *testing.T) {
	dir := t.TempDir()
	for round := range 3 {
		m := newInventory()
		s, err := store.OpenTyped[string, int](dir, m, nil, quiet(nil))
		check(t, err)
		if n, err := s.Update(t.Context(), "nut"); err != nil || n != round+1 {
			t.Errorf("round %d: %d, %v", round, n, err)
		}
		check(t, s.Snapshot(t.Context()))
		check(t, s.Close())
	}
	if err := newInventory().Restore(strings.NewReader(`{"nut":"many"}`)); err == nil || !strings.HasPrefix(err.Error(), "store: decoding the state: ") {
		t.Errorf("restored with %v", err)
	}
	if err := newInventory().Restore(io.MultiReader(strings.NewReader("{"), &failingReader{})); !errors.Is(err, errRefused) {
		t.Errorf("restored with %v", err)
	}
	var grown store.JSONState[struct{ A, B int }]
	if err := grown.Restore(strings.NewReader(`{"A":1}`)); err != nil || grown.State.A != 1 || grown.State.B != 0 {
		t.Errorf("a state without a field is restored as %+v, %v", grown.State, err)
	}
	if err := grown.Restore(strings.NewReader(`{"A":1,"B":2,"C":3}`)); err == nil {
		t.Error("a state with a field too many is restored")
	}
	loses := &store.JSONState[map[string]any]{State: map[string]any{"n": int64(1<<53 + 1)}}
	if _, err := loses.Snapshot(); err == nil || !strings.Contains(err.Error(), "could not be read back") {
		t.Errorf("a state that Open would refuse is captured with %v", err)
	}
	bad := &store.JSONState[string]{State: "\xff"}
	if _, err := bad.Snapshot(); err == nil || !strings.HasPrefix(err.Error(), "store: encoding the state: ") {
		t.Errorf("captured with %v", err)
	}
}

type failingReader struct{}

func (*failingReader) Read([]byte) (int, error) { return 0, errRefused }

func TestWriterFunc(t *testing.T) {
	var b bytes.Buffer
	n, err := store.WriterFunc(func(w io.Writer) error {
		_, err := fmt.Fprint(w, "some", "thing")
		return errors.Join(err, errRefused)
	}).WriteTo(&b)
	if n != 9 || b.String() != "something" || !errors.Is(err, errRefused) {
		t.Errorf("%d bytes, %q, %v", n, &b, err)
	}
}

func ExampleJSONState() {
	dir, err := os.MkdirTemp("", "example")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(dir)
	m := newInventory()
	s, err := store.OpenTyped[string, int](dir, m, nil, nil)
	if err != nil {
		log.Fatal(err)
	}
	defer s.Close()
	n, err := s.Update(context.Background(), "nut")
	fmt.Println(n, m.State, err)
	// Output: 1 map[nut:1] <nil>
}

func ExampleWriterFunc() {
	captured := []string{"a", "b"} // a copy of the state
	state := store.WriterFunc(func(w io.Writer) error {
		_, err := io.WriteString(w, strings.Join(captured, "\n"))
		return err
	})
	n, err := state.WriteTo(io.Discard)
	fmt.Println(n, err)
	// Output: 3 <nil>
}
