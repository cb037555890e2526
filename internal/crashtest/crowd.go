package crashtest

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/stateio/stateio/internal/fsys/faultfs"
	"github.com/stateio/stateio/internal/fsys/memfs"
	"github.com/stateio/stateio/internal/storefs"
	"github.com/stateio/stateio/store"
)

// A Crowd is many users of one store at once: writers that wait, that give up
// and that do not wait, readers, followers, snapshots and backups, and in the end
// two who close it. In some, a write or sync fails, or Apply panics.
//
// Whenever somebody is told that an update is durable, in whatever way, and before
// every sync, a power cut may come: what it leaves must open, and hold what was told.
// The seed says what is done; the moments are those of the scheduler, so a failure
// is not sure to come again.
type Crowd struct {
	States int // crash states that were opened and judged

	dir    string
	seed   uint64
	opts   store.Options
	fault  bool // a write or sync of a log fails
	panics bool // Apply panics at some update

	mem *memfs.FS
	fs  *faultfs.FS
	m   *busy
	s   *store.Store

	steps  atomic.Int64 // that were done: a sign of life
	failed atomic.Bool  // somebody was told that the store has failed

	mu      sync.Mutex // guards all below
	rng     *rand.Rand
	durable uint64 // somebody was told that the first so many updates are durable
	drawn   []cut
	cuts    int   // of drawn, before a sync
	err     error // the first thing that is wrong
}

// A cut is what a power cut left when somebody had been told that so many updates
// are durable.
type cut struct {
	mem     *memfs.FS
	updates uint64
	when    string
}

// NewCrowd returns the crowd of a seed. dir is as for [NewRun].
func NewCrowd(seed uint64, dir string) *Crowd {
	rng := rand.New(rand.NewPCG(seed, 0xc40d))
	c := &Crowd{
		dir: dir, seed: seed, rng: rng,
		mem: memfs.New(memfs.Options{Now: new(clock).now}), m: newBusy(),
		fault: rng.IntN(4) == 0, panics: rng.IntN(6) == 0,
		opts: store.Options{
			SnapshotBytes: -1, KeepSnapshots: 1000, // so that nobody is too slow to follow
			PreallocateBytes: pick(rng, int64(1), 4096, 20_000),
			MaxPending:       pick(rng, 100, 2000, 0),
			Logger:           slog.New(slog.DiscardHandler),
		},
	}
	c.fs = faultfs.New(c.mem)
	return c
}

// Crowds does as many crowds, and fails the test with the first that goes wrong.
func Crowds(t testing.TB, crowds int) {
	t.Helper()
	states := 0
	for range crowds {
		c := NewCrowd(rand.Uint64(), "/crowd")
		if err := c.Do(); err != nil {
			t.Fatalf("%v\nthe crowd was that of seed %d", err, c.seed)
		}
		states += c.States
	}
	t.Logf("%d crowds, %d crash states", crowds, states)
}

// Do lets the crowd loose, and returns what is wrong with the store, nil if
// nothing is.
func (c *Crowd) Do() error {
	unmount := storefs.Mount(c.dir, c.fs)
	defer unmount()
	s, err := store.Open(c.dir, c.m, &c.opts)
	if err != nil {
		return err
	}
	c.s = s
	c.fs.OnOp(c.onOp)
	if c.fault {
		c.fs.Inject(faultfs.Fault{
			Kinds: pick(c.rng, faultfs.OpWrite, faultfs.OpDatasync), Path: "*.log",
			N: 1 + c.rng.Int64N(40), Forever: c.rng.IntN(2) == 0, Err: syscall.EIO, Revert: c.rng.IntN(2) == 0,
		})
	}
	through := make(chan struct{})
	go func() {
		defer close(through)
		c.work()
	}()
	if err := c.watch(through); err != nil {
		return err
	}
	unmount()
	return c.judge()
}

