package main

import (
	"encoding/json"
	"fmt"
	"net/http"
	"time"
)

// events are server-sent events of a response.
type events struct {
	w  http.ResponseWriter
	rc *http.ResponseController
}

// patience is how long an event may take to reach the client.
const patience = 10 * time.Second

// newEvents begins a response of events.
func newEvents(w http.ResponseWriter) *events {
	e := &events{w, http.NewResponseController(w)}
	w.Header().Set("Content-Type", "text/event-stream")
	w.Header().Set("Cache-Control", "no-store")
	_, _ = fmt.Fprint(w, "retry: 200\n\n") // milliseconds until a browser comes again
	_ = e.rc.Flush()                       // send tells that the client is gone
	return e
}

// send sends v as JSON, with an id if that is not empty. The error says that the
// client is gone, or has stalled.
func (e *events) send(id string, v any) error {
	data, err := json.Marshal(v)
	if err != nil {
		return err
	}
	_ = e.rc.SetWriteDeadline(time.Now().Add(patience)) // fails as writing will
	head := ""
	if id != "" {
		head = "id: " + id + "\n"
	}
	if _, err := fmt.Fprintf(e.w, "%sdata: %s\n\n", head, data); err != nil {
		return err
	}
	return e.rc.Flush()
}
