package store_test

import (
	"testing"
	"time"

	"github.com/stateio/stateio/store"
)

// BenchmarkFollow offers a store 200,000 updates a second, and follows it. One op is one
// update. The metrics say how many a second the store and the follower made, and how far
// the follower was behind, at worst and when the last update was made.
func BenchmarkFollow(b *testing.B) {
	dir := b.TempDir()
	s := open(b, dir, nothing{}, nil)
	f, err := store.Follow(b.Context(), dir, nothing{}, nil)
	if err != nil {
		b.Fatal(err)
	}
	b.SetBytes(benchUpdate)
	b.ResetTimer()
	worst := offer(b, s, f, 200_000)
	made, last := b.Elapsed(), s.Index()-f.Status().Index
	if err := f.WaitIndex(b.Context(), s.Index()); err != nil {
		b.Fatal(err)
	}
	b.StopTimer()
	b.ReportMetric(float64(b.N)/made.Seconds(), "made/s")
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "followed/s")
	b.ReportMetric(float64(worst), "most-behind")
	b.ReportMetric(float64(last), "last-behind")
	b.ReportMetric(float64(f.Status().Restored), "restores")
	if err := f.Close(); err != nil {
		b.Fatal(err)
	}
	if err := s.Close(); err != nil {
		b.Fatal(err)
	}
}

// offer submits b.N updates to s, perSecond a second, and returns how many of them f was
// behind at worst, looking once a millisecond.
func offer(b *testing.B, s *store.Store, f *store.Follower, perSecond int) (worst uint64) {
	b.Helper()
	update := make([]byte, benchUpdate)
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for start, n := time.Now(), 0; n < b.N; <-tick.C {
		due := min(b.N, int(time.Since(start).Seconds()*float64(perSecond)))
		for ; n < due; n++ {
			if _, err := s.Submit(update); err != nil {
				b.Fatal(err)
			}
		}
		worst = max(worst, s.Index()-f.Status().Index)
	}
	return worst
}
