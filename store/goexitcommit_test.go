package store

import (
	"context"
	"errors"
	"runtime"
	"runtime/debug"
	"strings"
	"testing"
	"time"

	"github.com/stateio/stateio/internal/fsys/memfs"
	"github.com/stateio/stateio/internal/storefs"
)

// goexits is a machine whose Apply of G ends the goroutine it is in.
type goexits struct {
	stateless
	in string // the stack of that goroutine
}

func (m *goexits) Apply(u []byte) (any, error) {
	if u[0] == 'G' {
		m.in = string(debug.Stack())
		runtime.Goexit()
	}
	return nil, nil
}

// runtime.Goexit in Apply, in the goroutine of the committer, is an error for all, and
// keeps nobody waiting.
func TestGoexitInTheCommitter(t *testing.T) {
	const dir = "/goexitcommitter"
	t.Cleanup(storefs.Mount(dir, memfs.New(memfs.Options{})))
	m := &goexits{}
	s, err := Open(dir, m, &Options{SnapshotBytes: -1, SyncInterval: time.Hour})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.Update(context.Background(), []byte("first")); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Submit([]byte("x")); err != nil { // which the committer waits an hour with
		t.Fatal(err)
	}
	s.queue.setGathering(true) // as while the callers of the last commit are told
	outcome := make(chan error, 1)
	go func() {
		_, err := s.Submit([]byte("G"))
		outcome <- err
	}()
	Settle()
	s.Flush()
	wantFailed := func(what string, c chan error) {
		t.Helper()
		if err := Arrives(t, c, what+" does not return"); !errors.Is(err, ErrFailed) {
			t.Errorf("%s: %v, want ErrFailed", what, err)
		}
	}
	wantFailed("Submit", outcome)
	if !strings.Contains(m.in, "(*Store).committer") {
		t.Fatalf("G was not applied by the committer, but in\n%s", m.in)
	}
	closed := make(chan error, 1)
	go func() { closed <- s.Close() }()
	wantFailed("Close", closed)
}
