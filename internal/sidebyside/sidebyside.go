// Package sidebyside benchmarks two ways to do the same work in turn, so that
// their ratio holds on a machine whose speed drifts.
package sidebyside

import (
	"slices"
	"testing"
	"time"
)

// Run times ours and bound in turn, once each for an iteration of b, and reports
// the speed of ours in MB/s and, as the metric "of-bound", the median of the
// ratios of bound's time to ours: 1 is as fast as bound, 0.5 half as fast. Each
// processes the given number of bytes in one call; ours should take
// milliseconds.
func Run(b *testing.B, bytes int64, ours, bound func()) {
	b.Helper()
	ours() // warm up
	bound()
	var ratios []float64
	var total time.Duration
	for b.Loop() {
		start := time.Now()
		ours()
		mid := time.Now()
		bound()
		end := time.Now()
		ratios = append(ratios, float64(end.Sub(mid))/float64(mid.Sub(start)))
		total += mid.Sub(start)
	}
	slices.Sort(ratios)
	b.ReportMetric(ratios[len(ratios)/2], "of-bound")
	b.ReportMetric(float64(bytes)*float64(len(ratios))/1e6/total.Seconds(), "MB/s")
}
