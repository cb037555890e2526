package store_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"testing"

	"github.com/stateio/stateio/store"
)

// The state, with the one function that changes it.
type counter struct{ n int64 }

func (c *counter) Apply(update []byte) (any, error) {
	delta, err := strconv.ParseInt(string(update), 10, 64)
	if err != nil {
		return nil, err // refused: not logged, not applied
	}
	c.n += delta
	return c.n, nil
}

func (c *counter) Snapshot() (io.WriterTo, error) {
	return strings.NewReader(strconv.FormatInt(c.n, 10)), nil
}

func (c *counter) Restore(r io.Reader) error {
	_, err := fmt.Fscan(r, &c.n)
	return err
}

// The code in README.md is that of this file, and works.
func TestTheCodeOfTheReadmeWorks(t *testing.T) {
	t.Chdir(t.TempDir())
	ctx := context.Background()
	for want := int64(5); want <= 15; want += 5 {
		s, err := store.Open("counter-data", &counter{}, nil) // the state is back
		if err != nil {
			t.Fatal(err)
		}
		n, err := s.Update(ctx, []byte("5")) // nil: applied, and on disk
		if err != nil || n != want {
			t.Errorf("got %v, %v, want %d", n, err, want)
		}
		if err := s.Snapshot(ctx); err != nil {
			t.Error(err)
		}
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	}
}

func TestTheReadmeShowsThisCode(t *testing.T) {
	readme, err := os.ReadFile("../README.md")
	if err != nil {
		t.Fatal(err)
	}
	source, err := os.ReadFile("readme_test.go")
	if err != nil {
		t.Fatal(err)
	}
	_, code, _ := bytes.Cut(readme, []byte("```go\n// The state"))
	code, _, found := bytes.Cut(code, []byte("```\n"))
	if !found {
		t.Fatal("README.md has no code")
	}
	for line := range strings.Lines(string(code)) {
		line = strings.Join(strings.Fields(line), " ")
		if !strings.Contains(strings.Join(strings.Fields(string(source)), " "), line) {
			t.Errorf("README.md has %q", line)
		}
	}
}
