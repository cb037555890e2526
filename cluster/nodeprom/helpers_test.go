package nodeprom_test

import (
	"errors"
	"io"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"

	"github.com/stateio/stateio/cluster"
	"github.com/stateio/stateio/cluster/nodeprom"
)

var errEmpty = errors.New("an empty update")

// counter is a machine that counts updates, and refuses those that are empty.
type counter struct{ n int }

func (c *counter) Apply(update []byte) (any, error) {
	if len(update) == 0 {
		return nil, errEmpty
	}
	c.n++
	return c.n, nil
}

func (c *counter) Snapshot() (io.WriterTo, error) {
	return strings.NewReader(strconv.Itoa(c.n)), nil
}

func (c *counter) Restore(r io.Reader) error {
	b, err := io.ReadAll(r)
	if err == nil {
		c.n, err = strconv.Atoi(string(b))
	}
	return err
}

func check(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// open opens a node in a new directory, which is closed when the test ends.
func open(t testing.TB, opts *cluster.Options) *cluster.Node {
	t.Helper()
	opts.Logger = slog.New(slog.DiscardHandler)
	n, err := cluster.Open(filepath.Join(t.TempDir(), opts.ID), &counter{}, opts)
	check(t, err)
	t.Cleanup(func() { _ = n.Close() })
	return n
}

// alone begins a cluster of one node.
func alone(t testing.TB) *cluster.Node {
	t.Helper()
	n := open(t, &cluster.Options{ID: "a", Listen: "127.0.0.1:0", Heartbeat: 100 * time.Millisecond})
	check(t, n.Sync(t.Context()))
	return n
}

// fixed is a source of figures that a test has made up.
type fixed struct {
	stats  cluster.Stats
	status cluster.Status
}

func (f *fixed) Stats() cluster.Stats { return f.stats }

func (f *fixed) Status() cluster.Status { return f.status }

// gather returns what Prometheus gets of a collector of one node.
func gather(t testing.TB, s nodeprom.Source) map[string]*dto.MetricFamily {
	t.Helper()
	c := nodeprom.NewCollector()
	check(t, c.Add("one", s))
	return gatherAll(t, c)
}

func gatherAll(t testing.TB, c *nodeprom.Collector) map[string]*dto.MetricFamily {
	t.Helper()
	r := prometheus.NewPedanticRegistry()
	check(t, r.Register(c))
	found, err := r.Gather()
	check(t, err)
	families := map[string]*dto.MetricFamily{}
	for _, f := range found {
		families[f.GetName()] = f
	}
	return families
}

// values returns the metrics as "name{label=value} 1", without the label node.
func values(found map[string]*dto.MetricFamily) (lines []string) {
	for _, name := range slices.Sorted(maps.Keys(found)) {
		for _, m := range found[name].Metric {
			var labels []string
			for _, l := range m.Label {
				if l.GetName() != "node" {
					labels = append(labels, l.GetName()+"="+l.GetValue())
				}
			}
			line := name
			if len(labels) > 0 {
				line += "{" + strings.Join(labels, ",") + "}"
			}
			v := m.GetGauge().GetValue()
			if found[name].GetType() == dto.MetricType_COUNTER {
				v = m.GetCounter().GetValue()
			}
			lines = append(lines, line+" "+number(v))
		}
	}
	return lines
}

func number(v float64) string { return strconv.FormatFloat(v, 'g', -1, 64) }

func readFile(t *testing.T, path string) string {
	t.Helper()
	b, err := os.ReadFile(path)
	check(t, err)
	return string(b)
}
