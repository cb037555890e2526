package main

import (
	"context"
	"encoding/json"
	"net/http"
	"strconv"
	"time"

	"github.com/stateio/stateio/durable"
)

// An event is a line of a watch.
type event struct {
	Index uint64 `json:"index"`
	Op    string `json:"op"` // put or delete
	Key   string `json:"key"`
	Value []byte `json:"value,omitempty"`
}

// eventOf returns the event that tells of a change.
func eventOf(c durable.Change[string, []byte]) event {
	if c.Deleted {
		return event{Index: c.Index, Op: "delete", Key: c.Key}
	}
	return event{Index: c.Index, Op: "put", Key: c.Key, Value: c.Value}
}

// watch streams changes until the client goes, or the server does. A line with
// an error may end it.
func (s *server) watch(w http.ResponseWriter, r *http.Request) {
	prefix := r.FormValue("prefix")
	from := s.keys.newest() + 1
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
	for c, err := range s.keys.Watch(ctx, from, durable.HasPrefix(prefix)) {
		if err != nil {
			_ = lines.write(map[string]string{"error": err.Error()}) // the last line
			return
		}
		if lines.write(eventOf(c)) != nil {
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
