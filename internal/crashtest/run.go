package crashtest

import (
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"sync"

	"github.com/stateio/stateio/internal/fsys/faultfs"
	"github.com/stateio/stateio/internal/fsys/memfs"
	"github.com/stateio/stateio/store"
)

const (
	// Generations is how many crashes deep an ordinary run goes.
	Generations = 3
	// CompoundGenerations is how many crashes deep a run goes in which operations
	// on files fail besides: a crash, a fault while the store recovers from it, a
	// crash then, and so on. The last recovery has no faults and must succeed.
	CompoundGenerations = 5
)

// A Run is one walk through crashes. Everything in it follows from the seed.
type Run struct {
	States int // crash states that were opened and judged

	dir         string
	rng         *rand.Rand
	opts        store.Options
	transcript  io.Writer
	perGen      int    // crash states drawn in a generation, about
	generations int    // crashes deep
	compound    bool   // operations on files fail, too
	idle        func() // waits for snapshots that start by themselves; nil: there are none
}

// A state is what a power cut left, or the end of a process, with what may be
// found there.
type state struct {
	mem   *memfs.FS
	hist  *History
	depth int
	full  bool // the disk has no space left
	event event
}

// An event is what leaves a state.
type event struct {
	kill   bool       // the process was killed; else it is a power cut
	before faultfs.Op // the operation that it came before; the zero value: none
}

// String implements fmt.Stringer. Only a failure needs it.
func (e event) String() string {
	what, when := "a power cut", "at the end"
	if e.kill {
		what = "being killed"
	}
	if e.before.Kind != 0 {
		when = "before " + e.before.String()
	}
	return what + " " + when
}

// NewRun returns the run of a seed. dir, a path in the root of the file system,
// must not be used by another run at the same time. transcript, if it is not
// nil, gets each operation.
func NewRun(seed uint64, dir string, transcript io.Writer) *Run {
	rng := rand.New(rand.NewPCG(seed, 0x5707e))
	r := &Run{
		dir: dir, rng: rng, transcript: serial(transcript),
		perGen: 3 + rng.IntN(40), generations: Generations,
		opts: store.Options{
			SnapshotBytes:    -1, // else they begin when the scheduler likes; see Automatic
			KeepSnapshots:    1 + rng.IntN(3),
			PreallocateBytes: pick(rng, int64(1), 4096, 20_000, 100_000),
			Logger:           slog.New(slog.DiscardHandler),
		},
	}
	switch rng.IntN(8) {
	case 0, 1:
		r.compound, r.generations = true, CompoundGenerations
	case 2:
		r.opts.SnapshotBytes = pick(rng, int64(500), 5000, 50_000)
	}
	if rng.IntN(4) == 0 {
		size := pick(rng, 0, 5000, 50_000)
		r.opts.Shadow = func() store.Machine { return &Machine{Size: size} }
	}
	return r
}

// Automatic reports whether snapshots of the run start by themselves. They do
// so at the same moments at each replay only if idle, which Do is then given,
// waits until all goroutines of the store are at rest.
func (r *Run) Automatic() bool { return r.opts.SnapshotBytes > 0 }

func pick[T any](rng *rand.Rand, values ...T) T { return values[rng.IntN(len(values))] }

// Do does the run and returns what is wrong with the store, nil if nothing is.
// idle is not used unless the run is Automatic.
func (r *Run) Do(idle func()) error {
	if r.Automatic() {
		r.idle = idle
	}
	mem := memfs.New(r.memOptions())
	return r.generation(state{mem: mem, hist: NewHistory()})
}

func (r *Run) memOptions() memfs.Options {
	return memfs.Options{PageSize: pick(r.rng, 512, 4096), Garbage: r.rng.IntN(2) == 0, Now: new(clock).now}
}

// generation opens the store on a state, judges it, works on it, and goes on
// with states that crashes leave during all of that.
func (r *Run) generation(st state) error {
	g := newGeneration(r, st)
	if err := g.live(); err != nil {
		return fmt.Errorf("generation %d, after %s: %w", st.depth, st.origin(), err)
	}
	for _, next := range g.drawn {
		r.States++
		if err := r.generation(next); err != nil {
			return err
		}
	}
	return nil
}

// A serialWriter is for lines from several goroutines.
type serialWriter struct {
	mu sync.Mutex
	w  io.Writer
}

func serial(w io.Writer) io.Writer {
	if w == nil {
		return nil
	}
	return &serialWriter{w: w}
}

func (s *serialWriter) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.w.Write(p)
}

// origin tells where st comes from.
func (st *state) origin() string {
	if st.depth == 0 {
		return "the beginning"
	}
	return st.event.String()
}

// note writes a line into the transcript.
func (r *Run) note(format string, args ...any) {
	if r.transcript != nil {
		_, _ = fmt.Fprintf(r.transcript, "-- "+format+"\n", args...) // it is in memory
	}
}
