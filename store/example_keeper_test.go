package store_test

import (
	"context"
	"fmt"
	"log"

	"github.com/stateio/stateio/store"
)

// A program that holds a Keeper runs on a store, in memory, or on a cluster.
func ExampleKeeper() {
	count := func(k store.Keeper, c *counters) {
		ctx := context.Background()
		if _, err := k.Update(ctx, []byte("orders")); err != nil {
			log.Fatal(err)
		}
		if err := k.Sync(ctx); err != nil { // on a cluster, what other nodes have made is here then
			log.Fatal(err)
		}
		if err := k.ViewLocal(func() error { fmt.Println(c.n["orders"]); return nil }); err != nil {
			log.Fatal(err)
		}
	}
	c := &counters{n: map[string]int{}}
	s, err := store.OpenMemory(c, silent) // or store.Open, or cluster.Open
	if err != nil {
		log.Fatal(err)
	}
	defer s.Close()
	count(s, c)
	// Output: 1
}
