package store_test

import (
	"context"
	"testing"

	"github.com/stateio/stateio/store"
)

// A closed store that is read is not taken for one that was opened later.
func TestAClosedStoreIsToldFromOneOpenedLater(t *testing.T) {
	memory(t, "/slotold")
	memory(t, "/slotnew")
	old := open(t, "/slotold", &journal{}, nil)
	check(t, old.Close())
	s := open(t, "/slotnew", &journal{}, nil)
	viewing, leave := make(chan struct{}), make(chan struct{})
	go func() {
		_ = s.View(func() error { close(viewing); <-leave; return nil })
	}()
	<-viewing
	go func() {
		store.Settle() // the update waits for the view
		close(leave)
	}()
	err := old.View(func() error {
		_, err := s.Update(context.Background(), []byte("copied from the old store"))
		return err
	})
	check(t, err)
	check(t, s.Close())
}
