package durable_test

import (
	"context"
	"errors"
	"fmt"
	"log"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/stateio/stateio/durable"
	"github.com/stateio/stateio/statetest"
	"github.com/stateio/stateio/store"
)

// User is what the examples keep.
type User struct {
	Age   int
	Teams []string `json:",omitempty"`
}

var ctx = context.Background()

// tempDir stands for the directory of a program's data.
func tempDir() string {
	dir, err := os.MkdirTemp("", "durable-example-")
	if err != nil {
		log.Fatal(err)
	}
	return dir
}

// exampleUsers returns a map with some users in it.
func exampleUsers(dir string) *durable.Map[string, User] {
	users, err := durable.OpenMap[string, User](dir, nil)
	if err != nil {
		log.Fatal(err)
	}
	for name, u := range map[string]User{"ann": {31, []string{"blue"}}, "bob": {25, []string{"blue", "red"}}, "zoe": {40, nil}} {
		if err := users.Put(ctx, name, u); err != nil {
			log.Fatal(err)
		}
	}
	return users
}

func ExampleOpenMap() {
	dir := tempDir()
	defer os.RemoveAll(dir)
	users, err := durable.OpenMap[string, User](dir, nil)
	if err != nil {
		log.Fatal(err)
	}
	defer users.Close()
	if err := users.Put(ctx, "ann", User{Age: 31}); err != nil {
		log.Fatal(err)
	}
	// It is on the disk.
	ann, ok := users.Get("ann")
	fmt.Println(ann.Age, ok)
	// Output: 31 true
}

func ExampleMap_Range() {
	dir := tempDir()
	defer os.RemoveAll(dir)
	users := exampleUsers(dir)
	defer users.Close()
	for name, u := range users.Range("a", "m") {
		fmt.Println(name, u.Age)
	}
	// Output:
	// ann 31
	// bob 25
}

func ExampleMap_Txn() {
	dir := tempDir()
	defer os.RemoveAll(dir)
	users := exampleUsers(dir)
	defer users.Close()
	errTaken := errors.New("the name is taken")
	rename := func(from, to string) error {
		return users.Txn(ctx, func(tx *durable.Tx[string, User]) error {
			if tx.Has(to) {
				return errTaken
			}
			u, _ := tx.Get(from)
			tx.Put(to, u)
			tx.Delete(from)
			return nil
		})
	}
	fmt.Println(rename("ann", "anna"))
	fmt.Println(rename("bob", "zoe"))
	for name := range users.All() {
		fmt.Println(name)
	}
	// Output:
	// <nil>
	// the name is taken
	// anna
	// bob
	// zoe
}

func ExampleMap_Delete() {
	dir := tempDir()
	defer os.RemoveAll(dir)
	users := exampleUsers(dir)
	defer users.Close()
	fmt.Println(users.Delete(ctx, "ann"))
	fmt.Println(users.Delete(ctx, "ann"))
	// Output:
	// true <nil>
	// false <nil>
}

func ExampleMap_View() {
	dir := tempDir()
	defer os.RemoveAll(dir)
	users := exampleUsers(dir)
	defer users.Close()
	before := users.View()
	if _, err := users.Delete(ctx, "ann"); err != nil {
		log.Fatal(err)
	}
	fmt.Println(before.Len(), users.Len())
	// Output: 3 2
}

func ExampleMap_Watch() {
	dir := tempDir()
	defer os.RemoveAll(dir)
	users := exampleUsers(dir)
	defer users.Close()
	now := users.View() // what there is; what becomes of it follows
	if _, err := users.Delete(ctx, "ann"); err != nil {
		log.Fatal(err)
	}
	if err := users.Put(ctx, "zoe", User{Age: 41}); err != nil {
		log.Fatal(err)
	}
	for c, err := range users.Watch(ctx, now.Index()+1, nil) {
		if err != nil {
			log.Fatal(err)
		}
		fmt.Println(c.Key, c.Deleted, c.Value.Age)
		if c.Key == "zoe" {
			break // else it goes on until ctx ends
		}
	}
	// Output:
	// ann true 0
	// zoe false 41
}

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

func ExampleNewIndex() {
	dir := tempDir()
	defer os.RemoveAll(dir)
	users := exampleUsers(dir)
	defer users.Close()
	byTeam := durable.NewIndex(users, func(_ string, u User) []string { return u.Teams })
	byAge := durable.NewIndex(users, func(_ string, u User) []int { return []int{u.Age} })
	for name := range byTeam.Get("blue") {
		fmt.Println("blue:", name)
	}
	for name, u := range byAge.Range(30, 50) {
		fmt.Println(u.Age, name)
	}
	// Output:
	// blue: ann
	// blue: bob
	// 31 ann
	// 40 zoe
}

func ExamplePrefix() {
	dir := tempDir()
	defer os.RemoveAll(dir)
	users := exampleUsers(dir)
	defer users.Close()
	for name := range durable.Prefix(users, "a") {
		fmt.Println(name)
	}
	// Output: ann
}

