package main

import (
	"bytes"
	"context"
	"embed"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log"
	"net"
	"net/http"
	"net/http/httputil"
	"net/netip"
	"net/url"
	"strconv"
	"strings"
	"syscall"
	"time"
)

//go:embed page
var pageFiles embed.FS

// defaultAddress is where to listen unless another port has to do.
const defaultAddress = "127.0.0.1:8080"

// listenAt listens at an address, or at any port if that is the default and taken.
func listenAt(address string) (net.Listener, error) {
	l, err := net.Listen("tcp", address)
	if address == defaultAddress && errors.Is(err, syscall.EADDRINUSE) {
		return net.Listen("tcp", "127.0.0.1:0")
	}
	return l, err
}

// page serves the page until ctx ends, and tells where.
func (p *parent) page(ctx context.Context, o options) error {
	l, err := listenAt(o.listen)
	if err != nil {
		return err
	}
	defer l.Close()
	c, err := p.server(ctx)
	if err != nil {
		return nil //nolint:nilerr // the server did not start, or Ctrl-C: run tells
	}
	fmt.Printf(`kill9: %d writers write to a server, and you can kill it: open http://%[2]s
or by hand:
  curl -d hello http://%[2]s/add/me     # an entry, acknowledged when it is on the disk
  kill -9 %[3]d%[4]s# the server, which is started again
  curl http://%[2]s/accounts/me         # what is left of you
Ctrl-C ends it.
`, o.writers, l.Addr(), c.PID, strings.Repeat(" ", max(1, len(l.Addr().String())+25-len(strconv.Itoa(c.PID)))))
	go p.tell(ctx)
	return serveUntil(ctx, l, forHost(o.listen, p.handler()))
}

// tell prints a line for each kill, until ctx ends.
func (p *parent) tell(ctx context.Context) {
	for told := 0; ; {
		p.mu.Lock()
		count, next := p.count, p.next
		var news []kill
		if count > told {
			news = p.kills[:min(count-told, len(p.kills))]
		}
		p.mu.Unlock()
		for i := range news {
			fmt.Println(news[len(news)-1-i])
		}
		told = count
		select {
		case <-next:
		case <-ctx.Done():
			return
		}
	}
}

// serveUntil answers requests at l until ctx ends, and with it the contexts of requests.
func serveUntil(ctx context.Context, l net.Listener, h http.Handler) error {
	srv := &http.Server{
		Handler:           h,
		ReadHeaderTimeout: 10 * time.Second,
		BaseContext:       func(net.Listener) context.Context { return ctx },
	}
	defer context.AfterFunc(ctx, func() { _ = srv.Close() })()
	if err := srv.Serve(l); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}

// handler answers for the parent, and passes on what is the server's.
func (p *parent) handler() http.Handler {
	files, err := fs.Sub(pageFiles, "page")
	if err != nil {
		panic(err) // it is embedded
	}
	mux := http.NewServeMux()
	mux.Handle("GET /", http.FileServerFS(files))
	mux.HandleFunc("GET /events", p.events)
	mux.HandleFunc("GET /metrics", p.metrics)
	mux.HandleFunc("POST /kill", p.postKill)
	mux.HandleFunc("POST /writers", p.postWriters)
	mux.HandleFunc("POST /add/{account}", p.add)
	mux.HandleFunc("GET "+inspector, p.inspect)
	for _, pattern := range []string{"GET /accounts", "GET /accounts/{account}", "GET /changes", "GET /stats", "GET /healthz"} {
		mux.HandleFunc(pattern, func(w http.ResponseWriter, r *http.Request) { p.pass(w, r, nil) })
	}
	return http.NewCrossOriginProtection().Handler(secure(mux))
}

// secure has browsers load nothing from elsewhere.
func secure(h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Security-Policy", "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'")
		w.Header().Set("X-Content-Type-Options", "nosniff")
		h.ServeHTTP(w, r)
	})
}

// postKill kills the server, and answers when another one serves.
func (p *parent) postKill(w http.ResponseWriter, r *http.Request) {
	k, err := p.kill(r.Context())
	if err != nil {
		http.Error(w, err.Error(), http.StatusServiceUnavailable)
		return
	}
	reply(w, k)
}

