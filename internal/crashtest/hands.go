package crashtest

import (
	"errors"
	"fmt"
	"io/fs"
	"path"
	"strings"

	"github.com/stateio/stateio/internal/fsys/memfs"
	"github.com/stateio/stateio/internal/storefs"
	"github.com/stateio/stateio/store"
)

// intrude removes the file LOCK while the store is open, and opens it a second time.
func (g *generation) intrude() error {
	entries, err := g.mem.List(g.dir)
	if err != nil {
		return err
	}
	logs := 0
	for _, e := range entries {
		if strings.HasSuffix(e.Name, ".log") {
			logs++
		}
	}
	if logs == 0 {
		return nil // on a full disk; then LOCK may be all that is locked
	}
	g.note("LOCK is removed, and the store opened a second time")
	_ = g.mem.Remove(path.Join(g.dir, "LOCK")) // if it is there
	alias := g.dir + "/."                      // the same directory, without the faults
	defer storefs.Mount(alias, g.mem)()
	s, err := store.Open(alias, &Machine{}, &g.opts)
	if errors.Is(err, store.ErrLocked) || g.full && errors.Is(err, store.ErrNoSpace) {
		return nil
	}
	if err == nil {
		err = errors.Join(errors.New("a second process got in"), s.Close())
	}
	return fmt.Errorf("while LOCK was removed: %w", err)
}

// linkFiles makes a copy of the store with hard links, goes on, and judges the copy:
// it holds what the store held when it was made, or one commit more.
func (g *generation) linkFiles() error {
	if g.full || g.failed {
		return nil // the log can't be copied, or is not written to any more
	}
	dir := g.dir + "-links"
	for {
		err := g.mem.Mkdir(dir, 0o700)
		if err == nil {
			break
		}
		if !errors.Is(err, fs.ErrExist) {
			return err
		}
		dir += "s"
	}
	g.note("all files are linked into %s", dir)
	before := g.history()
	entries, err := g.mem.List(g.dir)
	if err != nil {
		return err
	}
	for _, e := range entries {
		if err := g.mem.Link(path.Join(g.dir, e.Name), path.Join(dir, e.Name)); err != nil {
			return err
		}
	}
	// The first may go to the shared log, the second does not.
	for range 2 {
		if err := g.update(); err != nil {
			return err
		}
	}
	if g.struck() {
		return nil // what it took from the store is also gone from the copy, or is not
	}
	killed := g.mem.Kill()
	for _, e := range entries {
		if err := g.mem.Remove(path.Join(dir, e.Name)); err != nil {
			return err
		}
	}
	return g.judgeLinks(dir, killed, before.acked)
}

// judgeLinks opens the store in dir, which has at least the first acked updates.
func (g *generation) judgeLinks(dir string, mem *memfs.FS, acked int) error {
	defer storefs.Mount(dir, mem)()
	m := &Machine{}
	s, err := store.Open(dir, m, &g.opts)
	if err != nil {
		return fmt.Errorf("the copy with hard links does not open: %w", err)
	}
	hist := g.history()
	hist.acked = acked
	if err := errors.Join(hist.Check(m), s.Close()); err != nil {
		return fmt.Errorf("the copy with hard links: %w", err)
	}
	return nil
}
