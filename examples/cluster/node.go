package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"html/template"
	"io"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/stateio/stateio/cluster"
)

// A counter is the machine: one number, to which each update adds one. An update is
// "CLIENT NUMBER", where each client numbers its own, beginning with 1, and makes the
// next one when the last is acknowledged. So a client can try again on another node for
// as long as it likes, and the addition counts once. (UpdateOnce does that for an hour
// without such a machine, for 290 updates a second.)
type counter struct {
	n    uint64
	last map[string]uint64 // of each client
}

func newCounter() *counter { return &counter{last: map[string]uint64{}} }

// Apply implements store.Machine.
func (c *counter) Apply(update []byte) (any, error) {
	client, text, _ := strings.Cut(string(update), " ")
	number, err := strconv.ParseUint(text, 10, 64)
	if err != nil || client == "" {
		return nil, fmt.Errorf("%q is not CLIENT NUMBER", update)
	}
	if number > c.last[client] {
		c.last[client] = number
		c.n++
	}
	return c.n, nil
}

// A counterState is a counter as JSON.
type counterState struct {
	Sum  uint64
	Last map[string]uint64
}

// Snapshot implements store.Machine.
func (c *counter) Snapshot() (io.WriterTo, error) {
	b, err := json.Marshal(counterState{c.n, c.last})
	return bytes.NewReader(b), err
}

// Restore implements store.Machine.
func (c *counter) Restore(r io.Reader) error {
	s := counterState{Last: map[string]uint64{}}
	if err := json.NewDecoder(r).Decode(&s); err != nil {
		return err
	}
	c.n, c.last = s.Sum, s.Last
	return nil
}

// A nodeStatus is what a node tells of itself.
type nodeStatus struct {
	ID, Leader      string
	Sum             uint64 // on this node, as it is
	Waiting         int
	Lag, Duplicates uint64
	Updates         uint64  // applied on this node since it was started
	Rate            float64 // of that, a second, lately
	Gap             time.Duration
	Members         []member
}

type member struct {
	ID, Addr   string
	Up, Leader bool
	Lag        uint64
}

// handler answers clients: POST /add?client=CLIENT&number=NUMBER adds one, once; GET /sum is
// the sum, GET /status the status, and GET / a page. GET /live tells that the process
// answers, and GET /ready that it has all that was acknowledged. DELETE /members/ID removes a
// node that is gone for good, or is to go.
func handler(n *cluster.Node, c *counter) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("POST /add", func(w http.ResponseWriter, r *http.Request) {
		ctx, cancel := context.WithTimeout(r.Context(), 2*time.Second)
		defer cancel()
		if _, err := n.Update(ctx, []byte(r.FormValue("client")+" "+r.FormValue("number"))); err != nil {
			http.Error(w, err.Error(), http.StatusServiceUnavailable)
		}
	})
	mux.HandleFunc("GET /sum", func(w http.ResponseWriter, r *http.Request) {
		var sum uint64
		if err := n.View(r.Context(), func() error { sum = c.n; return nil }); err != nil {
			http.Error(w, err.Error(), http.StatusServiceUnavailable)
			return
		}
		say(w, "%d\n", sum)
	})
	mux.HandleFunc("GET /live", func(http.ResponseWriter, *http.Request) {})
	mux.HandleFunc("GET /ready", func(w http.ResponseWriter, r *http.Request) {
		ctx, cancel := context.WithTimeout(r.Context(), time.Second)
		defer cancel()
		if err := n.Sync(ctx); err != nil {
			http.Error(w, err.Error(), http.StatusServiceUnavailable)
		}
	})
	mux.HandleFunc("DELETE /members/{id}", func(w http.ResponseWriter, r *http.Request) {
		ctx, cancel := context.WithTimeout(r.Context(), 20*time.Second)
		defer cancel()
		switch err := n.Remove(ctx, r.PathValue("id")); {
		case errors.Is(err, cluster.ErrMember):
			http.Error(w, err.Error(), http.StatusConflict)
		case err != nil:
			http.Error(w, err.Error(), http.StatusServiceUnavailable)
		}
	})
	lately := &rate{began: time.Now()}
	told := func() nodeStatus {
		s := status(n, c)
		s.Rate = lately.of(s.Updates, time.Now())
		return s
	}
	mux.HandleFunc("GET /status", func(w http.ResponseWriter, _ *http.Request) {
		_ = json.NewEncoder(w).Encode(told()) // an error is the client's
	})
	mux.HandleFunc("GET /{$}", func(w http.ResponseWriter, _ *http.Request) {
		_ = page.Execute(w, told()) // likewise
	})
	return mux
}

// A rate is how fast a counter has grown lately: between two looks at it that are half a second
// apart or more, whoever looks.
type rate struct {
	mu    sync.Mutex
	began time.Time // when it was count
	count uint64
	rate  float64
}

// of returns the rate of a counter that is n now.
func (r *rate) of(n uint64, now time.Time) float64 {
	r.mu.Lock()
	defer r.mu.Unlock()
	if took := now.Sub(r.began); took >= 500*time.Millisecond && n >= r.count {
		r.began, r.rate, r.count = now, float64(n-r.count)/took.Seconds(), n
	}
	return r.rate
}

func status(n *cluster.Node, c *counter) nodeStatus {
	s, stats := n.Status(), n.Stats()
	out := nodeStatus{
		ID: s.ID, Leader: s.Leader, Waiting: stats.Waiting, Lag: stats.Lag,
		Duplicates: stats.Duplicates, Updates: stats.Updates, Gap: s.FailoverGap,
	}
	_ = n.ViewLocal(func() error { out.Sum = c.n; return nil }) // fails only with a snapshot that can't be restored
	for _, m := range s.Members {
		out.Members = append(out.Members, member{ID: m.ID, Addr: m.Addr, Up: m.Up, Leader: m.Leader, Lag: m.Lag})
	}
	return out
}

var page = template.Must(template.New("page").Parse(`<!doctype html><meta charset="utf-8"><meta http-equiv="refresh" content="1">
<title>{{.ID}}</title><style>body{font:16px sans-serif;margin:2em}td,th{padding:.2em 1em;text-align:left}</style>
<h1>Node {{.ID}}</h1><p>{{printf "%.0f" .Rate}} updates a second. Sum {{.Sum}}, {{.Waiting}} updates wait, {{.Duplicates}} came twice and were applied once.
Last time without a leader: {{.Gap}}.</p>
<table><tr><th>Member<th>Address<th>State<th>Behind</tr>
{{range .Members}}<tr><td>{{.ID}}<td>{{.Addr}}<td>{{if .Leader}}leads{{else if .Up}}follows{{else}}down{{end}}<td>{{if .Up}}{{.Lag}}{{end}}</tr>{{end}}</table>
`))
