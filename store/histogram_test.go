package store_test

import (
	"testing"
	"time"

	"github.com/stateio/stateio/store"
)

func TestAHistogramBoundsItsQuantiles(t *testing.T) {
	var h store.Histogram
	if h.Mean() != 0 || h.Quantile(0.5) != 0 {
		t.Errorf("of nothing: mean %v, median %v", h.Mean(), h.Quantile(0.5))
	}
	// 1 of 0.5 us, 2 of 3 us, 1 of 20 s, which is behind the last bound.
	h.Buckets[0], h.Buckets[2], h.Buckets[23] = 1, 2, 1
	h.Count, h.Sum, h.Max = 4, 20*time.Second+6500*time.Nanosecond, 20*time.Second
	if got, want := h.Mean(), h.Sum/4; got != want {
		t.Errorf("mean %v, want %v", got, want)
	}
	for q, want := range map[float64]time.Duration{
		0: time.Microsecond, 0.25: time.Microsecond, 0.26: 4 * time.Microsecond, 0.75: 4 * time.Microsecond,
		0.76: 20 * time.Second, 1: 20 * time.Second,
	} {
		if got := h.Quantile(q); got != want {
			t.Errorf("quantile %v: %v, want %v", q, got, want)
		}
	}
	h = store.Histogram{Count: 1, Sum: 5000, Max: 5000}
	h.Buckets[3] = 1
	if got := h.Quantile(1); got != h.Max {
		t.Errorf("%v, more than the longest, which is %v", got, h.Max)
	}
}