// postWriters sets the number of writers.
func (p *parent) postWriters(w http.ResponseWriter, r *http.Request) {
	n, err := strconv.Atoi(r.FormValue("n"))
	if err != nil || n < 0 || n > maxWriters {
		http.Error(w, fmt.Sprintf("n is a number of writers, from 0 to %d", maxWriters), http.StatusBadRequest)
		return
	}
	p.load.set(n)
	reply(w, p.state())
}

// A state is what the page shows.
type state struct {
	Acked   uint64 `json:"acked"` // entries, since the start
	Lost    uint64 `json:"lost"`
	Wrong   uint64 `json:"wrong"`
	Writers int    `json:"writers"`
	PID     int    `json:"pid"` // of the server; 0 while there is none
	Dir     string `json:"dir"`
	Killed  int    `json:"killed"` // how often
	Kills   []kill `json:"kills"`  // the last ones, the newest first
}

func (p *parent) state() state {
	s := state{Dir: p.dir}
	s.Acked, s.Lost, s.Wrong = p.memory.sums()
	s.Writers, _ = p.load.wanted()
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.now != nil {
		s.PID = p.now.PID
	}
	s.Killed, s.Kills = p.count, append([]kill{}, p.kills...)
	return s
}

// events streams the state, as often as it makes a picture.
func (p *parent) events(w http.ResponseWriter, r *http.Request) {
	e := newEvents(w)
	ticker := time.NewTicker(100 * time.Millisecond)
	defer ticker.Stop()
	for e.send("", p.state()) == nil {
		select {
		case <-ticker.C:
		case <-r.Context().Done():
			return
		}
	}
}

// add passes an entry on, and remembers what the server acknowledges.
func (p *parent) add(w http.ResponseWriter, r *http.Request) {
	name := r.PathValue("account")
	if strings.HasPrefix(name, writerPrefix) {
		http.Error(w, "only the writers add to accounts that begin with "+writerPrefix, http.StatusForbidden)
		return
	}
	p.pass(w, r, func(resp *http.Response) error {
		if resp.StatusCode != http.StatusOK {
			return nil
		}
		body, err := io.ReadAll(resp.Body)
		if err != nil {
			return err
		}
		resp.Body = io.NopCloser(bytes.NewReader(body))
		var a account
		if err := json.Unmarshal(body, &a); err != nil {
			return err
		}
		p.memory.told(name, a)
		return nil
	})
}

// inspect passes on what is for the inspector, which the server answers for this computer
// alone.
func (p *parent) inspect(w http.ResponseWriter, r *http.Request) {
	from, err := netip.ParseAddrPort(r.RemoteAddr)
	if err != nil || !from.Addr().Unmap().IsLoopback() {
		http.Error(w, "the files are shown to this computer alone", http.StatusForbidden)
		return
	}
	p.pass(w, r, nil)
}

// patienceForServer is how long a request waits for a server.
const patienceForServer = 10 * time.Second

// pass passes a request on to the server, when there is one.
func (p *parent) pass(w http.ResponseWriter, r *http.Request, look func(*http.Response) error) {
	ctx, cancel := context.WithTimeout(r.Context(), patienceForServer)
	c, err := p.server(ctx)
	cancel()
	if err != nil {
		http.Error(w, "there is no server: "+err.Error(), http.StatusServiceUnavailable)
		return
	}
	target, err := url.Parse(c.URL)
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	proxy := httputil.ReverseProxy{
		Rewrite: func(r *httputil.ProxyRequest) {
			r.SetURL(target)
			if strings.HasPrefix(r.In.URL.Path, inspector) {
				r.Out.Host = r.In.Host // it compares that with the origin
			}
		},
		ModifyResponse: look,
		ErrorLog:       log.New(io.Discard, "", 0), // that the server was killed is no news
		ErrorHandler: func(w http.ResponseWriter, _ *http.Request, err error) {
			http.Error(w, "the server was killed meanwhile: "+err.Error(), http.StatusBadGateway)
		},
	}
	proxy.ServeHTTP(w, r)
}
