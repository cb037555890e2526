package statetest

import (
	"errors"
	"testing"
	"time"
)

// Looks are counted, and not time: when the process was stopped for however long, one look is due,
// and a method that ends then, or soon after, has not waited for anything.
func TestAStopOfTheProcessIsNoWait(t *testing.T) {
	refused := errors.New("refused")
	for due := range heldLooks + 1 {
		looks, done := make(chan time.Time), make(chan error)
		go func() {
			for range due {
				looks <- time.Now()
			}
			if due < heldLooks {
				done <- refused
			}
		}()
		ended, err := endsWithin(heldLooks, looks, done)
		if want := due < heldLooks; ended != want || want && !errors.Is(err, refused) {
			t.Errorf("after %d looks: %v, %v", due, ended, err)
		}
	}
}
