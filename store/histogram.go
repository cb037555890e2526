package store

import (
	"encoding/json"
	"math"
	"slices"
	"time"
)

// A Histogram counts durations. Its bounds are those of a native histogram of
// Prometheus of schema 2: powers of the fourth root of 2, in seconds. Bucket 0 holds
// durations of up to 2^-20 seconds, about a microsecond. Bucket i holds those of more
// than bound i-1 and up to bound i, which is 2^(i/4-20) seconds; see Bound. The last
// bucket holds what is longer than its lower bound, 64 seconds.
type Histogram struct {
	Buckets [histogramBounds + 1]uint64
	Count   uint64 // of durations
	Sum     time.Duration
	Max     time.Duration
}

const (
	histogramBounds  = 1 + 4*(6+20)
	boundsPerDouble  = 4
	leastBoundDouble = -20
)

// bounds are the upper bounds of all buckets but the last, rounded down to
// nanoseconds, which no duration can tell from the exact ones.
var bounds = func() (b [histogramBounds]time.Duration) {
	for i := range b {
		b[i] = time.Duration(math.Exp2(float64(i)/boundsPerDouble+leastBoundDouble) * float64(time.Second))
	}
	return b
}()

func (h *Histogram) add(d time.Duration) {
	i, _ := slices.BinarySearch(bounds[:], d)
	h.Buckets[i]++
	h.Count++
	h.Sum += d
	h.Max = max(h.Max, d)
}

// Bound returns the upper bound of bucket i, which belongs to it: for the last bucket
// the longest duration there is. It panics if there is no bucket i.
func (h *Histogram) Bound(i int) time.Duration {
	if i == histogramBounds {
		return math.MaxInt64
	}
	return bounds[i]
}

// Mean returns the average.
func (h *Histogram) Mean() time.Duration {
	if h.Count == 0 {
		return 0
	}
	return h.Sum / time.Duration(h.Count)
}

// Quantile returns a duration that is not exceeded by the given part, 0 to 1,
// of those counted: the upper end of a bucket, at most a fifth above the exact value,
// or a microsecond.
func (h *Histogram) Quantile(q float64) time.Duration {
	var n uint64
	for i, c := range h.Buckets {
		if n += c; float64(n) >= q*float64(h.Count) && n > 0 {
			return min(h.Max, h.Bound(i))
		}
	}
	return h.Max
}

// A jsonHistogram is what a Histogram looks like in JSON.
type jsonHistogram struct {
	Count   uint64        `json:"count"`
	Sum     time.Duration `json:"sum_ns"`
	Max     time.Duration `json:"max_ns"`
	P50     time.Duration `json:"p50_ns"`
	P90     time.Duration `json:"p90_ns"`
	P99     time.Duration `json:"p99_ns"`
	Buckets []jsonBucket  `json:"buckets"`
}

// A jsonBucket is a bucket that is not empty. The last one, which has no bound, goes
// up to the maximum.
type jsonBucket struct {
	UpTo  time.Duration `json:"up_to_ns"`
	Count uint64        `json:"count"`
}

// MarshalJSON returns an object with count, sum_ns, max_ns, the quantiles p50_ns,
// p90_ns and p99_ns, and buckets: those that are not empty, in ascending order, each with
// its upper bound up_to_ns and its count. Durations are in nanoseconds.
func (h Histogram) MarshalJSON() ([]byte, error) {
	j := jsonHistogram{
		Count: h.Count, Sum: h.Sum, Max: h.Max,
		P50: h.Quantile(0.5), P90: h.Quantile(0.9), P99: h.Quantile(0.99),
		Buckets: []jsonBucket{},
	}
	for i, n := range h.Buckets {
		if n > 0 {
			upTo := h.Bound(i)
			if i == histogramBounds {
				upTo = h.Max
			}
			j.Buckets = append(j.Buckets, jsonBucket{upTo, n})
		}
	}
	return json.Marshal(j)
}