func ExampleMap_ExportJSONL() {
	dir := tempDir()
	defer os.RemoveAll(dir)
	users := exampleUsers(dir)
	defer users.Close()
	if err := users.ExportJSONL(os.Stdout); err != nil {
		log.Fatal(err)
	}
	// Output:
	// {"key":"ann","value":{"Age":31,"Teams":["blue"]}}
	// {"key":"bob","value":{"Age":25,"Teams":["blue","red"]}}
	// {"key":"zoe","value":{"Age":40}}
}

func ExampleMap_ImportJSONL() {
	dir := tempDir()
	defer os.RemoveAll(dir)
	users := exampleUsers(dir)
	defer users.Close()
	lines := `{"key":"eve","value":{"Age":22}}
{"key":"zoe","value":{"Age":41}}
`
	n, err := users.ImportJSONL(ctx, strings.NewReader(lines))
	fmt.Println(n, err, users.Len())
	// Output: 2 <nil> 4
}

func ExampleMapAt() {
	dir := tempDir()
	defer os.RemoveAll(dir)
	users := exampleUsers(dir) // in three updates
	defer users.Close()
	if _, err := users.Delete(ctx, "ann"); err != nil {
		log.Fatal(err)
	}
	before, err := durable.MapAt[string, User](ctx, dir, 3, nil)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(before.Has("ann"), users.Has("ann"))
	// Output: true false
}

func ExampleOpenValue() {
	type Config struct {
		Port  int
		Peers []string
	}
	dir := tempDir()
	defer os.RemoveAll(dir)
	cfg, err := durable.OpenValue(dir, Config{Port: 80}, nil)
	if err != nil {
		log.Fatal(err)
	}
	defer cfg.Close()
	err = cfg.Update(ctx, func(c *Config) error {
		c.Peers = append(c.Peers, "east")
		return nil
	})
	fmt.Println(cfg.Get(), err)
	// Output: {80 [east]} <nil>
}

func ExampleMap_PutTTL() {
	dir := tempDir()
	defer os.RemoveAll(dir)
	sessions, err := durable.OpenMap[string, string](dir, nil)
	if err != nil {
		log.Fatal(err)
	}
	defer sessions.Close()
	if err := sessions.PutTTL(ctx, "4711", "ann", time.Millisecond); err != nil {
		log.Fatal(err)
	}
	for c, err := range sessions.Watch(ctx, 2, nil) { // the update after that
		if err != nil {
			log.Fatal(err)
		}
		fmt.Println(c.Key, c.Deleted)
		if c.Deleted {
			break
		}
	}
	// Output: 4711 true
}

// Where a node of package cluster is opened, in place of a store in memory, the map is on
// several computers. Nothing else changes.
func ExampleOpenMapOn() {
	users, err := durable.OpenMapOn[string, User](nil, func(m store.Machine) (store.Keeper, error) {
		return store.OpenMemory(m, nil) // or cluster.Open("data/users", m, &cluster.Options{...})
	})
	if err != nil {
		log.Fatal(err)
	}
	defer users.Close()
	if err := users.Put(ctx, "ann", User{Age: 31}); err != nil {
		log.Fatal(err)
	}
	ann, ok := users.Get("ann")
	fmt.Println(ann.Age, ok)
	// Output: 31 true
}

func ExampleOpenValueOn() {
	type Config struct{ Port int }
	config, err := durable.OpenValueOn(Config{Port: 80}, nil, func(m store.Machine) (store.Keeper, error) {
		return store.OpenMemory(m, nil) // or cluster.Open("data/config", m, &cluster.Options{...})
	})
	if err != nil {
		log.Fatal(err)
	}
	defer config.Close()
	if err := config.Update(ctx, func(c *Config) error { c.Port = 8080; return nil }); err != nil {
		log.Fatal(err)
	}
	fmt.Println(config.Get().Port)
	// Output: 8080
}

func ExampleMap_Latest() {
	dir := tempDir()
	defer os.RemoveAll(dir)
	users := exampleUsers(dir) // or on a node of a cluster
	defer users.Close()
	v, err := users.Latest(ctx) // with all that was acknowledged, on whichever node
	if err != nil {
		log.Fatal(err) // on a cluster, there was no majority until ctx ended
	}
	for name, u := range v.Range("a", "c") {
		fmt.Println(name, u.Age)
	}
	// Output:
	// ann 31
	// bob 25
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

// The machine of a value is tested likewise, here with a value that was 1 at first, and is 3 in the end.
func ExampleNewValueMachine() {
	dir := tempDir()
	defer os.RemoveAll(dir)
	v, err := durable.OpenValue(dir, 1, nil)
	if err != nil {
		log.Fatal(err)
	}
	for range 2 {
		if err := v.Update(ctx, func(n *int) error { *n++; return nil }); err != nil {
			log.Fatal(err)
		}
	}
	if err := v.Close(); err != nil {
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
	statetest.Run(t, func() store.Machine { return durable.NewValueMachine(1, nil) }, updates, &statetest.Options{CrashStates: 1})
	fmt.Println("value:", v.Get(), "failed:", t.failed)
	// Output: value: 3 failed: false
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
