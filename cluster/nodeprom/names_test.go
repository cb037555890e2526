package nodeprom_test

import (
	"maps"
	"regexp"
	"slices"
	"strings"
	"testing"

	dto "github.com/prometheus/client_model/go"
)

var metricName = regexp.MustCompile(`\bstateio_node_[a-z0-9_]+`)

// metricsIn returns the metrics that are named in a query, all of which are there.
func metricsIn(t *testing.T, where, query string) (metrics []string) {
	t.Helper()
	known := gather(t, full())
	for _, name := range metricName.FindAllString(query, -1) {
		if known[name] == nil {
			t.Errorf("%s asks for %s, which is not there", where, name)
			continue
		}
		metrics = append(metrics, name)
	}
	return metrics
}

// checkQuery makes sure that a query asks for metrics that are there, and takes the rate
// of counters, and of nothing else.
func checkQuery(t *testing.T, where, query string) {
	t.Helper()
	metrics := metricsIn(t, where, query)
	if len(metrics) == 0 {
		t.Errorf("%s asks for no metric: %q", where, query)
	}
	rated := map[string]bool{}
	for _, m := range regexp.MustCompile(`(?:rate|increase)\((stateio_node_[a-z0-9_]+)`).FindAllStringSubmatch(query, -1) {
		rated[m[1]] = true
	}
	types := gather(t, full())
	for _, name := range metrics {
		if grows := types[name].GetType() == dto.MetricType_COUNTER; rated[name] != grows {
			t.Errorf("%s takes a rate of %s, a %v: %v; want %v", where, name, types[name].GetType(), rated[name], grows)
		}
	}
}

// docs/CLUSTER.md has each metric with its type and what it says of itself, and names none
// that is not there.
func TestEachMetricIsDocumented(t *testing.T) {
	var table strings.Builder
	families := gather(t, full())
	for _, name := range slices.Sorted(maps.Keys(families)) {
		f := families[name]
		table.WriteString("| `" + name + "` | " + strings.ToLower(f.GetType().String()) + " | " + f.GetHelp() + " |\n")
	}
	doc := readFile(t, "../../docs/CLUSTER.md")
	if !strings.Contains(doc, "\n|---|---|---|\n"+table.String()+"\n") {
		t.Errorf("docs/CLUSTER.md must have this table:\n%s", table.String())
	}
	metricsIn(t, "docs/CLUSTER.md", doc)
}
