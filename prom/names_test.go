package prom_test

import (
	"maps"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	dto "github.com/prometheus/client_model/go"
)

var metricName = regexp.MustCompile(`\bstateio_[a-z0-9_]+`)

// series returns the names that a query may use, each with that of its metric: a
// histogram is there as such and as its parts.
func series(t *testing.T) map[string]string {
	t.Helper()
	names := map[string]string{}
	for name, f := range gather(t, full()) {
		names[name] = name
		if f.GetType() == dto.MetricType_HISTOGRAM {
			for _, part := range []string{"_bucket", "_count", "_sum"} {
				names[name+part] = name
			}
		}
	}
	return names
}

// metricsIn returns the metrics that are named in a query.
func metricsIn(t *testing.T, where, query string) (metrics []string) {
	t.Helper()
	known := series(t)
	for _, name := range metricName.FindAllString(query, -1) {
		metric, ok := known[name]
		if !ok {
			t.Errorf("%s asks for %s, which is not there", where, name)
		}
		metrics = append(metrics, metric)
	}
	return metrics
}

// checkQuery makes sure that a query asks for metrics that are there, and takes the rate
// of counters and histograms, and of nothing else.
func checkQuery(t *testing.T, where, query string) (metrics []string) {
	t.Helper()
	metrics = metricsIn(t, where, query)
	if len(metrics) == 0 {
		t.Errorf("%s asks for no metric: %q", where, query)
	}
	rated := map[string]bool{}
	for _, m := range regexp.MustCompile(`(?:rate|increase)\((stateio_[a-z0-9_]+)`).FindAllStringSubmatch(query, -1) {
		rated[m[1]] = true
	}
	types := gather(t, full())
	for _, name := range metricName.FindAllString(query, -1) {
		f := types[series(t)[name]]
		grows := f.GetType() != dto.MetricType_GAUGE
		if f != nil && rated[name] != grows {
			t.Errorf("%s takes a rate of %s, a %v: %v; want %v", where, name, f.GetType(), rated[name], grows)
		}
	}
	return metrics
}

// wantAll makes sure that each metric is among those that were found.
func wantAll(t *testing.T, where string, found map[string]bool) {
	t.Helper()
	for _, name := range slices.Sorted(maps.Keys(gather(t, full()))) {
		if !found[name] {
			t.Errorf("%s does not have %s", where, name)
		}
	}
}

func readFile(t *testing.T, path string) string {
	t.Helper()
	b, err := os.ReadFile(path)
	check(t, err)
	return string(b)
}

// docs/METRICS.md has each metric with its type and what it says of itself.
func TestEachMetricIsDocumented(t *testing.T) {
	var table strings.Builder
	families := gather(t, full())
	for _, name := range slices.Sorted(maps.Keys(families)) {
		f := families[name]
		table.WriteString("| `" + name + "` | " + strings.ToLower(f.GetType().String()) + " | " + f.GetHelp() + " |\n")
	}
	if doc := readFile(t, "../docs/METRICS.md"); !strings.Contains(doc, "\n|---|---|---|\n"+table.String()+"\n") {
		t.Errorf("docs/METRICS.md must have this table:\n%s", table.String())
	}
}
