package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/stateio/stateio/cluster"
	"github.com/stateio/stateio/cluster/nodeprom"
	"github.com/stateio/stateio/prom"
	"github.com/stateio/stateio/store"
)

// stats answers with the figures of the store or the node.
func (s *server) stats(w http.ResponseWriter, _ *http.Request) {
	if n := s.keys.node; n != nil {
		reply(w, statusOf(n))
		return
	}
	reply(w, s.keys.Store().Stats())
}

// A nodeStatus is what a node tells of itself and of its cluster.
type nodeStatus struct {
	ID      string       `json:"id"`
	Leader  string       `json:"leader"` // empty: none is known
	Index   uint64       `json:"index"`  // of the last change on this node
	Lag     uint64       `json:"lag"`    // entries of the log that it lacks, as far as it knows
	Members []nodeMember `json:"members"`
}

type nodeMember struct {
	ID    string `json:"id"`
	Addr  string `json:"addr"`
	Up    bool   `json:"up"`
	Voter bool   `json:"voter"`
	Lag   uint64 `json:"lag"`
}

func statusOf(n *cluster.Node) nodeStatus {
	status, stats := n.Status(), n.Stats()
	all := nodeStatus{ID: status.ID, Leader: status.Leader, Index: stats.Index, Lag: stats.Lag}
	for _, m := range status.Members {
		all.Members = append(all.Members, nodeMember{m.ID, m.Addr, m.Up, m.Voter, m.Lag})
	}
	return all
}

// healthTime is how long a node may take to find that it has the latest state.
const healthTime = 2 * time.Second

// fullTime is how long after a change that there was no space for none is taken, as far as
// anybody knows: then somebody has to try again.
const fullTime = 10 * time.Second

// healthz tells a load balancer or a supervisor whether changes are taken. If none can be
// any more, the program ends.
func (s *server) healthz(w http.ResponseWriter, r *http.Request) {
	err := s.takesChanges(r.Context())
	if errors.Is(err, store.ErrNoSpace) {
		http.Error(w, err.Error(), http.StatusServiceUnavailable)
		return
	}
	if err != nil {
		s.fail(w, err)
		return
	}
	_, _ = io.WriteString(w, "ok\n") // the client may be gone
}

// takesChanges returns why changes are not taken.
func (s *server) takesChanges(ctx context.Context) error {
	if full := s.full.Load(); full != nil && time.Since(full.at) < fullTime {
		return fmt.Errorf("changes are refused: %w", full.err)
	}
	if n := s.keys.node; n != nil {
		ctx, cancel := context.WithTimeout(ctx, healthTime)
		defer cancel()
		return n.Sync(ctx)
	}
	stats := s.keys.Store().Stats()
	return cmp.Or(stats.Err, stats.SpaceError)
}

// metrics answers Prometheus: with the figures of the store or the node, and with those of
// the process and its Go runtime.
func (s *server) metrics() http.Handler {
	r := prometheus.NewRegistry()
	if n := s.keys.node; n != nil {
		c := nodeprom.NewCollector()
		if err := c.Add("kv", n); err != nil {
			panic(err) // the only node has a good name
		}
		r.MustRegister(c)
	} else {
		c := prom.NewCollector()
		if err := c.Add("kv", s.keys.Store()); err != nil {
			panic(err) // the only store has a good name
		}
		r.MustRegister(c)
	}
	r.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return promhttp.HandlerFor(r, promhttp.HandlerOpts{})
}
