package prom_test

import (
	"errors"
	"maps"
	"net/http/httptest"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"github.com/prometheus/client_golang/prometheus/testutil"
	dto "github.com/prometheus/client_model/go"

	"github.com/stateio/stateio/prom"
	"github.com/stateio/stateio/store"
)

var errEmpty = errors.New("an empty update")

// full is a reading in which every figure is there, and has a value of its own.
func full() *fixed {
	wrong := errors.New("wrong")
	f := &fixed{
		store.Stats{
			Index: 101, Durable: 102, Updates: 103, UpdateErrors: 104, NoSpace: 105, Bytes: 106, Batches: 126,
			LargestBatch: 107, Pending: 108, Queued: 109, Followers: 110, DiskBytes: 111,
			Snapshots: 112, SnapshotsFailed: 113, SnapshotIndex: 114, SnapshotBytes: 115,
			SnapshotTook: 116 * time.Second, SnapshotTime: time.Unix(117, 5e8), SnapshotRunning: true,
			SnapshotWritten: 118, SinceSnapshot: 119, SnapshotError: wrong,
			Commits: store.Histogram{Max: 120 * time.Second},
		},
		store.Recovery{Index: 1, Took: 121 * time.Second, Bytes: 122, Updates: 123, TornBytes: 124, Refused: make([]store.RefusedSnapshot, 125)},
	}
	return f
}

// Each metric shows the figure that it is named for.
func TestEachMetricShowsItsFigure(t *testing.T) {
	const want = `
applied_index 101
durable_index 102
updates_total 103
updates_refused_total{reason=apply} 104
updates_refused_total{reason=no_space} 105
log_written_bytes_total 106
commits_total 126
largest_commit_updates 107
pending_bytes 108
queued_updates 109
followers 110
disk_bytes 111
snapshots_total 112
snapshot_failures_total 113
snapshot_index 114
snapshot_size_bytes 115
snapshot_duration_seconds 116
snapshot_timestamp_seconds 117.5
snapshot_running 1
snapshot_written_bytes 118
log_since_snapshot_bytes 119
snapshot_failed 1
retention_failed 0
waiting_for_space 0
failed 0
longest_commit_seconds 120
recovery_duration_seconds 121
recovery_read_bytes 122
recovery_replayed_updates 123
recovery_torn_bytes 124
recovery_refused_snapshots 125
`
	got := values(gather(t, full()))
	for _, line := range strings.Split(strings.TrimSpace(want), "\n") {
		if i := slices.Index(got, "stateio_"+line); i < 0 {
			t.Errorf("there is no stateio_%s", line)
		} else {
			got = slices.Delete(got, i, i+1)
		}
	}
	if len(got) > 0 {
		t.Errorf("there is more: %q", got)
	}
}

// Errors of the store are ones in metrics.
func TestMetricsOfErrors(t *testing.T) {
	for _, tt := range []struct {
		stats store.Stats
		want  string
	}{
		{store.Stats{Err: errors.Join(errEmpty, store.ErrFailed)}, "stateio_failed 1"},
		{store.Stats{Err: store.ErrClosed}, "stateio_failed 0"},
		{store.Stats{SpaceError: store.ErrNoSpace}, "stateio_waiting_for_space 1"},
		{store.Stats{RetainError: errEmpty}, "stateio_retention_failed 1"},
		{store.Stats{SnapshotError: errEmpty}, "stateio_snapshot_failed 1"},
		{store.Stats{}, "stateio_snapshot_failed 0"},
		{store.Stats{}, "stateio_snapshot_running 0"},
	} {
		if got := values(gather(t, &fixed{stats: tt.stats})); !slices.Contains(got, tt.want) {
			t.Errorf("of %+v there is no %q", tt.stats, tt.want)
		}
	}
}

// What is not known is not shown, rather than as zero: a snapshot of 1970 would be old.
func TestUnknownFiguresAreAbsent(t *testing.T) {
	found := gather(t, &fixed{})
	for _, name := range []string{"stateio_snapshot_timestamp_seconds", "stateio_snapshot_duration_seconds"} {
		if found[name] != nil {
			t.Errorf("without a snapshot there is %v", found[name])
		}
	}
}

// values returns the metrics but histograms, as "name{label=value} 1", without the
// label store.
func values(found map[string]*dto.MetricFamily) (lines []string) {
	for _, name := range slices.Sorted(maps.Keys(found)) {
		for _, m := range found[name].Metric {
			labels := ""
			for _, l := range m.Label {
				if l.GetName() != "store" {
					labels = "{" + l.GetName() + "=" + l.GetValue() + "}"
				}
			}
			switch found[name].GetType() {
			case dto.MetricType_COUNTER:
				lines = append(lines, name+labels+" "+number(m.Counter.GetValue()))
			case dto.MetricType_GAUGE:
				lines = append(lines, name+labels+" "+number(m.Gauge.GetValue()))
			}
		}
	}
	return lines
}

