// Package nodepage shows a node of package cluster on a page: whether updates are taken, and
// what to do if not; the members, who leads, who lags; and how fast updates are applied.
//
//	http.Handle("/node/", http.StripPrefix("/node", nodepage.Handler(n))) // n is a *cluster.Node
//
// The page has no keys and no values of the program: IDs and addresses of members, figures,
// and the text of errors. It changes nothing. It asks nobody for a password: serve it where only
// operators get at it, as Prometheus' metrics.
package nodepage

import (
	"embed"
	"encoding/json"
	"io/fs"
	"net/http"
	"sync"
	"time"

	"github.com/stateio/stateio/cluster"
)

// A Source is what a page reads: a *[cluster.Node]. Its methods may be called from several
// goroutines at once, and must return in a bounded time, as those of a node do.
type Source interface {
	Stats() cluster.Stats
	Status() cluster.Status
}

var _ Source = (*cluster.Node)(nil)

//go:embed web
var web embed.FS

// policy lets the page run and load what this handler serves, and nothing else.
const policy = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"

// Handler returns a handler that serves the page of a node at "/", and what it needs at paths
// below; use [http.StripPrefix] for another place, whose URL must end with a slash. The page asks
// for the figures once a second. The node is asked at most twice a second, however many pages are
// open, and an answer takes no longer than its Options.Heartbeat if a member is silent. A node that
// is closed is shown as one. The handler may be used by several goroutines at once.
func Handler(n Source) http.Handler {
	files, err := fs.Sub(web, "web")
	if err != nil {
		panic(err) // it is embedded
	}
	l := &looks{node: n, now: time.Now}
	mux := http.NewServeMux()
	mux.Handle("GET /", http.FileServerFS(files))
	mux.HandleFunc("GET /status", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(w).Encode(l.latest()) // an error is the client's
	})
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("Content-Security-Policy", policy)
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("Referrer-Policy", "no-referrer")
		h.Set("Cross-Origin-Resource-Policy", "same-origin")
		h.Set("Cache-Control", "no-store")
		mux.ServeHTTP(w, r)
	})
}

// lookTime is how old figures may be that are shown.
const lookTime = 500 * time.Millisecond

// looks are what a node was like when it was asked last.
type looks struct {
	node Source
	now  func() time.Time

	mu   sync.Mutex // held while the node is asked
	at   time.Time
	last *view
}

func (l *looks) latest() *view {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.last == nil || l.now().Sub(l.at) >= lookTime {
		l.last = read(l.node)
		l.at = l.now()
		l.last.At = l.at.UnixMilli()
	}
	return l.last
}
