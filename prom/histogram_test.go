package prom_test

import (
	"math"
	"strconv"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"
	"google.golang.org/protobuf/proto"

	"github.com/stateio/stateio/store"
)

func number(v float64) string { return strconv.FormatFloat(v, 'g', -1, 64) }

// observed returns the histogram that the client library makes of some durations, with
// the buckets that this package promises.
func observed(t *testing.T, all []time.Duration) *dto.Histogram {
	t.Helper()
	var classic []float64
	for e := -16; e <= 4; e++ {
		classic = append(classic, math.Exp2(float64(e)))
	}
	h := prometheus.NewHistogram(prometheus.HistogramOpts{
		Buckets: classic, NativeHistogramBucketFactor: 1.2, NativeHistogramZeroThreshold: math.Exp2(-20),
	})
	for _, d := range all {
		h.Observe(d.Seconds())
	}
	var m dto.Metric
	check(t, h.Write(&m))
	m.Histogram.CreatedTimestamp = nil
	return m.Histogram
}

// A histogram of a store is the very one that the client library would have made of the
// same durations, native and classic.
func TestHistogramsAreWhatTheClientLibraryMakes(t *testing.T) {
	var bounds store.Histogram
	all := []time.Duration{0, 1, 100, 900, 5 * time.Microsecond, time.Millisecond, time.Millisecond, 1953125 * time.Nanosecond}
	for i := range len(bounds.Buckets) - 1 {
		b := bounds.Bound(i)
		all = append(all, b, b+1, b)
	}
	want := observed(t, all)
	h := histogramOf(all)
	for name, stats := range map[string]store.Stats{
		"stateio_commit_duration_seconds": {Commits: h},
		"stateio_update_wait_seconds":     {UpdateWaits: h},
	} {
		got := gather(t, &fixed{stats: stats})[name].Metric[0].Histogram
		if math.Abs(got.GetSampleSum()-want.GetSampleSum()) > 1e-6 {
			t.Errorf("%s: sum %v, want %v", name, got.GetSampleSum(), want.GetSampleSum())
		}
		got.SampleSum = want.SampleSum
		if !proto.Equal(got, want) {
			t.Errorf("%s:\n%v\nwant\n%v", name, got, want)
		}
	}
}

// histogramOf counts durations as the documentation of store.Histogram says.
func histogramOf(all []time.Duration) (h store.Histogram) {
	for _, d := range all {
		i := 0
		for d > h.Bound(i) {
			i++
		}
		h.Buckets[i]++
		h.Count++
		h.Sum += d
		h.Max = max(h.Max, d)
	}
	return h
}

// What is longer than the last bound is counted above it, and in no classic bucket but
// the last.
func TestDurationsWithoutABound(t *testing.T) {
	h := histogramOf([]time.Duration{time.Hour})
	got := gather(t, &fixed{stats: store.Stats{Commits: h}})["stateio_commit_duration_seconds"].Metric[0].Histogram
	if n := len(got.PositiveSpan); n != 1 || got.PositiveSpan[0].GetOffset() != 25 || got.GetSampleCount() != 1 {
		t.Errorf("an hour is %v", got)
	}
	for _, b := range got.Bucket {
		if b.GetCumulativeCount() != 0 {
			t.Errorf("an hour is in the bucket up to %v s", b.GetUpperBound())
		}
	}
}

// A histogram that holds less than its count is told as an error, not as a wrong one.
func TestAHistogramThatContradictsItself(t *testing.T) {
	reg := prometheus.NewRegistry()
	c := newCollector(t, &fixed{stats: store.Stats{Commits: store.Histogram{Count: 1}}})
	check(t, reg.Register(c))
	if _, err := reg.Gather(); err == nil {
		t.Error("it was gathered")
	}
}
