package store_test

import (
	"context"
	"fmt"
	"log"

	"github.com/stateio/stateio/store"
)

// Another process shows what is updated, as it comes.
func ExampleTailUpdates() {
	dir, remove := counted("a", "b")
	defer remove()
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	for u, err := range store.TailUpdates(ctx, dir, 1) {
		if err != nil {
			log.Fatal(err)
		}
		fmt.Printf("%d: %s\n", u.Index, u.Data)
		if u.Index == 2 {
			cancel() // otherwise it goes on, and waits for the next one
		}
	}
	// Output:
	// 1: a
	// 2: b
}

// A program that is told of updates need not look for them. Here the channel tells, elsewhere
// a message of the process that has the store, or a watch on the directory.
func ExampleTailUpdatesOn() {
	dir, remove := counted("a")
	defer remove()
	s, _ := example(dir)
	defer s.Close()
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()

	told := make(chan struct{}, 1) // one is enough, however many updates it is for
	wait := func(ctx context.Context) {
		select {
		case <-told:
		case <-ctx.Done(): // the sequence ends then
		}
	}
	for u, err := range store.TailUpdatesOn(ctx, dir, 1, wait) {
		if err != nil {
			log.Fatal(err)
		}
		fmt.Printf("%d: %s\n", u.Index, u.Data)
		if u.Index == 3 {
			break
		}
		if _, err := s.Update(ctx, []byte("b")); err != nil {
			log.Fatal(err)
		}
		select {
		case told <- struct{}{}:
		default: // it was told, and has not looked yet
		}
	}
	// Output:
	// 1: a
	// 2: b
	// 3: b
}
