package crashtest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"iter"
	"slices"
	"strings"

	"github.com/stateio/stateio/store"
)

// A follower reads the durable updates one after the other. It is only asked
// for those that are there, so that it never waits.
type follower struct {
	next func() (store.Update, error, bool)
	stop func()
	at   uint64 // index of the next update
}

// followOn has a follower read all updates that became durable since it did so
// last. The first time it begins anywhere.
func (g *generation) followOn() error {
	if g.follow == nil {
		from := 1 + g.rng.Uint64N(g.s.Index()+1)
		g.note("following from update %d", from)
		next, stop := iter.Pull2(g.s.Updates(context.Background(), from))
		g.follow = &follower{next: next, stop: stop, at: from}
	}
	durable := g.s.Stats().Durable
	g.note("reading updates %d to %d", g.follow.at, durable)
	for g.follow.at <= durable {
		u, err, ok := g.follow.next()
		if err != nil || !ok {
			at := g.follow.at
			g.unfollow()
			if errors.Is(err, store.ErrNotRetained) && g.droppable(at) {
				return nil
			}
			return g.outcome("following", fmt.Errorf("at update %d, with more: %v: %w", at, ok, err))
		}
		if err := g.hist.update(u, g.follow.at); err != nil {
			return err
		}
		g.follow.at++
	}
	return nil
}

func (g *generation) unfollow() {
	if g.follow != nil {
		g.follow.stop()
		g.follow = nil
	}
}

// update tells what is wrong with u, which should be the update of that index.
func (h *History) update(u store.Update, index uint64) error {
	switch {
	case u.Index != index:
		return fmt.Errorf("update %d was followed by %d", index-1, u.Index)
	case index > uint64(h.Len()):
		return fmt.Errorf("update %d was never made", index)
	case u.State:
		m := &Machine{}
		return errors.Join(m.Restore(bytes.NewReader(u.Data)), h.at(m, index))
	case link(h.chain[index-1], u.Data) != h.chain[index]:
		return fmt.Errorf("update %d is not the one that was made", index)
	}
	return nil
}

// at tells what is wrong with a machine that should be in the state of index.
func (h *History) at(m *Machine, index uint64) error {
	if h.parts[index] {
		return fmt.Errorf("a change is there in part: %d of its updates, and not the next", index)
	}
	if m.Count != index || m.Digest != h.chain[index] {
		return fmt.Errorf("the state is that of %d updates, or of none, and not that of the first %d", m.Count, index)
	}
	return nil
}

// restoreAt looks at the state after any durable update.
func (g *generation) restoreAt() error {
	index := g.rng.Uint64N(g.s.Stats().Durable + 1)
	g.note("the state of index %d", index)
	m := &Machine{}
	err := store.RestoreAt(context.Background(), g.dir, m, index, nil)
	switch {
	case errors.Is(err, store.ErrNotRetained) && (g.hist.parts[index] || !g.retained(index)):
		return nil
	case err != nil && len(g.bases(".log"))+len(g.bases(".snap")) == 0:
		return nil // there was no space for a first file yet
	case err != nil:
		return g.outcome(fmt.Sprintf("restoring index %d", index), err)
	}
	return g.hist.at(m, index)
}

// droppable reports whether the update of index is in the oldest snapshot there
// is, so that the logs up to it may have been dropped, all or some.
func (g *generation) droppable(index uint64) bool {
	snaps := g.bases(".snap")
	return len(snaps) > 0 && slices.Min(snaps) >= index
}

// retained reports whether the state of index must be there.
func (g *generation) retained(index uint64) bool {
	snaps := g.bases(".snap")
	if len(snaps) > 0 && slices.Min(snaps) <= index {
		return true
	}
	// Once there are enough snapshots old logs are removed, and a crash may bring
	// back the first of them without the next.
	return slices.Contains(g.bases(".log"), 0) && len(snaps) < g.opts.KeepSnapshots
}

// bases returns the numbers in the names of the store's files with that suffix.
func (g *generation) bases(suffix string) (bases []uint64) {
	l, _ := g.mem.List(g.dir) // an error: there is no store, and no file of it
	for _, e := range l {
		var base uint64
		if _, err := fmt.Sscanf(e.Name, "%020d", &base); err == nil && strings.HasSuffix(e.Name, suffix) {
			bases = append(bases, base)
		}
	}
	return bases
}
