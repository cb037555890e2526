package crashtest

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"strings"
	"sync"

	"github.com/stateio/stateio/internal/fsys"
	"github.com/stateio/stateio/internal/storefs"
	"github.com/stateio/stateio/store"
)

// Generations is how many crashes deep a run goes.
const Generations = 3

// A Run is one walk through crashes. Everything in it follows from the seed.
type Run struct {
	States int // crash states that were opened and judged

	dir        string
	rng        *rand.Rand
	opts       store.Options
	transcript io.Writer
	perGen     int // crash states drawn in a generation, about
}

// A state is what a power cut left, or the end of a process, with what may be
// found there.
type state struct {
	mem   *fsys.Mem
	hist  *History
	depth int
	where string // what happened, before which operation
}

// NewRun returns the run of a seed. dir, a path in the root of the file system,
// must not be used by another run at the same time. transcript, if it is not
// nil, gets each operation.
func NewRun(seed uint64, dir string, transcript io.Writer) *Run {
	rng := rand.New(rand.NewPCG(seed, 0x5707e))
	return &Run{
		dir: dir, rng: rng, transcript: transcript,
		perGen: 3 + rng.IntN(40),
		opts: store.Options{
			SnapshotBytes:    -1, // by themselves, they would come at another moment at each replay
			KeepSnapshots:    1 + rng.IntN(3),
			PreallocateBytes: pick(rng, int64(1), 4096, 20_000, 100_000),
			Logger:           slog.New(slog.DiscardHandler),
		},
	}
}

func pick[T any](rng *rand.Rand, values ...T) T { return values[rng.IntN(len(values))] }

// Do does the run and returns what is wrong with the store, nil if nothing is.
func (r *Run) Do() error {
	mem := fsys.NewMem(fsys.MemOptions{PageSize: pick(r.rng, 512, 4096), Garbage: r.rng.IntN(2) == 0})
	return r.generation(state{mem: mem, hist: NewHistory(), where: "the beginning"})
}

// generation opens the store on a state, judges it, works on it, and goes on
// with states that crashes leave during all of that.
func (r *Run) generation(st state) error {
	g := &generation{Run: r, state: st, fs: fsys.NewFaulty(st.mem)}
	g.note("generation %d, after %s", st.depth, st.where)
	if st.depth < Generations {
		g.left = max(1, r.perGen>>(2*st.depth))
		g.every = 1 + r.rng.IntN(8)
		g.fs.OnOp(g.onOp)
	}
	g.fs.Transcript(r.transcript)
	defer storefs.Mount(r.dir, g.fs)()
	err := g.live()
	if err != nil {
		return fmt.Errorf("generation %d, after %s: %w", st.depth, st.where, err)
	}
	if g.err != nil {
		return g.err
	}
	for _, next := range g.drawn {
		r.States++
		if err := r.generation(next); err != nil {
			return err
		}
	}
	return nil
}

// A generation is a store's life from one crash to the next.
type generation struct {
	*Run
	state
	fs    *fsys.Faulty
	s     *store.Store
	drawn []state
	left  int  // states to draw
	every int  // operations between draws, on average
	burst int  // updates to submit during the next write to a log
	busy  bool // in the middle of an operation

	leader int // the update during whose sync others were submitted, or 0

	mu  sync.Mutex // guards hist's count of what was acknowledged
	err error
}

func (g *generation) note(format string, args ...any) {
	if g.transcript != nil {
		_, _ = fmt.Fprintf(g.transcript, "-- "+format+"\n", args...) // it is in memory
	}
}

// onOp is called before every operation of the store on the file system.
func (g *generation) onOp(op fsys.Op) {
	if op.Kind&fsys.Changes == 0 {
		return
	}
	if g.leader > 0 && !g.busy {
		// Its sync is over. The goroutine that made the update may come to note
		// that earlier or later, which must make no difference to a replay.
		g.ack(g.leader)
		g.leader = 0
	}
	if g.left > 0 && g.rng.IntN(g.every) == 0 {
		g.left--
		next := state{hist: g.history(), depth: g.depth + 1, where: "a power cut before " + op.String()}
		if g.rng.IntN(4) == 0 {
			next.mem, next.where = g.mem.Kill(), "being killed before "+op.String()
		} else {
			next.mem = g.mem.Crash(g.rng)
		}
		g.drawn = append(g.drawn, next)
	}
	switch {
	case g.busy || g.s == nil:
	case g.burst > 0 && op.Kind == fsys.OpDatasync && strings.HasSuffix(op.Path, ".log"):
		// Submitted from within a commit, they make up the next batch: the same
		// one at each replay of the seed.
		n := g.burst
		g.burst, g.leader = 0, g.hist.Len()
		g.meanwhile(n, g.submit)
	case strings.Contains(op.Path, ".snap") && g.rng.IntN(4) == 0:
		g.meanwhile(1, g.update)
	}
}

// ack notes that the first n updates are acknowledged.
func (g *generation) ack(n int) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.hist.Acked(n)
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
		if err := do(); err != nil {
			g.err = err
		}
	}
}

// live opens the store, judges it, and works on it.
func (g *generation) live() error {
	m := &Machine{Size: pick(g.rng, 0, 10, 5000, 40_000)}
	s, err := store.Open(g.dir, m, &g.opts)
	if err != nil {
		return fmt.Errorf("the store does not open: %w", err)
	}
	g.note("%v", s.Recovery())
	if err := g.hist.Check(m); err != nil {
		_ = s.Close() // its error matters no more
		return err
	}
	g.hist.Recovered(m)
	g.s = s
	if g.depth < Generations || g.rng.IntN(16) == 0 {
		err = g.work(m)
	}
	return errors.Join(err, g.s.Close())
}

// work does some things a program does.
func (g *generation) work(m *Machine) (err error) {
	for range g.rng.IntN(12) >> g.depth {
		switch g.rng.IntN(8) {
		case 0:
			g.note("snapshot")
			err = g.s.Snapshot(context.Background())
		case 1:
			err = g.reopen(m)
		case 2, 3:
			g.burst = 1 + g.rng.IntN(6)
			err = g.update()
			g.burst = 0
		default:
			err = g.update()
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// size draws the size of an update: mostly small, at times around a block's.
func (g *generation) size() int {
	switch g.rng.IntN(20) {
	case 0:
		return 32_600 + g.rng.IntN(200)
	case 1:
		return g.rng.IntN(70_000)
	case 2, 3, 4:
		return g.rng.IntN(5000)
	}
	return g.rng.IntN(200)
}

// update makes an update and waits until all is durable.
func (g *generation) update() error {
	n := g.hist.Len() + 1
	if _, err := g.s.Update(context.Background(), g.hist.Next(g.size())); err != nil {
		return err
	}
	g.ack(n)
	if err := g.s.Sync(context.Background()); err != nil {
		return err
	}
	g.ack(g.hist.Len())
	return nil
}

func (g *generation) submit() error {
	_, err := g.s.Submit(g.hist.Next(g.size()))
	return err
}

// reopen closes the store and opens it again.
func (g *generation) reopen(m *Machine) error {
	g.note("reopening")
	if err := g.s.Close(); err != nil {
		return err
	}
	*m = Machine{Size: m.Size}
	s, err := store.Open(g.dir, m, &g.opts)
	if err != nil {
		return fmt.Errorf("the store does not open again: %w", err)
	}
	g.s = s
	return g.hist.Check(m)
}
