package cluster

import (
	"context"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// BenchmarkUpdateAtHalfLoad makes updates of 128 bytes at half of the rate that 16 clients
// reach when each waits for its update. It tells how long an update takes from the moment
// at which it was due, so what is late because another update took long counts, too.
func BenchmarkUpdateAtHalfLoad(b *testing.B) {
	u := make([]byte, 128)
	b.Run("raft", func(b *testing.B) {
		r := plainRaft(b)
		atHalfLoad(b, func() error { return r.Apply(u, 0).Error() })
	})
	b.Run("leader", func(b *testing.B) {
		nodes, _, lead := benchTrial(b)
		atHalfLoad(b, func() error { _, err := nodes[lead].Update(context.Background(), u); return err })
	})
}

// atHalfLoad finds out what 16 clients reach, and makes b.N updates at half of that.
func atHalfLoad(b *testing.B, do func() error) {
	b.Helper()
	const clients, sample = 16, 20_000
	began := time.Now()
	several(b, clients, sample, func(int) error { return do() })
	every := 2 * time.Since(began) / sample

	took := make([]time.Duration, b.N)
	b.ResetTimer()
	began = time.Now()
	several(b, 8*clients, b.N, func(i int) error {
		due := began.Add(time.Duration(i) * every)
		time.Sleep(time.Until(due))
		err := do()
		took[i] = time.Since(due)
		return err
	})
	b.StopTimer()
	slices.Sort(took)
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "ops/s")
	for name, q := range map[string]float64{"p50-us": 0.5, "p99-us": 0.99, "p99.9-us": 0.999} {
		b.ReportMetric(float64(took[int(q*float64(b.N-1))].Microseconds()), name)
	}
}

// several has so many goroutines do what is numbered from 0 to n-1, in that order.
func several(b *testing.B, goroutines, n int, do func(i int) error) {
	b.Helper()
	var next atomic.Int64
	var wg sync.WaitGroup
	for range goroutines {
		wg.Go(func() {
			for i := int(next.Add(1)) - 1; i < n; i = int(next.Add(1)) - 1 {
				if err := do(i); err != nil {
					b.Error(err)
					return
				}
			}
		})
	}
	wg.Wait()
}
