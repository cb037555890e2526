package view

import (
	"context"
	"errors"
	"hash/maphash"
	"io"
	"os"

	"github.com/stateio/stateio/inspect"
	"github.com/stateio/stateio/store"
)

// A stateCheck says whether the current state can be had, of a store with damage, or all of a
// backup.
type stateCheck struct {
	of    basis
	known bool
	last  uint64
	err   error
}

// A basis is what the outcome of a check rests on: of other files it may be another one.
type basis struct {
	edition uint64 // of the source
	damages int
	files   uint64 // the sum of their signs
}

// sign adds to h what of the file, sound or not, the outcome of a check can change with. That
// of a store does when a snapshot or log comes or goes, but not when a log grows: its damage
// stays where it is. A backup comes to be whole with its last entry, and is not any more when
// something follows.
func (x *index) sign(h *maphash.Hash) {
	x.mu.Lock()
	defer x.mu.Unlock()
	_, _ = h.WriteString(x.name)
	if x.file.Kind == inspect.StateFile {
		e := x.extent()
		maphash.WriteComparable(h, [2]int64{e.done, min(e.torn, 1)})
	}
	_ = h.WriteByte(0) // none is in a name
}

// basis returns what a check now rests on.
func (s *source) basis(indexes []*index) basis {
	var h maphash.Hash
	h.SetSeed(seed)
	for _, x := range indexes {
		x.sign(&h)
	}
	return basis{s.current(), len(s.damages(indexes)), h.Sum64()}
}

// check finds out whether a damaged store still has its current state, as stateio verify
// does, by loading it; and whether a backup is whole, which its entries do not tell. When ctx
// ends, it finds out nothing. The files may change meanwhile: then it is made again.
func (s *source) check(ctx context.Context, m *inspect.Map, indexes []*index) {
	now := s.basis(indexes)
	s.mu.Lock()
	known := s.state.known && s.state.of == now && !s.state.passing()
	s.mu.Unlock()
	if m.Store && now.damages == 0 || known || ctx.Err() != nil {
		return
	}
	c := stateCheck{of: now, known: true}
	if m.Store {
		c.last, c.err = store.Load(ctx, m.Path, blind{})
	} else {
		c.err = verifyBackup(ctx, m.Path)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if ctx.Err() == nil {
		s.state = c
	}
}

// passing reports whether what has failed may work the next time: it was no damage.
func (c *stateCheck) passing() bool {
	return c.err != nil && !errors.Is(c.err, store.ErrCorrupt) && !errors.Is(c.err, store.ErrVersion)
}

// outcome returns what is known of files with so many damages, and what reading them has
// failed with. What was found out before more damage was found is worth nothing.
func (s *source) outcome(damages int) (check stateCheck, failed error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	check = s.state
	check.known = check.known && check.of.edition == s.edition && check.of.damages >= damages
	return check, s.readErr
}

// verifyBackup returns an error if a file is a backup that is not whole.
func verifyBackup(ctx context.Context, path string) error {
	file, err := os.Open(path)
	if err != nil {
		return nil // reading it says so
	}
	defer file.Close()
	info, err := file.Stat()
	if err != nil {
		return nil
	}
	if is, err := store.IsBackup(file, info.Size()); err != nil || !is {
		return nil
	}
	_, err = store.VerifyBackup(ctx, file, info.Size())
	return err
}

// A blind machine is one without a state.
type blind struct{}

func (blind) Apply([]byte) (any, error) { return nil, nil }

func (blind) Restore(r io.Reader) error {
	_, err := io.Copy(io.Discard, r)
	return err
}

func (blind) Snapshot() (io.WriterTo, error) {
	return nil, errors.New("view: this machine is only restored")
}
