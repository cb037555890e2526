package shadow_test

import (
	"context"
	"fmt"
	"log"
	"os"
	"os/exec"

	"github.com/stateio/stateio/store"
	"github.com/stateio/stateio/store/shadow"
)

// orders is a machine that counts its updates.
type orders struct{ store.JSONState[int] }

func (o *orders) Apply([]byte) (any, error) {
	o.State++
	return o.State, nil
}

// A program that runs itself again for its snapshots.
func ExampleProcess() {
	if os.Getenv("APP_SHADOW") != "" { // this is the process that makes them
		if err := shadow.Serve(&orders{}); err != nil {
			log.Fatal(err)
		}
		return
	}
	dir, err := os.MkdirTemp("", "shadow")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(dir)
	s, err := store.Open(dir, &orders{}, &store.Options{Shadow: shadow.Process(func() *exec.Cmd {
		cmd := exec.Command(os.Args[0])
		cmd.Env = append(os.Environ(), "APP_SHADOW=1")
		return cmd
	})})
	if err != nil {
		log.Fatal(err)
	}
	defer s.Close()
	if _, err := s.Update(context.Background(), []byte("hello")); err != nil {
		log.Fatal(err)
	}
	fmt.Println(s.Snapshot(context.Background()), s.Stats().SnapshotIndex)
	// Output: <nil> 1
}

// What a process does with standard input and output is [Serve]'s. It ends when the store
// does.
func ExampleServe() {
	if os.Getenv("APP_SHADOW") != "" {
		if err := shadow.Serve(&orders{}); err != nil {
			log.Fatal(err)
		}
		return
	}
	fmt.Println("the program itself")
	// Output: the program itself
}
