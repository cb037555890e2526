package store_test

import (
	"context"
	"errors"
	"fmt"
	"log"
	"time"

	"github.com/stateio/stateio/store"
)

// An error says whether the update was applied.
func ExampleUnknownError() {
	dir, remove := temp()
	defer remove()
	s, _ := example(dir)
	defer s.Close()
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	_, err := s.Update(ctx, []byte("orders"))
	var unknown *store.UnknownError
	switch {
	case err == nil:
		fmt.Println("applied, and on the disk")
	case errors.As(err, &unknown):
		fmt.Printf("update %d was applied; Sync tells when it is on the disk\n", unknown.Index)
	default:
		fmt.Println("not applied: it can be made again:", err)
	}
	// Output: applied, and on the disk
}

func ExampleStore_Flush() {
	dir, remove := temp()
	defer remove()
	s, err := store.Open(dir, &counters{n: map[string]int{}}, &store.Options{Logger: silent.Logger, SyncInterval: time.Minute})
	if err != nil {
		log.Fatal(err)
	}
	defer s.Close()
	var last *store.Ticket
	for range 1000 {
		if last, err = s.Submit([]byte("events")); err != nil {
			log.Fatal(err)
		}
	}
	s.Flush() // do not wait for the minute to be over
	fmt.Println(last.Wait(context.Background()))
	// Output: <nil>
}

func ExampleStore_Sync() {
	dir, remove := temp()
	defer remove()
	s, _ := example(dir)
	defer s.Close()
	if _, err := s.Submit([]byte("a")); err != nil {
		log.Fatal(err)
	}
	fmt.Println(s.Sync(context.Background()), s.Stats().Durable)
	// Output: <nil> 1
}

// A program may let the disk rest while nobody waits for it.
func ExampleStore_SetSyncInterval() {
	dir, remove := temp()
	defer remove()
	s, _ := example(dir)
	defer s.Close()
	s.SetSyncInterval(time.Minute)
	ticket, err := s.Submit([]byte("a"))
	if err != nil {
		log.Fatal(err)
	}
	s.SetSyncInterval(0)
	fmt.Println(ticket.Wait(context.Background()))
	// Output: <nil>
}

// No snapshot starts by itself during the rush.
func ExampleStore_SetSnapshotBytes() {
	dir, remove := temp()
	defer remove()
	s, _ := example(dir)
	defer s.Close()
	s.SetSnapshotBytes(-1)
	if _, err := s.Update(context.Background(), []byte("a")); err != nil {
		log.Fatal(err)
	}
	s.SetSnapshotBytes(0) // the default again
	fmt.Println(s.Stats().Snapshots)
	// Output: 0
}

// A service that has ten seconds to end.
func ExampleStore_CloseContext() {
	dir, remove := temp()
	defer remove()
	s, _ := example(dir)
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	fmt.Println(s.CloseContext(ctx))
	// Output: <nil>
}
