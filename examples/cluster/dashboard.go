package main

import (
	_ "embed"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"time"
)

// A dashboard is the page of all nodes: how they are, how many additions are
// acknowledged, and buttons that do what keys do.
type dashboard struct {
	f   *fleet
	l   *load
	out io.Writer

	mu   sync.Mutex
	said []string // what was done lately; guarded by mu
}

// A fleetStatus is what the page shows.
type fleetStatus struct {
	Acked, Retries int64
	Millis         int64 // since the load began, for rates
	Said           []string
	Nodes          []nodeRow
}

type nodeRow struct {
	Name, Page, State string // leads, follows, alone, paused or down
	nodeStatus
}

const keepSaid = 12

//go:embed dashboard.html
var dashboardPage []byte

// open serves the page until close is called, and returns where.
func (d *dashboard) open(addr string) (url string, closePage func(), err error) {
	ln, err := net.Listen("tcp", addr)
	if err != nil {
		return "", nil, err
	}
	s := &http.Server{Handler: forLoopback(addr, http.NewCrossOriginProtection().Handler(d.handler())), ReadHeaderTimeout: 10 * time.Second}
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = s.Serve(ln) // until it is closed
	}()
	return "http://" + ln.Addr().String() + "/", func() { _ = s.Close(); <-done }, nil
}

func (d *dashboard) handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /{$}", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		_, _ = w.Write(dashboardPage) // an error is the client's
	})
	mux.HandleFunc("GET /fleet", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(w).Encode(d.status()) // likewise
	})
	mux.HandleFunc("POST /do", func(w http.ResponseWriter, r *http.Request) {
		key := r.FormValue("key")
		go func() { _ = d.do(key) }() // which waits until additions go on; the page says what came of it
		w.WriteHeader(http.StatusAccepted)
	})
	return mux
}

// do does what a key stands for.
func (d *dashboard) do(key string) error {
	err := d.f.obey(key, io.MultiWriter(d.out, d), d.l)
	if err != nil {
		say(d, "%s: %v\n", key, err)
	}
	return err
}

// Write takes what is said while something is done.
func (d *dashboard) Write(p []byte) (int, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for line := range strings.Lines(string(p)) {
		d.said = append(d.said, strings.TrimSpace(line))
	}
	d.said = d.said[max(0, len(d.said)-keepSaid):]
	return len(p), nil
}

// status asks all nodes at once.
func (d *dashboard) status() fleetStatus {
	s := fleetStatus{
		Acked: d.l.acked.Load(), Retries: d.l.retries.Load(), Millis: time.Since(d.l.began).Milliseconds(),
		Nodes: make([]nodeRow, nodes),
	}
	var wg sync.WaitGroup
	for i := range nodes {
		wg.Go(func() { s.Nodes[i] = d.row(i) })
	}
	wg.Wait()
	d.mu.Lock()
	defer d.mu.Unlock()
	s.Said = append(s.Said, d.said...)
	return s
}

func (d *dashboard) row(i int) nodeRow {
	r := nodeRow{Name: name(i), Page: "http://" + d.f.pages[i] + "/", State: "down"}
	d.f.mu.Lock()
	runs, paused := d.f.procs[i] != nil, d.f.paused[i]
	d.f.mu.Unlock()
	if paused {
		r.State = "paused"
	}
	if !runs || paused {
		return r
	}
	var err error
	if r.nodeStatus, err = d.f.status(i); err != nil {
		return r // it is starting, or ending
	}
	switch r.Leader {
	case r.ID:
		r.State = "leads"
	case "":
		r.State = "alone"
	default:
		r.State = "follows"
	}
	return r
}
