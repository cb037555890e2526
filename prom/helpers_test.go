package prom_test

import (
	"io"
	"log/slog"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"

	"github.com/stateio/stateio/prom"
	"github.com/stateio/stateio/store"
)

// counter is a machine that counts updates, and refuses those that are empty.
type counter struct{ n int }

func (c *counter) Apply(update []byte) (any, error) {
	if len(update) == 0 {
		return nil, errEmpty
	}
	c.n++
	return c.n, nil
}

func (c *counter) Snapshot() (io.WriterTo, error) { return state{}, nil }

func (c *counter) Restore(r io.Reader) error {
	_, err := io.Copy(io.Discard, r)
	return err
}

// state is a captured state, of no interest to these tests.
type state struct{}

func (state) WriteTo(w io.Writer) (int64, error) {
	n, err := w.Write(make([]byte, 1000))
	return int64(n), err
}

func check(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// open opens a store in dir, which is closed when the test ends.
func open(t testing.TB, dir string) *store.Store {
	t.Helper()
	s, err := store.Open(dir, &counter{}, &store.Options{Logger: slog.New(slog.DiscardHandler)})
	check(t, err)
	t.Cleanup(func() { _ = s.Close() }) // some have failed
	return s
}

// fixed is a source of figures that a test has made up.
type fixed struct {
	stats    store.Stats
	recovery store.Recovery
}

func (f *fixed) Stats() store.Stats { return f.stats }

func (f *fixed) Recovery() store.Recovery { return f.recovery }

// gather returns what Prometheus gets of a collector of one store.
func gather(t testing.TB, s prom.Source) map[string]*dto.MetricFamily {
	t.Helper()
	return gatherAll(t, newCollector(t, s))
}

func newCollector(t testing.TB, s prom.Source) *prom.Collector {
	t.Helper()
	c := prom.NewCollector()
	check(t, c.Add("one", s))
	return c
}

func gatherAll(t testing.TB, c *prom.Collector) map[string]*dto.MetricFamily {
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
