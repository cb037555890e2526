package main

import (
	"context"
	"encoding/json"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/stateio/stateio/store"
)

// An event is a line of a watch.
type event struct {
	Index uint64 `json:"index"`
	change
}

// watch streams changes until the client goes, or the server does. A line with
// an error may end it.
func (s *server) watch(w http.ResponseWriter, r *http.Request) {
	prefix := r.FormValue("prefix")
	from := s.store.Stats().Durable + 1
	if at := r.FormValue("from"); at != "" {
		var err error
		if from, err = strconv.ParseUint(at, 10, 64); err != nil {
			http.Error(w, "from is the index of a change", http.StatusBadRequest)
			return
		}
	}
	ctx, cancel := context.WithCancel(r.Context())
	defer cancel()
	defer context.AfterFunc(s.ending, cancel)()

	w.Header().Set("Content-Type", "application/x-ndjson")
	lines := &lineWriter{w: w, rc: http.NewResponseController(w), patience: s.patience}
	if lines.rc.Flush() != nil {
		return // the client is gone
	}
	defer lines.extend() // for the end of the response
	for u, err := range s.store.Updates(ctx, from) {
		e := event{Index: u.Index}
		if err == nil {
			e.change, err = store.JSON[change]{}.Decode(u.Data)
		}
		if err != nil {
			_ = lines.write(map[string]string{"error": err.Error()}) // the last line
			return
		}
		if strings.HasPrefix(e.Key, prefix) && lines.write(e) != nil {
			return // the client is gone
		}
	}
}

// A lineWriter writes JSON objects, each to a line that is sent at once.
type lineWriter struct {
	w        http.ResponseWriter
	rc       *http.ResponseController
	patience time.Duration
}

func (l *lineWriter) write(v any) error {
	l.extend()
	if err := json.NewEncoder(l.w).Encode(v); err != nil {
		return err
	}
	return l.rc.Flush()
}

// extend gives the client time to take what is written next: a watch outlives
// the server's WriteTimeout, but not a client that has stalled.
func (l *lineWriter) extend() {
	_ = l.rc.SetWriteDeadline(time.Now().Add(l.patience)) // fails as writing will
}
