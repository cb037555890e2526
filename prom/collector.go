package prom

import (
	"errors"
	"fmt"
	"maps"
	"reflect"
	"sync"
	"unicode/utf8"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/stateio/stateio/store"
)

// A Source is what a Collector reads: a *[store.Store], or a *[store.Typed]. Its
// methods may be called from several goroutines at once.
type Source interface {
	Stats() store.Stats
	Recovery() store.Recovery
}

// A Collector is a [prometheus.Collector] of stores. Its methods may be called from
// any number of goroutines at once. The zero Collector has no stores.
type Collector struct {
	mu     sync.Mutex
	stores map[string]Source // by label; guarded by mu
}

var _ prometheus.Collector = (*Collector)(nil)

// ErrDuplicate reports a name that a store of the Collector has already.
var ErrDuplicate = errors.New("prom: duplicate name of a store")

// NewCollector returns a Collector without stores, to be registered.
func NewCollector() *Collector { return new(Collector) }

// Add adds a store, whose metrics get name as the value of their label store. The
// name must be UTF-8 text that is not empty. The error is ErrDuplicate if another
// store has it: call Remove first, say for a store that was closed and opened again.
func (c *Collector) Add(name string, s Source) error {
	if name == "" || !utf8.ValidString(name) {
		return fmt.Errorf("prom: adding a store as %q: the name must be UTF-8 text, and not empty", name)
	}
	if v := reflect.ValueOf(s); !v.IsValid() || v.Kind() == reflect.Pointer && v.IsNil() {
		return fmt.Errorf("prom: adding a store as %q: it is nil", name)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if _, taken := c.stores[name]; taken {
		return fmt.Errorf("%w: %q; choose another, or remove the store that has it", ErrDuplicate, name)
	}
	if c.stores == nil {
		c.stores = map[string]Source{}
	}
	c.stores[name] = s
	return nil
}

// Remove removes the store of that name, if there is one. A store that was closed is
// shown with its last figures until then.
func (c *Collector) Remove(name string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.stores, name)
}

// Describe implements [prometheus.Collector].
func (c *Collector) Describe(descs chan<- *prometheus.Desc) {
	for _, f := range figures {
		descs <- f.desc
	}
	for _, d := range durations {
		descs <- d.desc
	}
}

// Collect implements [prometheus.Collector]. It does not wait for the disk, nor for
// updates.
func (c *Collector) Collect(metrics chan<- prometheus.Metric) {
	c.mu.Lock()
	stores := maps.Clone(c.stores)
	c.mu.Unlock()
	for name, s := range stores {
		r := &reading{s.Stats(), s.Recovery()}
		for _, f := range figures {
			if m := f.metric(r, name); m != nil {
				metrics <- m
			}
		}
		for _, d := range durations {
			metrics <- d.metric(r, name)
		}
	}
}
