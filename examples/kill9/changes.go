package main

import (
	"context"
	"errors"
	"net/http"
	"strconv"
	"time"

	"github.com/stateio/stateio/store"
)

// A change is an entry that is on the disk.
type change struct {
	Index uint64 `json:"index"` // of the update, 1 for the first one ever
	entry
}

// A glimpse tells of the changes since the one before: how many there were, and the
// last few of them.
type glimpse struct {
	Made uint64   `json:"made"`
	Last []change `json:"last"`
}

const (
	glimpseEvery   = 100 * time.Millisecond
	glimpseChanges = 8
)

// changes streams what has become durable, as server-sent events with a glimpse each.
// The id of an event is the index of its last change: a browser that comes again says
// it, and misses nothing.
func (s *server) changes(w http.ResponseWriter, r *http.Request) {
	from := s.ledger.Stats().Durable + 1
	if last, err := strconv.ParseUint(r.Header.Get("Last-Event-ID"), 10, 64); err == nil && last < from {
		from = last + 1
	}
	ctx, cancel := context.WithCancel(r.Context())
	defer cancel()
	defer context.AfterFunc(s.ending, cancel)()
	found := make(chan change)
	go func() {
		defer close(found)
		s.follow(ctx, from, found)
	}()
	sendGlimpses(ctx, newEvents(w), found)
}

// follow sends the durable updates from index from on to found, until ctx ends or the
// store does.
func (s *server) follow(ctx context.Context, from uint64, found chan<- change) {
	for {
		for u, err := range s.ledger.Updates(ctx, from) {
			if errors.Is(err, store.ErrNotRetained) {
				break // a browser that was away for long: what is new counts
			} else if err != nil {
				return
			}
			select {
			case found <- change{u.Index, u.Value}:
			case <-ctx.Done():
				return
			}
		}
		if ctx.Err() != nil {
			return
		}
		from = s.ledger.Stats().Durable + 1
	}
}

// sendGlimpses sends a glimpse at most every glimpseEvery, until ctx, found or the
// client ends.
func sendGlimpses(ctx context.Context, events *events, found <-chan change) {
	ticker := time.NewTicker(glimpseEvery)
	defer ticker.Stop()
	var g glimpse
	for {
		select {
		case c, ok := <-found:
			if !ok {
				return
			}
			g.Made++
			if len(g.Last) == glimpseChanges {
				g.Last = append(g.Last[:0], g.Last[1:]...)
			}
			g.Last = append(g.Last, c)
		case <-ticker.C:
			if g.Made == 0 {
				continue
			}
			if events.send(strconv.FormatUint(g.Last[len(g.Last)-1].Index, 10), g) != nil {
				return // the client is gone
			}
			g = glimpse{}
		case <-ctx.Done():
			return
		}
	}
}
