package crashtest

import (
	"errors"
	"fmt"
	"strings"
	"sync"

	"github.com/stateio/stateio/internal/fsys/faultfs"
	"github.com/stateio/stateio/internal/storefs"
	"github.com/stateio/stateio/store"
)

// A generation is a store's life from one crash to the next.
type generation struct {
	*Run
	state
	fs    *faultfs.FS
	s     *store.Store // nil while it is not open
	m     *Machine     // of s
	drawn []state
	left  int  // states to draw
	every int  // operations between draws, on average
	burst int  // updates to submit during the next write to a log, unless they might wait for that
	waits bool // nothing can be set aside: an update may wait for a commit
	busy  bool // in the middle of an operation

	leader int // the update during whose sync others were submitted, or 0

	fault *faultfs.Injection // nil: no operation fails
	hits  int64              // of it, at the operation before
	fills bool               // it is that the disk is full
	// refusals counts the writes that were refused for that.
	refusals int
	copies   int       // of logs, that were begun while the disk was full
	failed   bool      // ErrFailed was seen since the store was opened
	follow   *follower // nil: nobody follows

	mu  sync.Mutex // guards hist
	err error      // what went wrong in the middle of an operation
}

func newGeneration(r *Run, st state) *generation {
	g := &generation{Run: r, state: st, fs: faultfs.New(st.mem)}
	if r.transcript != nil {
		g.note("generation %d, after %s", st.depth, st.origin())
	}
	if st.depth < r.generations {
		g.left = max(1, r.perGen>>(2*st.depth))
		g.every = 1 + r.rng.IntN(8)
		if r.compound && (st.depth > 0 || r.rng.IntN(3) == 0) {
			g.inject()
		}
		g.fs.OnOp(g.onOp)
	}
	g.fs.Transcript(r.transcript)
	return g
}

// onOp is called before every operation of the store on the file system.
func (g *generation) onOp(op faultfs.Op) {
	if op.Kind&faultfs.Changes == 0 {
		return
	}
	hit := g.hitNow()
	if hit {
		g.makeRoom(op)
	}
	g.makeRoomForCopy(op)
	if g.leader > 0 && !g.busy {
		// Its sync is over. The goroutine that made the update may come to note
		// that earlier or later, which must make no difference to a replay.
		g.ack(g.leader)
		g.leader = 0
	}
	// Before its fault, a generation that has one is like any other.
	if g.left > 0 && g.rng.IntN(g.every) == 0 && (g.fault == nil || g.hits > 0 || g.rng.IntN(8) == 0) {
		g.draw(op)
	}
	logSync := op.Kind == faultfs.OpDatasync && strings.HasSuffix(op.Path, ".log") && !hit
	switch {
	case g.busy || g.s == nil:
	case g.burst > 0 && logSync && !g.waits:
		// Submitted from within a commit, they make up the next batch: the same
		// one at each replay of the seed.
		n := g.burst
		g.burst, g.leader = 0, g.made()
		g.meanwhile(n, g.submit)
	case g.idle != nil && logSync:
		// A snapshot may start before the update returns, also one that was refused.
		g.leader = min(g.made(), int(g.s.Index()))
	case strings.Contains(op.Path, ".snap") && g.s.Index() > 0 && g.idle == nil && g.rng.IntN(4) == 0:
		g.meanwhile(1, g.update)
	}
}

// draw draws a state that a crash leaves now, before an operation or, if that is the
// zero value, at the end.
func (g *generation) draw(before faultfs.Op) {
	g.left--
	next := state{hist: g.history(), depth: g.depth + 1, full: g.full, event: event{before: before}}
	if g.rng.IntN(4) == 0 {
		next.mem, next.event.kill = g.mem.Kill(), true
	} else {
		next.mem = g.mem.Crash(g.rng)
	}
	g.drawn = append(g.drawn, next)
}

// ack notes that the first n updates are acknowledged.
func (g *generation) ack(n int) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.hist.Acked(n)
}

// made returns how many updates were made.
func (g *generation) made() int {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.hist.Len()
}

// next returns the next update to make.
func (g *generation) next(size int) []byte {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.hist.Next(size)
}

// refused notes that the last update was not applied.
func (g *generation) refused() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.hist.Refused()
}

// history returns a copy of the history.
func (g *generation) history() *History {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.hist.Clone()
}

// meanwhile does something n times in the middle of an operation.
func (g *generation) meanwhile(n int, do func() error) {
	g.busy = true
	defer func() { g.busy = false }()
	g.note("meanwhile, %d updates", n)
	for range n {
		if err := do(); err != nil && g.err == nil {
			g.err = err
		}
	}
}

// live opens the store, judges it, works on it, and closes it.
func (g *generation) live() error {
	defer storefs.Mount(g.dir, g.fs)()
	size := pick(g.rng, 0, 10, 5000, 40_000)
	err := g.open(size)
	if err == nil && (g.depth < g.generations || g.rng.IntN(16) == 0) {
		err = g.work()
	}
	err = errors.Join(err, g.close(), g.err)
	if err == nil && g.compound && g.left > 0 {
		g.draw(faultfs.Op{})
	}
	return err
}

// open opens the store and judges what it recovered. If that fails because of a
// fault, g.s is nil.
func (g *generation) open(size int) error {
	m := &Machine{Size: size}
	s, err := store.Open(g.dir, m, &g.opts)
	if err != nil {
		if g.struck() && !errors.Is(err, store.ErrCorrupt) {
			g.note("%v", err)
			return nil
		}
		return fmt.Errorf("the store does not open: %w", err)
	}
	if g.transcript != nil {
		found := s.Recovery()
		found.Took = 0 // a replay differs in that
		g.note("%v", found)
	}
	if err := g.hist.Check(m); err != nil {
		_ = s.Close() // its error matters no more
		return err
	}
	g.mu.Lock()
	g.hist.Recovered(m)
	g.mu.Unlock()
	g.s, g.m, g.failed = s, m, false
	return nil
}

// close closes the store, if it is open.
func (g *generation) close() error {
	if g.s == nil {
		return nil
	}
	g.unfollow()
	s := g.s
	err := g.outcome("closing", s.Close())
	g.s = nil
	return err
}
