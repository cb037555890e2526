package prom_test

import (
	"context"
	"fmt"
	"log"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/stateio/stateio/prom"
	"github.com/stateio/stateio/store"
)

// orders is a machine that counts its updates.
type orders struct{ store.JSONState[int] }

func (o *orders) Apply([]byte) (any, error) {
	o.State++
	return o.State, nil
}

// openTemp opens a store in a new directory, and returns how to be rid of both.
func openTemp() (s *store.Store, remove func()) {
	dir, err := os.MkdirTemp("", "prom-example-")
	if err != nil {
		log.Fatal(err)
	}
	s, err = store.Open(dir, &orders{}, nil)
	if err != nil {
		log.Fatal(err)
	}
	return s, func() {
		if err := s.Close(); err != nil {
			log.Fatal(err)
		}
		_ = os.RemoveAll(dir)
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

// A program that serves the metrics of its store at /metrics.
func ExampleNewCollector() {
	s, remove := openTemp()
	defer remove()
	c := prom.NewCollector()
	if err := c.Add("orders", s); err != nil {
		log.Fatal(err)
	}
	r := prometheus.NewRegistry()
	r.MustRegister(c)
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", promhttp.HandlerFor(r, promhttp.HandlerOpts{}))

	for range 3 {
		if _, err := s.Update(context.Background(), []byte("an order")); err != nil {
			log.Fatal(err)
		}
	}
	show(mux, "stateio_updates_total", "stateio_commit_duration_seconds_count", "stateio_failed")
	// Output:
	// stateio_commit_duration_seconds_count{store="orders"} 3
	// stateio_failed{store="orders"} 0
	// stateio_updates_total{store="orders"} 3
}

// Two stores of one program are told apart by their label.
func ExampleCollector_Add() {
	c := prom.NewCollector()
	for i, name := range []string{"orders", "users"} {
		s, remove := openTemp()
		defer remove()
		if err := c.Add(name, s); err != nil {
			log.Fatal(err)
		}
		for range i + 1 {
			if _, err := s.Update(context.Background(), []byte("x")); err != nil {
				log.Fatal(err)
			}
		}
	}
	r := prometheus.NewRegistry()
	r.MustRegister(c)
	show(promhttp.HandlerFor(r, promhttp.HandlerOpts{}), "stateio_durable_index")
	// Output:
	// stateio_durable_index{store="orders"} 1
	// stateio_durable_index{store="users"} 2
}

// A store that is closed is removed; another one may take its name.
func ExampleCollector_Remove() {
	c := prom.NewCollector()
	for range 2 {
		s, remove := openTemp()
		if err := c.Add("tenant-7", s); err != nil {
			log.Fatal(err)
		}
		c.Remove("tenant-7")
		remove()
	}
	r := prometheus.NewRegistry()
	r.MustRegister(c)
	found, err := r.Gather()
	fmt.Println(len(found), err)
	// Output: 0 <nil>
}
