package store_test

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"os"
	"regexp"
	"strings"
	"sync"
	"testing"

	"github.com/stateio/stateio/store"
)

// stock is a machine with a mutex of its own, for readers that don't use View.
type stock struct {
	mu    sync.Mutex
	count map[string]int
}

func (m *stock) Apply(item []byte) (any, error) {
	m.mu.Lock() // innermost: nobody calls the store with it held
	defer m.mu.Unlock()
	m.count[string(item)]++
	return m.count[string(item)], nil
}

func (m *stock) Snapshot() (io.WriterTo, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	b, err := json.Marshal(m.count) // a copy: the mutex is not held while it is written
	return bytes.NewReader(b), err
}

func (m *stock) Restore(r io.Reader) error {
	count := map[string]int{}
	if err := json.NewDecoder(r).Decode(&count); err != nil {
		return err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.count = count
	return nil
}

func (m *stock) add(ctx context.Context, s *store.Store, item string) error {
	// m.mu.Lock() here would deadlock: Apply takes it.
	_, err := s.Update(ctx, []byte(item))
	return err
}

// The code in docs/OPERATING.md is that of this file, and a program that has a
// mutex of its own and follows it does not deadlock.
func TestAProgramWithAMutexOfItsOwnWorks(t *testing.T) {
	const dir, writers, each = "/mutex", 8, 50
	memory(t, dir)
	for round := 1; round <= 2; round++ {
		m := &stock{count: map[string]int{}}
		s := open(t, dir, m, &store.Options{SnapshotBytes: 500})
		var wg sync.WaitGroup
		for range writers {
			wg.Go(func() {
				for range each {
					if err := m.add(t.Context(), s, "nut"); err != nil {
						t.Error(err)
					}
					m.mu.Lock() // a reader
					_ = m.count["nut"]
					m.mu.Unlock()
				}
			})
		}
		wg.Wait()
		check(t, s.Snapshot(t.Context()))
		if m.count["nut"] != round*writers*each {
			t.Errorf("%d nuts, want %d", m.count["nut"], round*writers*each)
		}
		check(t, s.Close())
	}
}

func TestOperatingShowsThisCode(t *testing.T) {
	doc, err := os.ReadFile("../docs/OPERATING.md")
	check(t, err)
	source, err := os.ReadFile("operating_test.go")
	check(t, err)
	_, code, _ := bytes.Cut(doc, []byte("```go\n"))
	code, _, found := bytes.Cut(code, []byte("```\n"))
	if !found || !bytes.Contains(source, code) {
		t.Errorf("docs/OPERATING.md shows code that is not in operating_test.go:\n%s", code)
	}
}

// An operator finds each error of this package in docs/OPERATING.md.
func TestOperatingTellsWhatToDoAboutEachError(t *testing.T) {
	doc, err := os.ReadFile("../docs/OPERATING.md")
	check(t, err)
	source, err := os.ReadFile("errors.go")
	check(t, err)
	found := regexp.MustCompile(`(?m)^\t(Err\w+) += (errors\.New|storefile\.|storedir\.)`).FindAllSubmatch(source, -1)
	if len(found) < 10 {
		t.Fatalf("errors.go has %d errors", len(found))
	}
	for _, name := range found {
		if !strings.Contains(string(doc), "\n| `"+string(name[1])+"`") {
			t.Errorf("docs/OPERATING.md says nothing about %s", name[1])
		}
	}
}