// onOp lets a power cut come before a sync, and makes a commit take its time, so
// that others come meanwhile.
func (c *Crowd) onOp(op faultfs.Op) {
	if op.Kind&(faultfs.OpSync|faultfs.OpDatasync|faultfs.OpSyncDir) != 0 {
		c.mu.Lock()
		if c.cuts < maxCuts && c.rng.IntN(3) == 0 {
			c.cuts++
			c.draw("before " + op.String())
		}
		c.mu.Unlock()
	}
	if op.Kind&(faultfs.OpDatasync|faultfs.OpRename) != 0 && strings.Contains(op.Path, ".log") {
		idle(rand.IntN(60))
	}
}

// idle lets others go first, that many times.
func idle(n int) {
	for range n {
		runtime.Gosched()
	}
}

// patience is how long nothing at all may happen.
const patience = 10 * time.Second

// watch waits until the crowd is through, and reports an error if it hangs.
func (c *Crowd) watch(through <-chan struct{}) error {
	tick := time.NewTicker(patience)
	defer tick.Stop()
	for before := int64(-1); ; {
		select {
		case <-through:
			return nil
		case <-tick.C:
		}
		now := c.steps.Load() + c.fs.Ops()
		if now == before {
			stacks := make([]byte, 1<<20)
			return fmt.Errorf("the store hangs: nothing has happened for %v\n%s", patience, stacks[:runtime.Stack(stacks, true)])
		}
		before = now
	}
}

// wrong notes what is wrong.
func (c *Crowd) wrong(format string, args ...any) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.err == nil {
		c.err = fmt.Errorf(format, args...)
	}
}

// maxTold and maxCuts bound the crash states that are drawn when somebody is told
// of durable updates, and before syncs.
const maxTold, maxCuts = 30, 20

// told notes that somebody was told that the first n updates are durable.
func (c *Crowd) told(n uint64, by string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.durable = max(c.durable, n)
	if len(c.drawn)-c.cuts < maxTold && c.rng.IntN(3) == 0 {
		c.draw("after " + by + " told of it")
	}
}

// draw draws what a power cut leaves now. The caller holds mu.
func (c *Crowd) draw(when string) {
	c.drawn = append(c.drawn, cut{c.mem.Crash(c.rng), c.durable, when})
}

// outcome judges the error of a step and reports whether it succeeded.
func (c *Crowd) outcome(what string, err error) bool {
	c.steps.Add(1)
	switch {
	case err == nil:
		return true
	case errors.Is(err, store.ErrFailed):
		c.failed.Store(true)
		if !c.fault && !c.panics {
			c.wrong("%s: %w, though nothing has failed", what, err)
		}
	case errors.Is(err, store.ErrClosed), errors.Is(err, context.Canceled), c.fault && errors.Is(err, syscall.EIO):
	default:
		c.wrong("%s: %w", what, err)
	}
	return false
}

// judge opens all that power cuts have left, and what the last one leaves now.
func (c *Crowd) judge() error {
	if c.err != nil {
		return c.err
	}
	least := c.durable
	if !c.fault && !c.panics {
		least = uint64(len(c.m.chain) - 1) // Close returned nil
	}
	c.drawn = append(c.drawn, cut{c.mem.Crash(c.rng), least, "after Close"})
	for _, d := range c.drawn {
		c.States++
		if err := c.recover(d); err != nil {
			return fmt.Errorf("a power cut %s, with %d updates known to be durable: %w", d.when, d.updates, err)
		}
	}
	return nil
}

// recover opens what is left and judges it.
func (c *Crowd) recover(d cut) error {
	defer storefs.Mount(c.dir, d.mem)()
	m := &Machine{}
	s, err := store.Open(c.dir, m, &c.opts)
	if err != nil {
		return fmt.Errorf("the store does not open: %w", err)
	}
	if err := s.Close(); err != nil {
		return err
	}
	switch {
	case m.Count < d.updates:
		return fmt.Errorf("%d are there", m.Count)
	case m.Count >= uint64(len(c.m.chain)):
		return fmt.Errorf("%d are there, of %d that were applied", m.Count, len(c.m.chain)-1)
	case m.Digest != c.m.chain[m.Count]:
		return fmt.Errorf("the state is not that of the first %d", m.Count)
	}
	return nil
}
