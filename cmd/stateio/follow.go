package main

import (
	"context"
	"iter"
	"time"

	"github.com/fsnotify/fsnotify"
	"github.com/stateio/stateio/store"
)

const (
	// quick is how long to wait before looking for updates again where nothing tells of
	// changes, and the least time between two looks where something does.
	quick = 10 * time.Millisecond
	// slow is how long to wait at most where changes are told of.
	slow = time.Second
)

// A lookout says when to look for updates again. The operating system tells it of changes,
// but nothing rests on that: network file systems tell of none that another machine makes,
// and a watch ends with its directory. So it has the store looked at every second as well,
// and more often from the first time on that there was something that it was not told of.
type lookout struct {
	events <-chan fsnotify.Event
	errors <-chan error // such as that events were lost
	quit   func() error // nil: there are no events
	timer  *time.Timer

	looked time.Time // when wait returned
	told   bool      // of a change, before that
	found  bool      // an update was found since then
}

// newLookout returns a lookout for the store in dir. What is read from then on is told of.
func newLookout(dir string) *lookout {
	l := &lookout{timer: time.NewTimer(slow), told: true}
	w, err := fsnotify.NewWatcher()
	if err != nil {
		return l // not here, or there are too many
	}
	if err := w.Add(dir); err != nil {
		_ = w.Close()
		return l
	}
	l.events, l.errors, l.quit = w.Events, w.Errors, w.Close
	return l
}

// followUpdates is store.TailUpdates, and costs next to nothing while nothing happens. It
// calls look each time it has come to the end.
func followUpdates(ctx context.Context, dir string, from uint64, look func()) iter.Seq2[store.Update, error] {
	return func(yield func(store.Update, error) bool) {
		l := newLookout(dir)
		defer l.close()
		wait := func(ctx context.Context) {
			look()
			l.wait(ctx)
		}
		for u, err := range store.TailUpdatesOn(ctx, dir, from, wait) {
			l.found = true
			if !yield(u, err) {
				return
			}
		}
	}
}

// wait returns when it is time to look again, or ctx has ended.
func (l *lookout) wait(ctx context.Context) {
	missed := l.found && !l.told
	l.found = false
	switch {
	case l.quit == nil:
		l.next(ctx, quick)
	case !missed:
		l.told = l.next(ctx, slow)
	default:
		if l.told = l.next(ctx, quick); !l.told { // and it is not just late
			l.close()
		}
	}
	if rest := quick - time.Since(l.looked); rest > 0 && ctx.Err() == nil {
		l.timer.Reset(rest) // further changes wait meanwhile, most of them as one
		select {
		case <-l.timer.C:
		case <-ctx.Done():
		}
	}
	l.looked = time.Now()
}

// next waits for a change, and reports whether it was told of one before d has passed or
// ctx has ended.
func (l *lookout) next(ctx context.Context, d time.Duration) bool {
	l.timer.Reset(d)
	select {
	case <-l.events:
		return true
	case err := <-l.errors:
		return err != nil
	case <-l.timer.C:
	case <-ctx.Done():
	}
	return false
}

// close ends the watch.
func (l *lookout) close() {
	l.timer.Stop()
	if l.quit != nil {
		_ = l.quit() // nothing comes of it any more
	}
	l.events, l.errors, l.quit = nil, nil, nil
}
