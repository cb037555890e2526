package durable_test

import (
	"fmt"
	"log"
	"os"
	"testing"

	"github.com/stateio/stateio/durable"
	"github.com/stateio/stateio/statetest"
	"github.com/stateio/stateio/store"
)

func ExampleHasPrefix() {
	dir := tempDir()
	defer os.RemoveAll(dir)
	users := exampleUsers(dir)
	defer users.Close()
	now := users.View()
	for _, name := range []string{"eve", "anna"} {
		if err := users.Put(ctx, name, User{Age: 22}); err != nil {
			log.Fatal(err)
		}
	}
	for c, err := range users.Watch(ctx, now.Index()+1, durable.HasPrefix("an")) {
		fmt.Println(c.Key, err)
		break
	}
	// Output: anna <nil>
}

func ExampleBetween() {
	dir := tempDir()
	defer os.RemoveAll(dir)
	users := exampleUsers(dir)
	defer users.Close()
	now := users.View()
	for _, name := range []string{"zoe", "bob"} {
		if err := users.Put(ctx, name, User{Age: 22}); err != nil {
			log.Fatal(err)
		}
	}
	for c, err := range users.Watch(ctx, now.Index()+1, durable.Between("a", "m")) {
		fmt.Println(c.Key, err)
		break
	}
	// Output: bob <nil>
}

// The machine of a map is tested with the updates that a program has made.
func ExampleNewMachine() {
	dir := tempDir()
	defer os.RemoveAll(dir)
	if err := exampleUsers(dir).Close(); err != nil {
		log.Fatal(err)
	}
	updates := func(yield func([]byte) bool) {
		for u, err := range store.ReadUpdates(ctx, dir, 1) {
			if err != nil {
				log.Fatal(err)
			}
			if !yield(u.Data) {
				return
			}
		}
	}
	t := &printer{} // stands for the *testing.T of a test
	statetest.Run(t, func() store.Machine { return durable.NewMachine[string, User](nil) }, updates, &statetest.Options{CrashStates: 1})
	fmt.Println("failed:", t.failed)
	// Output: failed: false
}

// A printer is a testing.TB that prints failures.
type printer struct {
	testing.TB
	failed bool
}

func (p *printer) Helper()             {}
func (p *printer) Name() string        { return "TestUsers" }
func (p *printer) Logf(string, ...any) {}
func (p *printer) Errorf(format string, args ...any) {
	p.failed = true
	fmt.Printf(format, args...)
}
