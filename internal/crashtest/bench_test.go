package crashtest

import (
	"runtime/debug"
	"testing"
)

// BenchmarkRuns does the runs of a hundred seeds, the same ones each time. What counts
// is states/s, one of which is drawn, opened, judged, mostly worked on, and closed.
func BenchmarkRuns(b *testing.B) {
	defer debug.SetGCPercent(debug.SetGCPercent(gcPercent))
	b.ReportAllocs()
	states := 0
	for b.Loop() {
		for seed := range uint64(100) {
			r := NewRun(seed, "/bench", nil)
			if r.Automatic() {
				continue // a benchmark has no bubble for it
			}
			if err := r.Do(nil); err != nil {
				b.Fatal(err)
			}
			states += r.States
		}
	}
	b.ReportMetric(float64(states)/b.Elapsed().Seconds(), "states/s")
}