// The metrics of a store that is used, and of one that has failed, as Prometheus reads
// them.
func TestMetricsOfAStore(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("Windows removes no file that is open")
	}
	dir := t.TempDir()
	s := open(t, dir)
	for _, u := range []string{"one", "two", ""} {
		if _, err := s.Update(t.Context(), []byte(u)); err != nil && u != "" {
			t.Fatal(err)
		}
	}
	check(t, s.Snapshot(t.Context()))
	c := prom.NewCollector()
	check(t, c.Add("used", s))
	r := prometheus.NewPedanticRegistry()
	check(t, r.Register(c))
	h := promhttp.HandlerFor(r, promhttp.HandlerOpts{ErrorHandling: promhttp.HTTPErrorOnError})
	scrape := func() string {
		w := httptest.NewRecorder()
		h.ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), "GET", "/metrics", nil))
		return w.Body.String()
	}
	want := func(lines ...string) {
		t.Helper()
		got := scrape()
		for _, line := range lines {
			if !strings.Contains(got, "\n"+line+"\n") {
				t.Errorf("there is no %s in\n%s", line, got)
			}
		}
	}
	want(`stateio_updates_total{store="used"} 2`,
		`stateio_updates_refused_total{reason="apply",store="used"} 1`,
		`stateio_snapshot_index{store="used"} 2`,
		`stateio_commit_duration_seconds_count{store="used"} 2`,
		`stateio_commit_duration_seconds_bucket{store="used",le="+Inf"} 2`,
		`stateio_update_wait_seconds_count{store="used"} 2`,
		`stateio_failed{store="used"} 0`,
		`# TYPE stateio_updates_total counter`)

	logs, err := filepath.Glob(filepath.Join(dir, "*.log"))
	check(t, err)
	for _, log := range logs {
		check(t, os.Remove(log))
	}
	if _, err := s.Update(t.Context(), []byte("lost")); !errors.Is(err, store.ErrFailed) {
		t.Fatalf("an update without a log: %v", err)
	}
	want(`stateio_failed{store="used"} 1`)
	c.Remove("used")
	if got := scrape(); got != "" {
		t.Errorf("after Remove there is\n%s", got)
	}
}

// Names, units and help are what Prometheus recommends.
func TestMetricsFollowTheConventions(t *testing.T) {
	c := prom.NewCollector()
	check(t, c.Add("one", full()))
	problems, err := testutil.CollectAndLint(c)
	check(t, err)
	for _, p := range problems {
		t.Errorf("%s: %s", p.Metric, p.Text)
	}
}

// One collector serves many stores, which come and go while it is read.
func TestManyStores(t *testing.T) {
	c := prom.NewCollector()
	for i := range 3 {
		check(t, c.Add(number(float64(i)), &fixed{stats: store.Stats{Updates: uint64(i)}}))
	}
	m := gatherAll(t, c)["stateio_updates_total"].Metric
	for i := range 3 {
		if len(m) != 3 || m[i].Label[0].GetValue() != number(float64(i)) || m[i].Counter.GetValue() != float64(i) {
			t.Fatalf("of three stores: %v", m)
		}
	}
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() {
			name := "more" + number(float64(i))
			for range 50 {
				if err := c.Add(name, &fixed{}); err != nil {
					t.Error(err)
				}
				if n := testutil.CollectAndCount(c, "stateio_updates_total"); n < 4 || n > 11 {
					t.Errorf("%d stores are shown", n)
				}
				c.Remove(name)
			}
		})
	}
	wg.Wait()
}

func TestAddRefuses(t *testing.T) {
	c := prom.NewCollector()
	check(t, c.Add("one", &fixed{}))
	if err := c.Add("one", &fixed{}); !errors.Is(err, prom.ErrDuplicate) {
		t.Errorf("adding a store twice: %v", err)
	}
	for _, name := range []string{"", "\xff"} {
		if err := c.Add(name, &fixed{}); err == nil || errors.Is(err, prom.ErrDuplicate) {
			t.Errorf("adding a store as %q: %v", name, err)
		}
	}
	if c.Add("two", nil) == nil {
		t.Error("nil was added as a store")
	}
	var none *store.Store // as Store of a map of a cluster returns
	if c.Add("two", none) == nil {
		t.Error("a nil store was added")
	}
	c.Remove("one")
	c.Remove("never there")
	check(t, c.Add("one", &fixed{}))
}

func TestTheZeroCollectorIsEmpty(t *testing.T) {
	var c prom.Collector
	c.Remove("one")
	check(t, c.Add("one", full()))
	if got := gatherAll(t, &c); len(got) == 0 {
		t.Error("the store that was added has no metrics")
	}
}
