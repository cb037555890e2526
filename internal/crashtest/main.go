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

// Test does runs until the budget is used up. A failure prints the seed and,
// from a second run of it, a transcript.
func Test(t *testing.T, b Budget) {
	if b.Seed != 0 {
		replay(t, b.Seed)
		return
	}
	// The heap of a run is so small that the collector would hardly rest.
	defer debug.SetGCPercent(debug.SetGCPercent(1000))
	var (
		states, runs atomic.Int64
		failed       atomic.Uint64 // seed
		start        = time.Now()
		workers      sync.WaitGroup
	)
	enough := func() bool {
		return failed.Load() != 0 || b.Time == 0 && states.Load() >= b.Count || b.Time > 0 && time.Since(start) > b.Time
	}
	for w := range runtime.GOMAXPROCS(0) {
		workers.Go(func() {
			for !enough() {
				seed := rand.Uint64() | 1
				r := NewRun(seed, fmt.Sprintf("/crash%d", w), nil)
				err := r.Do()
				states.Add(int64(r.States))
				if runs.Add(1); err != nil {
					failed.Store(seed)
				}
			}
		})
	}
	workers.Wait()
	took := time.Since(start)
	t.Logf("%d crash states of %d runs in %v: %.0f a second and core", states.Load(), runs.Load(), took.Round(time.Millisecond),
		float64(states.Load())/took.Seconds()/float64(runtime.GOMAXPROCS(0)))
	if seed := failed.Load(); seed != 0 {
		replay(t, seed)
		t.Errorf("seed %d failed, and not when it was run again", seed)
	}
}

// replay does the run of a seed with a transcript, and fails as it does.
func replay(t *testing.T, seed uint64) {
	var transcript strings.Builder
	if err := NewRun(seed, "/crash", &transcript).Do(); err != nil {
		t.Fatalf("%v\nreplay it with STATEIO_CRASH_SEED=%d; transcript:\n%s", err, seed, &transcript)
	}
}
