package statetest_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"iter"
	"os"
	"testing"

	"github.com/stateio/stateio/statetest"
	"github.com/stateio/stateio/store"
)

// A tab is a typed machine: what guests owe. It is kept as JSON.
type tab struct {
	store.JSONState[map[string]int]
}

func newTab() *tab { return &tab{store.JSONState[map[string]int]{State: map[string]int{}}} }

// A drink is an update of a tab.
type drink struct {
	Guest string
	Price int
}

func (t *tab) Apply(o drink) (int, error) {
	t.State[o.Guest] += o.Price
	return t.State[o.Guest], nil
}

func drinks() iter.Seq[drink] {
	return func(yield func(drink) bool) {
		for i := 0; ; i++ {
			if !yield(drink{Guest: string(rune('a' + i%3)), Price: i}) {
				return
			}
		}
	}
}

// In a program the test is
//
//	func TestTab(t *testing.T) { testTab(t) }
func testTab(t testing.TB) {
	statetest.RunTyped(t, func() store.TypedMachine[drink, int] { return newTab() }, nil, drinks(), nil)
}

func ExampleRunTyped() {
	t := &printer{} // stands for the *testing.T of a test
	testTab(t)
	fmt.Println("failed:", t.failed)
	// Output:
	// failed: false
}

// A gauge changes its state by itself, and logs what it did with Store.Change: that is what
// Replay is for.
type gauge struct{ level int }

func (g *gauge) Apply(update []byte) (any, error) {
	var by int
	err := json.Unmarshal(update, &by)
	g.level += by
	return g.level, err
}

func (g *gauge) Snapshot() (io.WriterTo, error) {
	level := g.level
	return store.WriterFunc(func(w io.Writer) error { return json.NewEncoder(w).Encode(level) }), nil
}

func (g *gauge) Restore(r io.Reader) error { return json.NewDecoder(r).Decode(&g.level) }

func testGauge(t testing.TB) {
	dir, err := os.MkdirTemp("", "gauge") //nolint:usetesting // t may be a printer, see ExampleReplay
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(dir)
	live := &gauge{}
	s, err := store.Open(dir, live, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	for by := range 5 {
		if _, err := s.Change(context.Background(), func(tx *store.Tx) error {
			if err := tx.Append(fmt.Append(nil, by)); err != nil {
				return err
			}
			live.level += by
			return nil
		}); err != nil {
			t.Fatal(err)
		}
	}
	statetest.Replay(t, dir, live, &gauge{}, nil)
}

func ExampleReplay() {
	t := &printer{} // stands for the *testing.T of a test
	testGauge(t)
	fmt.Println("failed:", t.failed)
	// Output:
	// failed: false
}
