package main

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/stateio/stateio/store"
)

const (
	maxKey   = 1 << 10 // bytes
	maxValue = 1 << 20 // bytes
)

type server struct {
	store    *store.Typed[change, bool]
	keys     *keys           // read within View only
	ending   context.Context // ends when the server is to shut down
	patience time.Duration   // how long a line of a watch may take to reach the client
}

func (s *server) handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /kv/{$}", s.list)
	mux.HandleFunc("GET /kv/{key...}", s.get)
	mux.HandleFunc("PUT /kv/{key...}", s.put)
	mux.HandleFunc("DELETE /kv/{key...}", s.remove)
	mux.HandleFunc("GET /watch", s.watch)
	mux.HandleFunc("GET /stats", s.stats)
	return mux
}

func (s *server) get(w http.ResponseWriter, r *http.Request) {
	var value []byte
	err := s.store.View(func() error {
		var ok bool
		if value, ok = s.keys.values[r.PathValue("key")]; !ok {
			return errNoKey
		}
		return nil
	})
	if err != nil {
		fail(w, err)
		return
	}
	w.Header().Set("Content-Type", "application/octet-stream")
	_, _ = w.Write(value) // the client may be gone
}

func (s *server) put(w http.ResponseWriter, r *http.Request) {
	key := r.PathValue("key")
	if key == "" || len(key) > maxKey || !utf8.ValidString(key) {
		http.Error(w, "a key is UTF-8 text of 1 to 1024 bytes", http.StatusBadRequest)
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
	existed, err := s.store.Update(r.Context(), change{Op: "put", Key: key, Value: value})
	switch {
	case err != nil:
		fail(w, err)
	case existed:
		w.WriteHeader(http.StatusNoContent)
	default:
		w.WriteHeader(http.StatusCreated)
	}
}

func (s *server) remove(w http.ResponseWriter, r *http.Request) {
	_, err := s.store.Update(r.Context(), change{Op: "delete", Key: r.PathValue("key")})
	if err != nil {
		fail(w, err)
		return
	}
	w.WriteHeader(http.StatusNoContent)
}

func (s *server) list(w http.ResponseWriter, r *http.Request) {
	prefix := r.FormValue("prefix")
	found := []string{}
	err := s.store.View(func() error {
		for key := range s.keys.values {
			if strings.HasPrefix(key, prefix) {
				found = append(found, key)
			}
		}
		return nil
	})
	if err != nil {
		fail(w, err)
		return
	}
	slices.Sort(found)
	reply(w, found)
}

func (s *server) stats(w http.ResponseWriter, _ *http.Request) {
	st := s.store.Stats()
	reply(w, map[string]any{
		"index":            st.Index,
		"durable":          st.Durable,
		"updates":          st.Updates,
		"commits":          st.Batches,
		"commit_p50":       st.Commits.Quantile(0.5).String(),
		"commit_p99":       st.Commits.Quantile(0.99).String(),
		"commit_max":       st.Commits.Max.Round(time.Microsecond).String(),
		"logged_bytes":     st.Bytes,
		"snapshot_index":   st.SnapshotIndex,
		"snapshot_bytes":   st.SnapshotBytes,
		"since_snapshot":   st.SinceSnapshot,
		"recovery":         s.store.Recovery().String(),
		"snapshots_failed": st.SnapshotsFailed,
	})
}

// reply answers with v as JSON.
func reply(w http.ResponseWriter, v any) {
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(v) // the client may be gone
}

// fail answers a request that the store did not do. After a 503 it is unknown
// whether a change was made.
func fail(w http.ResponseWriter, err error) {
	status := http.StatusServiceUnavailable
	switch {
	case errors.Is(err, errNoKey):
		status = http.StatusNotFound
	case errors.Is(err, store.ErrNoSpace):
		status = http.StatusInsufficientStorage
	}
	http.Error(w, err.Error(), status)
}
