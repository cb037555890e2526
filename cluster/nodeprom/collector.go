package nodeprom

import (
	"errors"
	"fmt"
	"maps"
	"reflect"
	"sync"
	"unicode/utf8"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/stateio/stateio/cluster"
)

// A Source is what a Collector reads: a *[cluster.Node]. Its methods may be called from
// several goroutines at once, and must return in a bounded time, as those of a node do.
type Source interface {
	Stats() cluster.Stats
	Status() cluster.Status
}

var _ Source = (*cluster.Node)(nil)

// A Collector is a [prometheus.Collector] of nodes. Its methods may be called from any
// number of goroutines at once. The zero Collector has no nodes.
type Collector struct {
	mu    sync.Mutex
	nodes map[string]Source // by label; guarded by mu
}

var _ prometheus.Collector = (*Collector)(nil)

// ErrDuplicate reports a name that a node of the Collector has already.
var ErrDuplicate = errors.New("nodeprom: duplicate name of a node")

// NewCollector returns a Collector without nodes, to be registered.
func NewCollector() *Collector { return new(Collector) }

// Add adds a node, whose metrics get name as the value of their label node: what it is
// for, or its ID. The name must be UTF-8 text that is not empty. The error is
// ErrDuplicate if another node has it: call Remove first, say for a node that was closed
// and opened again.
func (c *Collector) Add(name string, n Source) error {
	if name == "" || !utf8.ValidString(name) {
		return fmt.Errorf("nodeprom: adding a node as %q: the name must be UTF-8 text, and not empty", name)
	}
	if v := reflect.ValueOf(n); !v.IsValid() || v.Kind() == reflect.Pointer && v.IsNil() {
		return fmt.Errorf("nodeprom: adding a node as %q: it is nil", name)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if _, taken := c.nodes[name]; taken {
		return fmt.Errorf("%w: %q; choose another, or remove the node that has it", ErrDuplicate, name)
	}
	if c.nodes == nil {
		c.nodes = map[string]Source{}
	}
	c.nodes[name] = n
	return nil
}

// Remove removes the node of that name, if there is one. Until then a node that was closed
// is shown with its last figures, as one that is down; it knows of no leader then, and of
// no member.
func (c *Collector) Remove(name string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.nodes, name)
}

// Describe implements [prometheus.Collector].
func (c *Collector) Describe(descs chan<- *prometheus.Desc) {
	descs <- nodeInfo
	for _, f := range figures {
		descs <- f.desc
	}
	descs <- memberInfo
	for _, f := range memberFigures {
		descs <- f.desc
	}
}

// Collect implements [prometheus.Collector]. It does not wait for disks, nor for updates.
// For members that do not answer it waits as long as the longest Options.Heartbeat of the
// nodes: they are read at the same time.
func (c *Collector) Collect(metrics chan<- prometheus.Metric) {
	c.mu.Lock()
	nodes := maps.Clone(c.nodes)
	c.mu.Unlock()
	var all sync.WaitGroup
	for name, n := range nodes {
		all.Go(func() { collect(metrics, name, read(n)) })
	}
	all.Wait()
}

// collect sends the metrics of the node of that name.
func collect(metrics chan<- prometheus.Metric, name string, r *reading) {
	metrics <- info(nodeInfo, name, r.ID, r.Cluster)
	for _, f := range figures {
		if f.known == nil || f.known(r) {
			metrics <- prometheus.MustNewConstMetric(f.desc, f.kind, f.value(r), name)
		}
	}
	for i := range r.Members {
		m := &r.Members[i]
		metrics <- info(memberInfo, name, m.ID, m.Addr)
		for _, f := range memberFigures {
			if f.known == nil || f.known(m) {
				metrics <- prometheus.MustNewConstMetric(f.desc, f.kind, f.value(m), name, label(m.ID))
			}
		}
	}
}
