package main

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/fsnotify/fsnotify"
)

// told returns a lookout that is told of changes by what it returns, too.
func told() (*lookout, chan fsnotify.Event) {
	events := make(chan fsnotify.Event, 1000)
	return &lookout{events: events, quit: func() error { return nil }, timer: time.NewTimer(slow), told: true}, events
}

// waited returns how long l waits.
func waited(ctx context.Context, l *lookout) time.Duration {
	begin := time.Now()
	l.wait(ctx)
	return time.Since(begin)
}

// A lookout waits a second while nothing happens, returns at once when it is told of a
// change, and of many once in 10 ms.
func TestALookoutWaitsForChanges(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l, events := told()
		l.found = true // what was there from the beginning
		for range 3 {
			if d := waited(t.Context(), l); d != slow {
				t.Errorf("it waits %v while nothing happens", d)
			}
		}
		time.Sleep(slow)
		events <- fsnotify.Event{}
		if d := waited(t.Context(), l); d != 0 {
			t.Errorf("it waits %v for a change", d)
		}
		for range 3 {
			l.found = true
			for range 100 {
				events <- fsnotify.Event{}
			}
			if d := waited(t.Context(), l); d != quick {
				t.Errorf("it waits %v for many changes", d)
			}
		}
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if d := waited(ctx, l); d != 0 {
			t.Errorf("it waits %v when it was interrupted", d)
		}
	})
}

// One that finds what it was not told of looks more often from then on, unless it is told
// of it a moment later.
func TestALookoutRestsOnNoNotification(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l, events := told()
		waited(t.Context(), l)
		l.found = true
		go func() {
			time.Sleep(quick / 2)
			events <- fsnotify.Event{}
		}()
		if d := waited(t.Context(), l); d != quick {
			t.Errorf("told late, it waits %v", d)
		}
		if d := waited(t.Context(), l); d != slow {
			t.Errorf("told late, it then waits %v", d)
		}
		l.found = true
		for range 3 {
			if d := waited(t.Context(), l); d != quick {
				t.Errorf("told nothing, it waits %v", d)
			}
		}
	})
}

// Where nothing can tell of changes, it looks often.
func TestALookoutWithoutNotifications(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLookout("/there/is/no/such/directory")
		defer l.close()
		for range 3 {
			if d := waited(t.Context(), l); d != quick {
				t.Errorf("it waits %v", d)
			}
		}
	})
}
