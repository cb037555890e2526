package store_test

import (
	"encoding/json"
	"math"
	"testing"
	"time"

	"github.com/stateio/stateio/store"
)

func TestAHistogramBoundsItsQuantiles(t *testing.T) {
	var h store.Histogram
	if h.Mean() != 0 || h.Quantile(0.5) != 0 {
		t.Errorf("of nothing: mean %v, median %v", h.Mean(), h.Quantile(0.5))
	}
	// 1 of 0.5 us, 2 of 3 us, 1 of 90 s, which is after the last bound.
	last := len(h.Buckets) - 1
	h.Buckets[0], h.Buckets[7], h.Buckets[last] = 1, 2, 1
	h.Count, h.Sum, h.Max = 4, 90*time.Second+6500*time.Nanosecond, 90*time.Second
	if got, want := h.Mean(), h.Sum/4; got != want {
		t.Errorf("mean %v, want %v", got, want)
	}
	for q, want := range map[float64]time.Duration{
		0: h.Bound(0), 0.25: h.Bound(0), 0.26: h.Bound(7), 0.75: h.Bound(7),
		0.76: 90 * time.Second, 1: 90 * time.Second,
	} {
		if got := h.Quantile(q); got != want {
			t.Errorf("quantile %v: %v, want %v", q, got, want)
		}
	}
	h = store.Histogram{Count: 1, Sum: 5000, Max: 5000}
	h.Buckets[10] = 1
	if got := h.Quantile(1); got != h.Max {
		t.Errorf("%v, more than the longest, which is %v", got, h.Max)
	}
}

// The bounds are those that the documentation names, from a microsecond to a minute,
// each a fifth above the one before.
func TestTheBoundsOfAHistogram(t *testing.T) {
	var h store.Histogram
	last := len(h.Buckets) - 1
	for i, want := range map[int]time.Duration{
		0: time.Second >> 20, 4: time.Second >> 19, 80: time.Second, 82: 1414213562, 104: 64 * time.Second, last: math.MaxInt64,
	} {
		if got := h.Bound(i); got != want {
			t.Errorf("bound %d is %d ns, want %d", i, got, want)
		}
	}
	for i := 1; i < last; i++ {
		if r := h.Bound(i).Seconds() / h.Bound(i-1).Seconds(); r < 1.188 || r > 1.191 {
			t.Errorf("bound %d is %v times the one before", i, r)
		}
	}
}

func TestAHistogramInJSON(t *testing.T) {
	var h store.Histogram
	wantJSON(t, h, `{"count":0,"sum_ns":0,"max_ns":0,"p50_ns":0,"p90_ns":0,"p99_ns":0,"buckets":[]}`)
	h.Buckets[0], h.Buckets[80], h.Buckets[len(h.Buckets)-1] = 8, 1, 1
	h.Count, h.Sum, h.Max = 10, 91e9, 90e9
	wantJSON(t, h, `{"count":10,"sum_ns":91000000000,"max_ns":90000000000,"p50_ns":953,"p90_ns":1000000000,"p99_ns":90000000000,`+
		`"buckets":[{"up_to_ns":953,"count":8},{"up_to_ns":1000000000,"count":1},{"up_to_ns":90000000000,"count":1}]}`)
}

func wantJSON(t *testing.T, v any, want string) {
	t.Helper()
	got, err := json.Marshal(v)
	check(t, err)
	if string(got) != want {
		t.Errorf("%s\nwant\n%s", got, want)
	}
}
