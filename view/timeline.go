package view

import (
	"net/http"
	"time"

	"github.com/stateio/stateio/inspect"
)

// maxPoints is how many points a time line has, about.
const maxPoints = 1500

// A point says up to which index updates were made until a time.
type point struct {
	Time  int64  `json:"t"` // in milliseconds since 1970
	Index uint64 `json:"i"`
}

// A moment is when something happened.
type moment struct {
	Time  int64  `json:"t"`
	Index uint64 `json:"i"`
	File  string `json:"file"`
	Size  int64  `json:"size"`
}

// A timeline is what happened when, in a store.
type timeline struct {
	Points    []point  `json:"points"`
	Snapshots []moment `json:"snapshots"`
	Logs      []moment `json:"logs"` // when they begin
}

// timeline answers with the time line, as far as it is known.
func (h *handler) timeline(*http.Request) (any, error) {
	_, indexes, err := h.source.look()
	if err != nil {
		return nil, err
	}
	t := &timeline{Points: []point{}, Snapshots: []moment{}, Logs: []moment{}}
	for _, x := range indexes {
		t.add(x)
	}
	if every := (len(t.Points) + maxPoints - 1) / maxPoints; every > 1 {
		thin := t.Points[:0]
		for i, p := range t.Points {
			if i%every == 0 || i == len(t.Points)-1 {
				thin = append(thin, p)
			}
		}
		t.Points = thin
	}
	return t, nil
}

// add adds the file that x is the index of.
func (t *timeline) add(x *index) {
	x.mu.Lock()
	defer x.mu.Unlock()
	f := moment{milli(x.file.Time), x.file.Base, x.name, x.file.Size}
	switch x.file.Kind {
	case inspect.SnapshotFile:
		if f.Time > 0 {
			t.Snapshots = append(t.Snapshots, f)
		}
		return
	case inspect.StateFile:
		return
	}
	if f.Time == 0 {
		f.Time = milli(x.since)
	}
	if f.Time > 0 {
		t.Logs = append(t.Logs, f)
	}
	for _, b := range x.buckets {
		if b.marked && !b.time.IsZero() {
			t.Points = append(t.Points, point{milli(b.time), b.index})
		}
	}
	if !x.until.IsZero() {
		t.Points = append(t.Points, point{milli(x.until), x.last})
	}
}

// milli returns t in milliseconds since 1970, 0 for the zero time.
func milli(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.UnixMilli()
}
