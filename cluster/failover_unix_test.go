//go:build unix

package cluster

import (
	"errors"
	"os"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// TestFailoverIsQuick measures how long 16 clients get no acknowledgement when the
// leader is killed, with the default heartbeat, and when it hands over.
// STATEIO_CLUSTER_KILLS sets how often.
func TestFailoverIsQuick(t *testing.T) {
	rounds := 3
	if s := os.Getenv("STATEIO_CLUSTER_KILLS"); s != "" {
		var err error
		if rounds, err = strconv.Atoi(s); err != nil {
			t.Fatal(err)
		}
	}
	f := startFleet(t, 3, func(c *childConfig) { c.Heartbeat, c.Small = 0, false })
	f.leader()
	g := startGauge(f, 16)
	defer g.stop()
	usual := g.gaps(rounds, func() { g.flows(1000) })
	killed := g.gaps(rounds, func() {
		i := f.leader()
		f.kill(i)
		g.flows(100)
		f.start(i)
		eventually(t, "the node that was killed has caught up", func() bool {
			s, err := f.status(i)
			return err == nil && s.Stats.Applied > 0 && s.Stats.Lag < 100
		})
	})
	handed := g.gaps(rounds, func() {
		eventually(t, "the leader has handed over", func() bool { return f.tell(f.leader(), "transfer") == nil }) // it tries for 4 s
		g.flows(100)
	})
	t.Logf("gaps after kill -9: %v; of a hand-over: %v; otherwise: %v", killed, handed, usual)
	// An election is some writes, one after the other, each of which the disk may have last long.
	slack := 10 * slices.Max(usual)
	if most := slices.Max(killed); most > 10*time.Second+slack {
		t.Errorf("after kill -9 nothing was acknowledged for %v", most)
	}
	if mid := handed[len(handed)/2]; mid > time.Second+slack {
		t.Errorf("when the leader handed over, nothing was acknowledged for %v", mid)
	}
}

// A gauge is clients that add, and measures the longest time without an
// acknowledgement.
type gauge struct {
	f     *fleet
	done  chan struct{}
	wg    sync.WaitGroup
	began time.Time
	acked atomic.Int64
	last  atomic.Int64 // ns since began
	gap   atomic.Int64
}

func startGauge(f *fleet, clients int) *gauge {
	g := &gauge{f: f, done: make(chan struct{}), began: time.Now()}
	for i := range clients {
		g.wg.Go(func() { g.add(&caller{addr: f.configs[i%len(f.configs)].Serve}) })
	}
	return g
}

func (g *gauge) add(c *caller) {
	for {
		select {
		case <-g.done:
			return
		default:
		}
		if _, err := c.do("add x", 10*time.Second); errors.Is(err, errNothing) {
			wait(5*time.Millisecond, g.done)
			continue
		} else if err != nil {
			continue
		}
		g.acked.Add(1)
		now := int64(time.Since(g.began))
		took := now - g.last.Swap(now)
		for {
			gap := g.gap.Load()
			if took <= gap || g.gap.CompareAndSwap(gap, took) {
				break
			}
		}
	}
}

// flows waits until n updates are acknowledged.
func (g *gauge) flows(n int64) {
	g.f.t.Helper()
	want := g.acked.Load() + n
	eventually(g.f.t, "updates are acknowledged", func() bool { return g.acked.Load() >= want })
}

// gaps does something so many times, and returns the longest gap of each, sorted.
func (g *gauge) gaps(rounds int, do func()) (gaps []time.Duration) {
	g.f.t.Helper()
	for range rounds {
		g.flows(100)
		g.gap.Store(0)
		do()
		gaps = append(gaps, time.Duration(g.gap.Load()).Round(time.Millisecond))
	}
	slices.Sort(gaps)
	return gaps
}

func (g *gauge) stop() {
	close(g.done)
	g.wg.Wait()
}
