package store_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"sync/atomic"
	"testing"

	"github.com/stateio/stateio/internal/fsys"
	"github.com/stateio/stateio/internal/fsys/memfs"
	"github.com/stateio/stateio/internal/wine"
	"github.com/stateio/stateio/store"
)

// ways in which a log is moved away: as logrotate does it, and cp -al with what follows.
var movings = map[string]func(t *testing.T, log string){
	"to another name": func(t *testing.T, log string) { check(t, os.Rename(log, log+".1")) },
	"to another directory": func(t *testing.T, log string) {
		check(t, os.Rename(log, filepath.Join(t.TempDir(), "old")))
	},
	"one of two names removed": func(t *testing.T, log string) {
		check(t, os.Link(log, filepath.Join(t.TempDir(), "linked")))
		check(t, os.Remove(log))
	},
	"an empty file in its place": func(t *testing.T, log string) {
		check(t, os.Rename(log, log+".1"))
		check(t, os.WriteFile(log, nil, 0o600))
	},
	"a copy in its place": func(t *testing.T, log string) {
		check(t, os.Rename(log, log+".1"))
		b, err := os.ReadFile(log + ".1")
		check(t, err)
		check(t, os.WriteFile(log, b, 0o600))
	},
	"another file renamed over it": func(t *testing.T, log string) {
		b, err := os.ReadFile(log)
		check(t, err)
		check(t, os.WriteFile(log+".new", b, 0o600))
		check(t, os.Link(log, log+".1"))
		check(t, os.Rename(log+".new", log))
	},
}

// eachMoving runs test with a store of one update, whose log was moved away.
func eachMoving(t *testing.T, test func(t *testing.T, s *store.Store, dir string)) {
	if wine.Runs() {
		t.Skip("Wine keeps the names of open files")
	}
	for how, move := range movings {
		t.Run(how, func(t *testing.T) {
			if runtime.GOOS == "windows" && how != "to another name" {
				t.Skip("it can't be told there whether a name leads to a file")
			}
			dir := t.TempDir()
			s := open(t, dir, &journal{}, nil)
			update(t, s, "a")
			move(t, filepath.Join(dir, log0))
			test(t, s, dir)
		})
	}
}

// What is written to a file without its name is not in the directory, where the next Open
// looks for it.
func TestALogThatIsMovedAwayFailsTheStore(t *testing.T) {
	eachMoving(t, func(t *testing.T, s *store.Store, _ string) {
		_, err := s.Update(context.Background(), []byte("b"))
		if err == nil {
			t.Fatal("acknowledged an update that is not in the directory")
		}
		wantIs(t, err, store.ErrFailed)
		wantIs(t, err, store.ErrUnknown)
	})
}

// A log that was moved away since the last commit is not sealed as if it were there still. A
// copy in its place is a store as it was then.
func TestALogThatWasMovedAwayIsNotSealed(t *testing.T) {
	for _, end := range []string{"Snapshot", "Close"} {
		t.Run(end, func(t *testing.T) {
			eachMoving(t, func(t *testing.T, s *store.Store, dir string) {
				if end == "Snapshot" && s.Snapshot(t.Context()) == nil {
					t.Error("a snapshot was made")
				}
				if err := s.Close(); err == nil {
					t.Error("Close says that all is well")
				}
				if b, err := os.ReadFile(filepath.Join(dir, log0)); err != nil || len(b) == 0 {
					return // nothing is in its place that a store could be opened of
				}
				m := &journal{}
				open(t, dir, m, nil)
				if !slices.Equal(m.updates, []string{"a"}) {
					t.Errorf("the store has %q", m.updates)
				}
			})
		})
	}
}

// A renumbering is a file system that gives files other numbers while they are open, as some
// of a network do, or that does not let names be looked at.
type renumbering struct {
	fsys.FS
	by  atomic.Uint64 // what is added to the number that a name leads to
	err atomic.Pointer[error]
}

func (r *renumbering) Hold(dir string) (fsys.Held, error) {
	held, err := r.FS.Hold(dir)
	if err != nil {
		return nil, err
	}
	return &renumberingHeld{held, r}, nil
}

type renumberingHeld struct {
	fsys.Held
	r *renumbering
}

func (h *renumberingHeld) Stat(path string) (fsys.Info, error) {
	info, err := h.Held.Stat(path)
	if refused := h.r.err.Load(); refused != nil {
		return info, *refused
	}
	info.ID.Ino += h.r.by.Load()
	return info, err
}

// A number that changes, or a name that can't be looked at, is no evidence that a log was
// moved away.
func TestALogWithAnotherNumberIsNotOneThatWasMoved(t *testing.T) {
	const dir = "/renumbered"
	r := &renumbering{FS: memfs.New(memfs.Options{})}
	mount(t, dir, r)
	var want []string
	s := open(t, dir, &journal{}, nil)
	for n := range 4 {
		u := string(rune('a' + n))
		update(t, s, u)
		want = append(want, u)
		if n == 2 {
			check(t, s.Snapshot(t.Context()))
		}
		r.by.Add(1)
	}
	refused := errors.New("not allowed")
	r.err.Store(&refused)
	update(t, s, "z")
	r.err.Store(nil)
	check(t, s.Close())
	r.by.Store(0)
	m := &journal{}
	open(t, dir, m, nil)
	if got := len(m.updates); got != len(want)+1 {
		t.Errorf("%d updates are there, want %d", got, len(want)+1)
	}
}
