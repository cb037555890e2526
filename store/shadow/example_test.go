package shadow_test

import (
	"context"
	"fmt"
	"log"
	"log/slog"
	"os"
	"os/exec"

	"github.com/stateio/stateio/store"
	"github.com/stateio/stateio/store/shadow"
)

// A program that runs itself again for its snapshots. The first lines of its main are
//
//	if os.Getenv("STATEIO_TEST_SHADOW") != "" {
//		if err := shadow.Serve(&counts{...}); err != nil {
//			log.Fatal(err)
//		}
//		return
//	}
func ExampleProcess() {
	dir, err := os.MkdirTemp("", "shadow")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(dir)
	m := &counts{words: words{N: map[string]int{}}}
	s, err := store.Open(dir, m, &store.Options{
		Logger: slog.New(slog.DiscardHandler),
		Shadow: shadow.Process(func() *exec.Cmd {
			cmd := exec.Command(os.Args[0])
			cmd.Env = append(os.Environ(), "STATEIO_TEST_SHADOW=yes")
			return cmd
		}),
	})
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
		if err := shadow.Serve(&counts{words: words{N: map[string]int{}}}); err != nil {
			log.Fatal(err)
		}
		return
	}
	fmt.Println("the program itself")
	// Output: the program itself
}
