package crashtest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"

	"github.com/stateio/stateio/internal/fsys"
	"github.com/stateio/stateio/internal/fsys/faultfs"
	"github.com/stateio/stateio/internal/fsys/memfs"
	"github.com/stateio/stateio/internal/storefs"
	"github.com/stateio/stateio/store"
)

// A copied is a backup, with the state that must be in it.
type copied struct {
	*Run
	hist  *History
	dir   string
	file  []byte
	index uint64
}

// backup makes a backup, and stores of it: one that is whole, and those that
// crashes leave while it is imported.
func (g *generation) backup() error {
	g.note("backup")
	var b bytes.Buffer
	index, err := g.s.Backup(context.Background(), &b)
	if err != nil {
		return g.outcome("the backup", err)
	}
	c := &copied{Run: g.Run, hist: g.hist, dir: g.dir + "-import", file: b.Bytes(), index: index}
	mem := memfs.New(g.memOptions())
	faulty := faultfs.New(mem)
	faulty.Transcript(g.transcript)
	var drawn []*memfs.FS
	faulty.OnOp(func(op faultfs.Op) {
		if op.Kind&faultfs.Changes != 0 && len(drawn) < 3 && g.rng.IntN(8) == 0 {
			drawn = append(drawn, mem.Crash(g.rng))
		}
	})
	if err := c.importInto(faulty); err != nil {
		return fmt.Errorf("importing a backup: %w", err)
	}
	for _, left := range drawn {
		g.States++
		if err := c.afterCrash(left); err != nil {
			return fmt.Errorf("after a power cut while a backup was imported: %w", err)
		}
	}
	return nil
}

// importInto makes a store of the backup in fs and judges it.
func (c *copied) importInto(fs fsys.FS) error {
	c.note("importing")
	defer storefs.Mount(c.dir, fs)()
	if err := store.Import(c.dir, bytes.NewReader(c.file), int64(len(c.file))); err != nil {
		return err
	}
	_, err := c.open()
	return err
}

// open opens the imported store, judges it, and closes it. There may be no
// store yet, so that empty is true.
func (c *copied) open() (empty bool, err error) {
	m := &Machine{}
	s, err := store.Open(c.dir, m, &c.opts)
	if err != nil {
		return false, err
	}
	if empty = m.Count == 0; !empty || c.index == 0 {
		err = c.hist.at(m, c.index)
	}
	return empty, errors.Join(err, s.Close())
}

// afterCrash judges what a crash left of the import: it can be done again, if
// the store is not there already; and before that, Open sees a store that is
// whole, none at all, or that the log is missing.
func (c *copied) afterCrash(left *memfs.FS) error {
	if c.rng.IntN(2) == 0 {
		defer storefs.Mount(c.dir, left)()
		_, serr := left.Stat(c.dir)
		switch empty, err := c.open(); {
		case errors.Is(err, store.ErrCorrupt):
			return nil
		case empty && c.index > 0 && serr == nil:
			return errors.New("a directory that was begun opens as an empty store")
		default:
			return err
		}
	}
	err := c.importInto(left)
	if !errors.Is(err, fs.ErrExist) {
		return err
	}
	defer storefs.Mount(c.dir, left)()
	switch empty, err := c.open(); {
	case err != nil:
		return fmt.Errorf("what can't be imported again: %w", err)
	case empty && c.index > 0:
		return errors.New("what can't be imported again is empty")
	}
	return nil
}
