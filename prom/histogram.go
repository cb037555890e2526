package prom

import (
	"math"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"

	"github.com/stateio/stateio/store"
)

// A duration is a metric that is a histogram.
type duration struct {
	desc *prometheus.Desc
	of   func(*reading) *store.Histogram
}

// The buckets of a store.Histogram are those of a native histogram of schema 2, which
// numbers them by their upper bounds: bucket k goes up to 2^(k/4) seconds.
const (
	schema   = 2
	firstKey = -80 // of bucket 0, which stands for the zero bucket
)

// The classic buckets are those of a store.Histogram between these, one for each
// doubling: from 15 microseconds to 16 seconds.
const (
	perDoubling  = 4
	firstClassic = 4 * perDoubling
	lastClassic  = 24 * perDoubling
)

// metric returns the histogram of the store of that name.
func (d *duration) metric(r *reading, name string) prometheus.Metric {
	h := d.of(r)
	sum := h.Sum.Seconds()
	native := map[int]int64{}
	for i, n := range h.Buckets[1:] {
		if n > 0 {
			native[firstKey+1+i] = int64(n)
		}
	}
	n, err := prometheus.NewConstNativeHistogram(d.desc, h.Count, sum, native, nil, h.Buckets[0], schema, bound(0), time.Time{}, name)
	if err != nil {
		return prometheus.NewInvalidMetric(d.desc, err)
	}
	return &histogram{n, prometheus.MustNewConstHistogram(d.desc, h.Count, sum, classic(h), name)}
}

// classic returns the classic buckets of h, by upper bounds in seconds.
func classic(h *store.Histogram) map[float64]uint64 {
	buckets := map[float64]uint64{}
	total := uint64(0)
	for i, n := range h.Buckets[:lastClassic+1] {
		total += n
		if i >= firstClassic && i%perDoubling == 0 {
			buckets[bound(i)] = total
		}
	}
	return buckets
}

// bound returns the upper bound of bucket i in seconds, exactly, where
// store.Histogram.Bound has whole nanoseconds.
func bound(i int) float64 { return math.Exp2(float64(i+firstKey) / perDoubling) }

// A histogram is native and classic at once: a server takes what it knows.
type histogram struct {
	prometheus.Metric // the native one
	classic           prometheus.Metric
}

// Write implements [prometheus.Metric].
func (h *histogram) Write(out *dto.Metric) error {
	var c dto.Metric
	if err := h.classic.Write(&c); err != nil {
		return err
	}
	if err := h.Metric.Write(out); err != nil {
		return err
	}
	out.Histogram.Bucket = c.Histogram.Bucket
	out.Histogram.CreatedTimestamp = nil // it is not known
	return nil
}
