package crashtest

import (
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
}

// NewBudget returns the budget of a test that reaches count states by default.
func NewBudget(t testing.TB, count int64) Budget {
	t.Helper()
	b := Budget{Count: count}
	if v := os.Getenv("STATEIO_CRASH_SEED"); v != "" {
		b.Seed = parse(t, v, func(s string) (uint64, error) { return strconv.ParseUint(s, 10, 64) })
	}
	if v := os.Getenv("STATEIO_CRASH_COUNT"); v != "" {
		b.Count = parse(t, v, func(s string) (int64, error) { return strconv.ParseInt(s, 10, 64) })
	}
	if v := os.Getenv("STATEIO_CRASH_TIME"); v != "" {
		b.Time = parse(t, v, time.ParseDuration)
	}
	return b
}

func parse[T any](t testing.TB, s string, f func(string) (T, error)) T {
	t.Helper()
	v, err := f(s)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

// progressEvery is how often a test that has a budget of time tells how far it
// is.
const progressEvery = 10 * time.Second

// workersPerCore is above 1 because a run mostly waits for one of its own
// goroutines to hand over to another.
const workersPerCore = 2

// Test does runs until the budget is used up. A failure prints the seed and,
// from a second run of it, a transcript.
func Test(t *testing.T, b Budget) {
	if b.Seed != 0 {
		replay(t, b.Seed)
		return
	}
	// The heap of a run is so small that the collector would hardly rest.
	defer debug.SetGCPercent(debug.SetGCPercent(1000))
	c := &campaign{t: t, budget: b, start: time.Now()}
	var workers sync.WaitGroup
	for w := range workersPerCore * runtime.GOMAXPROCS(0) {
		workers.Go(func() { c.work(fmt.Sprintf("/crash%d", w)) })
	}
	stop := make(chan struct{})
	var reporter sync.WaitGroup
	if b.Time > 0 {
		reporter.Go(func() { c.report(stop) })
	}
	workers.Wait()
	close(stop)
	reporter.Wait()
	t.Log(c)
	if seed := c.failed.Load(); seed != 0 {
		replay(t, seed)
		t.Errorf("seed %d failed, and not when it was run again", seed)
	}
}

// A campaign is many runs.
type campaign struct {
	t            *testing.T
	budget       Budget
	start        time.Time
	states, runs atomic.Int64
	failed       atomic.Uint64 // seed of a run
}

// work does runs in dir until there are enough.
func (c *campaign) work(dir string) {
	for !c.enough() {
		seed := rand.Uint64() | 1
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
