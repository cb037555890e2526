package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"sync/atomic"
	"time"
	"unicode/utf8"

	"github.com/stateio/stateio/cluster/nodepage"
	"github.com/stateio/stateio/durable"
	"github.com/stateio/stateio/store"
)

const (
	maxKey   = 1 << 10 // bytes
	maxValue = 1 << 20 // bytes
)

type server struct {
	keys     keys
	ending   context.Context // ends when the server is to shut down
	stop     func()          // ends it: nothing can be kept any more
	patience time.Duration   // how long a line of a watch may take to reach the client
	full     atomic.Pointer[refusal]
}

// A refusal is of a change for which there was no space.
type refusal struct {
	err error
	at  time.Time
}

var errNoKey = errors.New("no such key")

func (s *server) handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /{$}", s.index)
	mux.HandleFunc("GET /kv/{key...}", inTime(s.getOrList))
	mux.HandleFunc("PUT /kv/{key...}", inTime(s.put))
	mux.HandleFunc("DELETE /kv/{key...}", inTime(s.remove))
	mux.HandleFunc("GET /watch", s.watch)
	mux.HandleFunc("GET /stats", s.stats)
	mux.HandleFunc("GET /healthz", s.healthz)
	mux.HandleFunc("DELETE /members/{id}", inTime(s.removeMember))
	mux.Handle("GET /metrics", s.metrics())
	if n := s.keys.node; n != nil {
		mux.Handle("GET /node/", http.StripPrefix("/node", nodepage.Handler(n)))
	}
	return mux
}

// answerTime is how long a request may take: a node waits that long for a majority.
const answerTime = 20 * time.Second

func inTime(h http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		ctx, cancel := context.WithTimeout(r.Context(), answerTime)
		defer cancel()
		h(w, r.WithContext(ctx))
	}
}

// index says what there is to request.
func (s *server) index(w http.ResponseWriter, _ *http.Request) {
	_, _ = fmt.Fprintf(w, `kv: a key-value server, keys: %d

PUT    /kv/KEY            set a value: the body, at most 1 MiB
GET    /kv/KEY            get it
DELETE /kv/KEY            remove it
GET    /kv/?prefix=user/  list keys, as a JSON array
GET    /watch?prefix=P    follow changes, one JSON object a line, values in base64
GET    /stats             figures about the store, as JSON
GET    /metrics           the same for Prometheus
GET    /node/             a page about the node and its cluster, if it is one
GET    /healthz           200 while the store takes changes, else 503
DELETE /members/ID        remove a node from its cluster
`, s.keys.Len()) // the client may be gone
}

// key returns the key of a request, or answers the request if that is none. All
// methods refuse the same keys: one that PUT refused must not name another.
func key(w http.ResponseWriter, r *http.Request) (key string, ok bool) {
	key = r.PathValue("key")
	if key == "" || len(key) > maxKey || !utf8.ValidString(key) {
		http.Error(w, "a key is UTF-8 text of 1 to 1024 bytes", http.StatusBadRequest)
		return "", false
	}
	return key, true
}

// getOrList lists keys where none is named. A pattern that ends in {$} would take the key
// "/" for none.
func (s *server) getOrList(w http.ResponseWriter, r *http.Request) {
	if r.PathValue("key") == "" {
		s.list(w, r)
		return
	}
	s.get(w, r)
}

func (s *server) get(w http.ResponseWriter, r *http.Request) {
	key, ok := key(w, r)
	if !ok {
		return
	}
	v, err := s.keys.now(r.Context())
	if err != nil {
		s.fail(w, err)
		return
	}
	value, ok := v.Get(key)
	if !ok {
		s.fail(w, errNoKey)
		return
	}
	w.Header().Set("Content-Type", "application/octet-stream")
	_, _ = w.Write(value) // the client may be gone
}

func (s *server) put(w http.ResponseWriter, r *http.Request) {
	key, ok := key(w, r)
	if !ok {
		return
	}
	value, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxValue))
	var tooLarge *http.MaxBytesError
	if errors.As(err, &tooLarge) {
		http.Error(w, "a value has at most 1 MiB", http.StatusRequestEntityTooLarge)
		return
	} else if err != nil {
		http.Error(w, "reading the value: "+err.Error(), http.StatusBadRequest)
		return
	}
	existed, err := s.keys.set(r.Context(), key, value)
	if err == nil {
		s.full.Store(nil)
	}
	switch {
	case err != nil:
		s.fail(w, err)
	case existed:
		w.WriteHeader(http.StatusNoContent)
	default:
		w.WriteHeader(http.StatusCreated)
	}
}

func (s *server) remove(w http.ResponseWriter, r *http.Request) {
	key, ok := key(w, r)
	if !ok {
		return
	}
	existed, err := s.keys.Delete(r.Context(), key)
	if err == nil && !existed {
		err = errNoKey
	}
	if err != nil {
		s.fail(w, err)
		return
	}
	s.full.Store(nil)
	w.WriteHeader(http.StatusNoContent)
}

func (s *server) list(w http.ResponseWriter, r *http.Request) {
	v, err := s.keys.now(r.Context())
	if err != nil {
		s.fail(w, err)
		return
	}
	found := []string{}
	for key := range durable.Prefix(v, r.FormValue("prefix")) {
		found = append(found, key)
	}
	reply(w, found)
}

// reply answers with v as JSON.
func reply(w http.ResponseWriter, v any) {
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(v) // the client may be gone
}

// fail answers a request that the store did not do. After a 503 it is unknown
// whether a change was made. If the store or the node has failed, the program ends: a
// store that is started again has all that was answered, and only that.
func (s *server) fail(w http.ResponseWriter, err error) {
	status := http.StatusServiceUnavailable
	switch {
	case errors.Is(err, store.ErrFailed):
		select {
		case <-s.keys.failed():
			s.stop()
		default: // a node that waits for a snapshot which it can restore
		}
	case errors.Is(err, errNoKey):
		status = http.StatusNotFound
	case errors.Is(err, store.ErrNoSpace):
		s.full.Store(&refusal{err, time.Now()})
		status = http.StatusInsufficientStorage
	}
	http.Error(w, err.Error(), status)
}
