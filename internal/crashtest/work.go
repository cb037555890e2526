package crashtest

import (
	"context"
	"errors"
	"fmt"

	"github.com/stateio/stateio/store"
)

// work does some things that a program does.
func (g *generation) work() error {
	for range g.rng.IntN(12) >> g.depth {
		if g.s == nil || g.err != nil {
			return nil
		}
		if err := g.step(); err != nil {
			return err
		}
		if g.idle != nil {
			g.idle()
		}
	}
	return nil
}

func (g *generation) step() error {
	switch g.rng.IntN(20) {
	case 0, 1:
		return g.snapshot()
	case 2, 3:
		return g.reopen()
	case 4, 5, 6:
		if g.idle == nil { // else its commits run during a snapshot, in any order
			g.burst = 1 + g.rng.IntN(6)
			defer func() { g.burst = 0 }()
		}
	case 7:
		return g.followOn()
	case 8, 13, 14:
		return g.restoreAt()
	case 9:
		if g.rng.IntN(3) == 0 {
			return g.backup()
		}
	case 10:
		g.fillDisk()
	case 11:
		return g.intrude()
	case 12:
		return g.linkFiles()
	case 15:
		return g.change()
	case 16:
		if g.rng.IntN(3) == 0 {
			return g.replace()
		}
	}
	return g.update()
}

// size draws the size of an update: mostly small, at times around a block's,
// seldom of many blocks.
func (g *generation) size() int {
	switch g.rng.IntN(20) {
	case 0:
		return 32_600 + g.rng.IntN(200)
	case 1:
		if !g.compound && g.rng.IntN(30) == 0 {
			return g.rng.IntN(600_000)
		}
		return g.rng.IntN(70_000)
	case 2, 3, 4:
		return g.rng.IntN(5000)
	}
	return g.rng.IntN(200)
}

// update makes an update and waits until all is durable.
func (g *generation) update() error {
	before, n := g.s.Index(), g.made()+1
	u := g.next(g.size())
	g.note("update %d of %d bytes", n, len(u))
	_, err := g.s.Update(context.Background(), u)
	if g.idle != nil {
		g.idle() // a snapshot may have started, of which the next lines say more
	}
	if g.s.Index() == before {
		g.refused()
		if err == nil {
			return errors.New("an update was acknowledged and not applied")
		}
		return g.outcome("the update", err)
	}
	if err != nil {
		return g.outcome("the update", err)
	}
	if g.failed {
		return errors.New("an update was acknowledged after the store had failed")
	}
	g.ack(n)
	if err := g.s.Sync(context.Background()); err != nil {
		return g.outcome("syncing", err)
	}
	g.ack(g.made())
	return nil
}

// change makes a change of several updates, and waits until all is durable.
func (g *generation) change() error {
	before, n := g.s.Index(), 1+g.rng.IntN(4)
	updates := g.nextJoined(n)
	made := g.made() // others may be submitted during the commit
	g.note("a change of %d updates", n)
	_, err := g.s.Change(context.Background(), func(tx *store.Tx) error {
		for _, u := range updates {
			if err := tx.Append(u); err != nil {
				return err
			}
		}
		for _, u := range updates {
			_, _ = g.m.Apply(u) // never refuses
		}
		return nil
	})
	if g.idle != nil {
		g.idle()
	}
	if g.s.Index() == before {
		for range updates {
			g.refused()
		}
	} else if err == nil {
		g.ack(made)
	}
	return g.outcome("the change", err)
}

// replace installs another state, and waits until it is durable.
func (g *generation) replace() error {
	g.mu.Lock()
	before, state := g.s.Index(), g.hist.NextState(g.size())
	g.mu.Unlock()
	made := g.made()
	g.note("a state of %d bytes", state.Size)
	_, err := g.s.Replace(context.Background(), state)
	if g.idle != nil {
		g.idle()
	}
	if g.s.Index() == before {
		g.refused()
	} else if err == nil {
		g.ack(made)
	}
	return g.outcome("installing a state", err)
}

// nextJoined returns the updates of a change.
func (g *generation) nextJoined(n int) (updates [][]byte) {
	g.mu.Lock()
	defer g.mu.Unlock()
	for range n {
		updates = append(updates, g.hist.Next(g.size()))
	}
	g.hist.Joined(n)
	return updates
}

// submit makes an update and waits for nothing.
func (g *generation) submit() error {
	before := g.s.Index()
	_, err := g.s.Submit(g.next(g.size()))
	if g.s.Index() == before {
		g.refused()
		return g.outcome("submitting", err)
	}
	return err
}

func (g *generation) snapshot() error {
	g.note("snapshot")
	return g.outcome("the snapshot", g.s.Snapshot(context.Background()))
}

// reopen closes the store and opens it again.
func (g *generation) reopen() error {
	g.note("reopening")
	if err := g.close(); err != nil {
		return err
	}
	if err := g.open(g.m.Size); err != nil {
		return fmt.Errorf("again: %w", err)
	}
	return nil
}

// fillDisk leaves hardly any space on the disk, or gives it back.
func (g *generation) fillDisk() {
	if g.full = !g.full; !g.full {
		g.note("there is space again")
		g.mem.SetQuota(0)
		return
	}
	quota := g.mem.Used() + int64(g.rng.IntN(30_000))
	g.note("the disk has %d bytes", quota)
	g.mem.SetQuota(max(1, quota))
}
