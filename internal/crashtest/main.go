package crashtest

import (
	"cmp"
	"fmt"
	"math/rand/v2"
	"os"
	"runtime"
	"runtime/debug"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// Budget says how much a test is to do. Each field comes from an environment
// variable, or is the test's default.
type Budget struct {
	Seed  uint64        // STATEIO_CRASH_SEED: this run alone; 0: many
	Count int64         // STATEIO_CRASH_COUNT: states to reach
	Time  time.Duration // STATEIO_CRASH_TIME: time to spend; 0: Count decides
	From  uint64        // STATEIO_CRASH_FROM: the first seed of many; 0: any
}

// NewBudget returns the budget of a test that reaches count states by default.
func NewBudget(t testing.TB, count int64) Budget {
	t.Helper()
	b := Budget{Count: count}
	if v := os.Getenv("STATEIO_CRASH_SEED"); v != "" {
		b.Seed = parse(t, v, parseSeed)
	}
	if v := os.Getenv("STATEIO_CRASH_FROM"); v != "" {
		b.From = parse(t, v, parseSeed)
	}
	if v := os.Getenv("STATEIO_CRASH_COUNT"); v != "" {
		b.Count = parse(t, v, func(s string) (int64, error) { return strconv.ParseInt(s, 10, 64) })
		if b.Count < 1 {
			t.Fatalf("STATEIO_CRASH_COUNT=%s: a test of no states would pass", v)
		}
	}
	if v := os.Getenv("STATEIO_CRASH_TIME"); v != "" {
		b.Time = parse(t, v, time.ParseDuration)
	}
	return b
}

func parseSeed(s string) (uint64, error) { return strconv.ParseUint(s, 10, 64) }

func parse[T any](t testing.TB, s string, f func(string) (T, error)) T {
	t.Helper()
	v, err := f(s)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

// progressEvery is how often a test tells how far it is.
const progressEvery = 10 * time.Second

// workersPerCore is above 1 because a run mostly waits for one of its own
// goroutines to hand over to another.
const workersPerCore = 2

// Test does the runs of seeds that follow one another until the budget is used up, and
// tells which these were. So a long campaign can be made in pieces, which are told
// where to begin. A failure prints the seed and, from a second run of it, a transcript.
func Test(t *testing.T, b Budget) {
	if b.Seed != 0 {
		replay(t, b.Seed)
		return
	}
	defer debug.SetGCPercent(debug.SetGCPercent(gcPercent))
	c := &campaign{t: t, budget: b, start: time.Now(), from: cmp.Or(b.From, rand.Uint64()>>1)}
	var workers sync.WaitGroup
	for w := range workersPerCore * runtime.GOMAXPROCS(0) {
		workers.Go(func() { c.work(fmt.Sprintf("/crash%d", w)) })
	}
	stop := make(chan struct{})
	var reporter sync.WaitGroup
	reporter.Go(func() { c.report(stop) })
	workers.Wait()
	close(stop)
	reporter.Wait()
	t.Logf("%v, seeds %d to %d", c, c.from, c.from+c.taken.Load()-1)
	if seed := c.failed.Load(); seed != 0 {
		replay(t, seed)
		t.Errorf("seed %d failed, and not when it was run again", seed)
	}
}

// gcPercent is for the heap of a run, which is so small that the collector would hardly
// rest.
const gcPercent = 1000

// A campaign is many runs.
type campaign struct {
	t            *testing.T
	budget       Budget
	start        time.Time
	from         uint64        // the first seed
	taken        atomic.Uint64 // seeds from there on, of runs that are done or under way
	states, runs atomic.Int64
	failed       atomic.Uint64 // seed of a run
}

// work does runs in dir until there are enough.
func (c *campaign) work(dir string) {
	for !c.enough() {
		seed := c.from + c.taken.Add(1) - 1
		r := NewRun(seed, dir, nil)
		err := do(c.t, r)
		c.states.Add(int64(r.States))
		if c.runs.Add(1); err != nil {
			c.failed.Store(seed)
		}
	}
}

func (c *campaign) enough() bool {
	switch {
	case c.failed.Load() != 0:
		return true
	case c.budget.Time > 0:
		return time.Since(c.start) > c.budget.Time
	}
	return c.states.Load() >= c.budget.Count
}

// report tells how far the campaign is, until stop is closed.
func (c *campaign) report(stop <-chan struct{}) {
	tick := time.NewTicker(progressEvery)
	defer tick.Stop()
	for {
		select {
		case <-stop:
			return
		case <-tick.C:
			c.t.Log(c)
		}
	}
}

// String tells how far the campaign is.
func (c *campaign) String() string {
	states, took := c.states.Load(), time.Since(c.start)
	return fmt.Sprintf("%d crash states of %d runs in %v: %.0f a second and core", states, c.runs.Load(),
		took.Round(time.Millisecond), float64(states)/took.Seconds()/float64(runtime.GOMAXPROCS(0)))
}

// do does a run. One in which snapshots start by themselves gets a bubble of its
// own, to know when they are made.
func do(t *testing.T, r *Run) (err error) {
	if !r.Automatic() {
		return r.Do(nil)
	}
	synctest.Test(t, func(*testing.T) { err = r.Do(synctest.Wait) })
	return err
}

// replay does the run of a seed with a transcript, and fails as it does.
func replay(t *testing.T, seed uint64) {
	var transcript strings.Builder
	if err := do(t, NewRun(seed, "/crash", &transcript)); err != nil {
		t.Fatalf("%v\nreplay it with STATEIO_CRASH_SEED=%d; transcript:\n%s", err, seed, &transcript)
	}
}
