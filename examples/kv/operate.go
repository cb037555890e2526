package main

import (
	"io"
	"net/http"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/stateio/stateio/prom"
)

// stats answers with the figures of the store.
func (s *server) stats(w http.ResponseWriter, _ *http.Request) {
	reply(w, s.keys.Store().Stats())
}

// healthz tells a load balancer or a supervisor whether changes are taken. If the store
// has failed, the program ends.
func (s *server) healthz(w http.ResponseWriter, _ *http.Request) {
	if err := s.keys.Store().Stats().Err; err != nil {
		s.fail(w, err)
		return
	}
	_, _ = io.WriteString(w, "ok\n") // the client may be gone
}

// metrics answers Prometheus: with the figures of the store, and with those of the
// process and its Go runtime.
func (s *server) metrics() http.Handler {
	c := prom.NewCollector()
	if err := c.Add("kv", s.keys.Store()); err != nil {
		panic(err) // the only store has a good name
	}
	r := prometheus.NewRegistry()
	r.MustRegister(c, collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return promhttp.HandlerFor(r, promhttp.HandlerOpts{})
}
