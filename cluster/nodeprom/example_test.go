package nodeprom_test

import (
	"context"
	"errors"
	"fmt"
	"log"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/stateio/stateio/cluster"
	"github.com/stateio/stateio/cluster/nodeprom"
	"github.com/stateio/stateio/store"
)

// orders is a machine that counts its updates.
type orders struct{ store.JSONState[int] }

func (o *orders) Apply([]byte) (any, error) {
	o.State++
	return o.State, nil
}

// openTemp begins a cluster of one node in a new directory, and returns how to be rid of
// both.
func openTemp() (n *cluster.Node, remove func()) {
	dir, err := os.MkdirTemp("", "nodeprom-example-")
	if err != nil {
		log.Fatal(err)
	}
	n, err = cluster.Open(filepath.Join(dir, "a"), &orders{}, &cluster.Options{
		ID: "a", Listen: "127.0.0.1:0", Heartbeat: 100 * time.Millisecond, Logger: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		log.Fatal(err)
	}
	return n, func() {
		if err := errors.Join(n.Close(), os.RemoveAll(dir)); err != nil {
			log.Fatal(err)
		}
	}
}

// show prints the lines of some metrics that Prometheus would read at h.
func show(h http.Handler, metrics ...string) {
	w := httptest.NewRecorder()
	h.ServeHTTP(w, httptest.NewRequestWithContext(context.Background(), http.MethodGet, "/metrics", nil))
	for line := range strings.Lines(w.Body.String()) {
		for _, name := range metrics {
			if strings.HasPrefix(line, name+"{") {
				fmt.Print(line)
			}
		}
	}
}

// A program that serves the metrics of its node at /metrics.
func ExampleNewCollector() {
	n, remove := openTemp()
	defer remove()
	c := nodeprom.NewCollector()
	if err := c.Add("orders", n); err != nil {
		log.Fatal(err)
	}
	r := prometheus.NewRegistry()
	r.MustRegister(c)
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", promhttp.HandlerFor(r, promhttp.HandlerOpts{}))

	for range 3 {
		if _, err := n.Update(context.Background(), []byte("an order")); err != nil {
			log.Fatal(err)
		}
	}
	show(mux, "stateio_node_updates_total", "stateio_node_down", "stateio_node_member_up")
	// Output:
	// stateio_node_down{node="orders"} 0
	// stateio_node_member_up{member="a",node="orders"} 1
	// stateio_node_updates_total{node="orders"} 3
}

// Two nodes of one program, of clusters of their own, are told apart by their label.
func ExampleCollector_Add() {
	c := nodeprom.NewCollector()
	for i, name := range []string{"orders", "users"} {
		n, remove := openTemp()
		defer remove()
		if err := c.Add(name, n); err != nil {
			log.Fatal(err)
		}
		for range i + 1 {
			if _, err := n.Update(context.Background(), []byte("x")); err != nil {
				log.Fatal(err)
			}
		}
	}
	r := prometheus.NewRegistry()
	r.MustRegister(c)
	show(promhttp.HandlerFor(r, promhttp.HandlerOpts{}), "stateio_node_applied_index")
	// Output:
	// stateio_node_applied_index{node="orders"} 1
	// stateio_node_applied_index{node="users"} 2
}

// A node that is to be closed is removed first; another one may take its name.
func ExampleCollector_Remove() {
	c := nodeprom.NewCollector()
	for range 2 {
		n, remove := openTemp()
		if err := c.Add("orders", n); err != nil {
			log.Fatal(err)
		}
		c.Remove("orders")
		remove()
	}
	r := prometheus.NewRegistry()
	r.MustRegister(c)
	found, err := r.Gather()
	fmt.Println(len(found), err)
	// Output: 0 <nil>
}
