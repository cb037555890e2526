package cluster_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/stateio/stateio/cluster"
	"github.com/stateio/stateio/cluster/testca"
	"github.com/stateio/stateio/durable"
	"github.com/stateio/stateio/store"
)

// A counter is a machine that adds.
type counter struct{ n int }

func (c *counter) Apply(update []byte) (any, error) {
	var by int
	if _, err := fmt.Sscan(string(update), &by); err != nil {
		return nil, err
	}
	c.n += by
	return c.n, nil
}

func (c *counter) Snapshot() (io.WriterTo, error) { return strings.NewReader(fmt.Sprintln(c.n)), nil }

func (c *counter) Restore(r io.Reader) error {
	_, err := fmt.Fscanln(r, &c.n)
	return err
}

// alone begins a cluster of one node, for the examples.
func alone(c store.Machine) (n *cluster.Node, end func()) {
	dir, err := os.MkdirTemp("", "example-")
	if err != nil {
		log.Fatal(err)
	}
	n, err = cluster.Open(filepath.Join(dir, "a"), c, &cluster.Options{
		ID: "a", Listen: "127.0.0.1:0", Heartbeat: 100 * time.Millisecond, Logger: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		log.Fatal(err)
	}
	return n, func() {
		if err := errors.Join(n.Close(), os.RemoveAll(dir)); err != nil {
			log.Fatal(err)
		}
	}
}

func ExampleOpen() {
	dir, err := os.MkdirTemp("", "example-")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(dir)
	ctx := context.Background()
	quiet := slog.New(slog.DiscardHandler)

	// Here all three nodes are in one program. Each belongs on a computer of its own.
	first := &counter{}
	a, err := cluster.Open(filepath.Join(dir, "a"), first, &cluster.Options{ID: "a", Listen: "127.0.0.1:31001", Logger: quiet})
	if err != nil {
		log.Fatal(err)
	}
	defer a.Close()
	for i, id := range []string{"b", "c"} {
		n, err := cluster.Open(filepath.Join(dir, id), &counter{}, &cluster.Options{
			ID: id, Listen: fmt.Sprintf("127.0.0.1:3100%d", i+2), Join: []string{"127.0.0.1:31001"}, Logger: quiet,
		})
		if err != nil {
			log.Fatal(err)
		}
		defer n.Close()
		sum, err := n.Update(ctx, []byte("20"))
		if err != nil {
			log.Fatal(err)
		}
		fmt.Println("node", id, "makes it", sum)
	}
	if err := a.View(ctx, func() error {
		fmt.Println("node a sees", first.n)
		return nil
	}); err != nil {
		log.Fatal(err)
	}
	// Output:
	// node b makes it 20
	// node c makes it 40
	// node a sees 40
}

func ExampleNode_Update() {
	n, end := alone(&counter{})
	defer end()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	sum, err := n.Update(ctx, []byte("3"))
	fmt.Println(sum, err)
	_, err = n.Update(ctx, []byte("three")) // Apply refuses it
	fmt.Println(err, n.Index())
	// Output:
	// 3 <nil>
	// expected integer 1
}

func ExampleNode_UpdateOnce() {
	c := &counter{}
	n, end := alone(c)
	defer end()
	ctx := context.Background()
	for range 3 { // a client that does not know whether its request was heard
		_, err := n.UpdateOnce(ctx, "request 4711", []byte("5"))
		fmt.Println(errors.Is(err, cluster.ErrDuplicate))
	}
	if err := n.View(ctx, func() error { fmt.Println(c.n); return nil }); err != nil {
		log.Fatal(err)
	}
	// Output:
	// false
	// true
	// true
	// 5
}

func ExampleNode_Submit() {
	n, end := alone(&counter{})
	defer end()
	ticket, err := n.Submit([]byte("7"))
	if err != nil {
		log.Fatal(err)
	}
	// Do something else.
	if err := ticket.Wait(context.Background()); err != nil {
		log.Fatal(err)
	}
	fmt.Println(ticket.Index(), ticket.Result())
	// Output: 1 7
}

func ExampleNode_View() {
	c := &counter{}
	n, end := alone(c)
	defer end()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	var sum int
	if err := n.View(ctx, func() error { sum = c.n; return nil }); err != nil {
		log.Fatal(err) // cluster.ErrNoQuorum: no majority within a minute
	}
	fmt.Println(sum)
	// Output: 0
}

func ExampleNode_Status() {
	n, end := alone(&counter{})
	defer end()
	if err := n.Sync(context.Background()); err != nil {
		log.Fatal(err)
	}
	s := n.Status()
	for _, m := range s.Members {
		fmt.Println(m.ID, m.Up, m.Leader)
	}
	// Output: a true true
}

// A program that holds a Keeper runs on a store and on a cluster.
func ExampleKeeper() {
	count := func(k cluster.Keeper, c *counter) {
		ctx := context.Background()
		if _, err := k.Update(ctx, []byte("2")); err != nil {
			log.Fatal(err)
		}
		if err := cluster.View(ctx, k, func() error { fmt.Println(c.n); return nil }); err != nil {
			log.Fatal(err)
		}
	}
	dir, err := os.MkdirTemp("", "example-")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(dir)
	c := &counter{}
	s, err := store.Open(dir, c, &store.Options{Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		log.Fatal(err)
	}
	defer s.Close()
	count(s, c)

	c = &counter{}
	n, end := alone(c)
	defer end()
	count(n, c)
	// Output:
	// 2
	// 2
}

// A typedCounter is a machine whose updates are numbers.
type typedCounter struct{ counter }

func (c *typedCounter) Apply(by int) (int, error) {
	c.n += by
	return c.n, nil
}

func ExampleNewTyped() {
	n, end := alone(store.Untyped[int, int](&typedCounter{}, nil))
	defer end()
	typed := cluster.NewTyped[int, int](n, nil)
	sum, err := typed.Update(context.Background(), 42)
	fmt.Println(sum, err)
	// Output: 42 <nil>
}

func ExampleLoadTLS() {
	dir, err := os.MkdirTemp("", "example-")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(dir)
	ca, err := testca.New(dir) // in production, the authority is elsewhere
	if err != nil {
		log.Fatal(err)
	}
	files, err := ca.Issue("a", "127.0.0.1")
	if err != nil {
		log.Fatal(err)
	}
	tls, err := cluster.LoadTLS(files.Cert, files.Key, files.CA)
	if err != nil {
		log.Fatal(err)
	}
	n, err := cluster.Open(filepath.Join(dir, "node"), &counter{}, &cluster.Options{
		ID: "a", Listen: "127.0.0.1:0", TLS: tls, Logger: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(n.Close())
	// Output: <nil>
}

// adder is a machine for updates of type int.
type adder struct{ store.JSONState[int] }

func (a *adder) Apply(by int) (int, error) {
	a.State += by
	return a.State, nil
}

func ExampleOpenTyped() {
	dir, err := os.MkdirTemp("", "example-")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(dir)
	typed, node, err := cluster.OpenTyped[int, int](filepath.Join(dir, "a"), &adder{}, nil, &cluster.Options{
		ID: "a", Listen: "127.0.0.1:0", Heartbeat: 100 * time.Millisecond, Logger: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		log.Fatal(err)
	}
	defer node.Close()
	sum, err := typed.Update(context.Background(), 5)
	fmt.Println(sum, err)
	// Output: 5 <nil>
}

func ExampleNode_Updates() {
	n, end := alone(&counter{})
	defer end()
	ctx := context.Background()
	for _, by := range []string{"1", "refused", "3"} {
		if _, err := n.Update(ctx, []byte(by)); err != nil {
			fmt.Println(err)
		}
	}
	for u, err := range n.Updates(ctx, 1) {
		if err != nil {
			log.Fatal(err)
		}
		fmt.Printf("%d: %s\n", u.Index, u.Data)
		if u.Index == 2 {
			break // or it waits for the next one
		}
	}
	// Output:
	// expected integer
	// 1: 1
	// 2: 3
}

func ExampleNode_Follow() {
	n, end := alone(&counter{})
	defer end()
	ctx := context.Background()
	if _, err := n.Update(ctx, []byte("5")); err != nil {
		log.Fatal(err)
	}
	second := &counter{}
	f, err := n.Follow(ctx, second)
	if err != nil {
		log.Fatal(err)
	}
	defer f.Close()
	// Updates go on while this reads.
	err = f.View(func() error { fmt.Println(second.n); return nil })
	fmt.Println(err)
	// Output:
	// 5
	// <nil>
}

func ExampleSubmit() {
	n, end := alone(&counter{})
	defer end()
	var keeper cluster.Keeper = n // or a *store.Store
	ticket, err := cluster.Submit(keeper, []byte("5"))
	if err != nil {
		log.Fatal(err)
	}
	if err := ticket.Wait(context.Background()); err != nil {
		log.Fatal(err)
	}
	fmt.Println(ticket.Index(), ticket.Result())
	// Output: 1 5
}

func ExampleTyped_Submit() {
	m := &adder{}
	n, end := alone(store.Untyped[int, int](m, nil))
	defer end()
	ticket, err := cluster.NewTyped[int, int](n, nil).Submit(5)
	if err != nil {
		log.Fatal(err)
	}
	if err := ticket.Wait(context.Background()); err != nil {
		log.Fatal(err)
	}
	sum := ticket.Result() // an int
	fmt.Println(sum)
	// Output: 5
}

func ExampleRejoin() {
	dir, err := os.MkdirTemp("", "example-")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(dir)
	first, err := cluster.Open(filepath.Join(dir, "a"), &counter{}, &cluster.Options{
		ID: "a", Listen: "127.0.0.1:31011", Heartbeat: 100 * time.Millisecond, Logger: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		log.Fatal(err)
	}
	defer first.Close()

	// The disk of node b was replaced. Its options are as ever.
	opts := &cluster.Options{
		ID: "b", Listen: "127.0.0.1:31012", Heartbeat: 100 * time.Millisecond, Logger: slog.New(slog.DiscardHandler),
		Members: []cluster.Member{{ID: "a", Addr: "127.0.0.1:31011"}, {ID: "b", Addr: "127.0.0.1:31012"}},
	}
	ctx := context.Background()
	if _, err := cluster.Rejoin(ctx, filepath.Join(dir, "b"), opts); err != nil {
		log.Fatal(err)
	}
	n, err := cluster.Open(filepath.Join(dir, "b"), &counter{}, opts)
	if err != nil {
		log.Fatal(err)
	}
	defer n.Close()
	_, err = n.Update(ctx, []byte("5"))
	fmt.Println(err, first.WaitIndex(ctx, 1))
	// Output: <nil> <nil>
}

func ExampleRecover() {
	dir, err := os.MkdirTemp("", "example-")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(dir)
	opts := &cluster.Options{ID: "a", Listen: "127.0.0.1:0", Logger: slog.New(slog.DiscardHandler)}
	ctx := context.Background()
	n, err := cluster.Open(filepath.Join(dir, "a"), &counter{}, opts)
	if err != nil {
		log.Fatal(err)
	}
	if _, err := n.Update(ctx, []byte("5")); err != nil {
		log.Fatal(err)
	}
	if err := n.Close(); err != nil {
		log.Fatal(err)
	}

	// All other members are lost for good. What this one has begins a new cluster.
	var backup bytes.Buffer
	found, err := cluster.Recover(ctx, filepath.Join(dir, "a"), &counter{}, &backup, opts)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println("updates:", found.Index)
	err = cluster.Import(ctx, filepath.Join(dir, "new"), bytes.NewReader(backup.Bytes()), int64(backup.Len()), opts)
	fmt.Println(err)
	// Output:
	// updates: 1
	// <nil>
}

func ExampleNode_WaitIndex() {
	m := &counter{}
	n, end := alone(m)
	defer end()
	ctx := context.Background()
	ticket, err := n.Submit([]byte("5"))
	if err == nil {
		err = ticket.Wait(ctx)
	}
	if err != nil {
		log.Fatal(err)
	}
	// The index may come from another node, with a request of the same user.
	if err := n.WaitIndex(ctx, ticket.Index()); err != nil {
		log.Fatal(err)
	}
	_ = n.ViewLocal(func() error { fmt.Println(m.n); return nil })
	// Output: 5
}

func ExampleTyped_Updates() {
	n, end := alone(store.Untyped[int, int](&adder{}, nil))
	defer end()
	ctx := context.Background()
	typed := cluster.NewTyped[int, int](n, nil)
	if _, err := typed.Update(ctx, 5); err != nil {
		log.Fatal(err)
	}
	for u, err := range typed.Updates(ctx, 1) {
		fmt.Println(u.Index, u.Value, err)
		break // or it waits for the next one
	}
	// Output: 1 5 <nil>
}

// A map of package durable on a node: only the line that opens it differs.
func ExampleOpen_map() {
	dir, err := os.MkdirTemp("", "example-")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(dir)
	ages, err := durable.OpenMapOn[string, int](nil, func(m store.Machine) (store.Keeper, error) {
		return cluster.Open(filepath.Join(dir, "a"), m, &cluster.Options{
			ID: "a", Listen: "127.0.0.1:0", Heartbeat: 100 * time.Millisecond, Logger: slog.New(slog.DiscardHandler),
		})
	})
	if err != nil {
		log.Fatal(err)
	}
	defer ages.Close()
	ctx := context.Background()
	if err := ages.Put(ctx, "ann", 31); err != nil { // on the disks of a majority
		log.Fatal(err)
	}
	err = ages.Txn(ctx, func(tx *durable.Tx[string, int]) error { // on any node, serializable
		age, _ := tx.Get("ann")
		tx.Put("ann", age+1)
		return nil
	})
	if err != nil {
		log.Fatal(err)
	}
	v, err := ages.Latest(ctx) // with what was made on any node
	if err != nil {
		log.Fatal(err)
	}
	ann, _ := v.Get("ann")
	leader := ages.Keeper().(*cluster.Node).Status().Leader
	fmt.Println(ann, leader)
	// Output: 32 a
}

// pair begins a cluster of two nodes, for the examples.
func pair() (a, b *cluster.Node, end func()) {
	dir, err := os.MkdirTemp("", "example-")
	if err != nil {
		log.Fatal(err)
	}
	open := func(id, addr string, join ...string) *cluster.Node {
		n, err := cluster.Open(filepath.Join(dir, id), &counter{}, &cluster.Options{
			ID: id, Listen: addr, Join: join, Logger: slog.New(slog.DiscardHandler),
		})
		if err != nil {
			log.Fatal(err)
		}
		return n
	}
	a = open("a", "127.0.0.1:31021")
	b = open("b", "127.0.0.1:31022", "127.0.0.1:31021")
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	if err := a.Add(ctx, "b", "127.0.0.1:31022"); err != nil { // waits until it has a vote
		log.Fatal(err)
	}
	return a, b, func() {
		if err := errors.Join(b.Close(), a.Close(), os.RemoveAll(dir)); err != nil {
			log.Fatal(err)
		}
	}
}

func ExampleNode_Remove() {
	a, b, end := pair()
	defer end()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	if err := a.Remove(ctx, "b"); err != nil { // whether b is up or not
		log.Fatal(err)
	}
	if err := b.Close(); err != nil { // it can't do any more
		log.Fatal(err)
	}
	sum, err := a.Update(ctx, []byte("1"))
	fmt.Println(sum, err, len(a.Status().Members))
	// Output: 1 <nil> 1
}

func ExampleNode_Transfer() {
	a, b, end := pair()
	defer end()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	if err := a.Transfer(ctx); err != nil { // to b: there is no other
		log.Fatal(err)
	}
	if err := b.Sync(ctx); err != nil {
		log.Fatal(err)
	}
	fmt.Println(b.Status().Leader)
	// Output: b
}

func ExampleNode_Add() {
	a, b, end := pair()
	defer end()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	// The node joins by itself. A program adds it where it can't reach the others first, or when
	// its address has changed. It has a vote then; what is so already is no error.
	if err := a.Add(ctx, "b", "127.0.0.1:31022"); err != nil {
		log.Fatal(err)
	}
	if err := b.Sync(ctx); err != nil {
		log.Fatal(err)
	}
	fmt.Println(len(b.Status().Members))
	// Output: 2
}

// The state of a program that had a store goes on in a cluster, and back.
func ExampleImport() {
	dir, err := os.MkdirTemp("", "example-")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(dir)
	ctx := context.Background()
	s, err := store.Open(filepath.Join(dir, "store"), &counter{}, &store.Options{Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		log.Fatal(err)
	}
	if _, err := s.Update(ctx, []byte("40")); err != nil {
		log.Fatal(err)
	}
	var backup bytes.Buffer // or a file
	if _, err := s.Backup(ctx, &backup); err != nil {
		log.Fatal(err)
	}
	if err := s.Close(); err != nil {
		log.Fatal(err)
	}

	opts := &cluster.Options{ID: "a", Listen: "127.0.0.1:0", Heartbeat: 100 * time.Millisecond, Logger: slog.New(slog.DiscardHandler)}
	node := filepath.Join(dir, "node")
	if err := cluster.Import(ctx, node, bytes.NewReader(backup.Bytes()), int64(backup.Len()), opts); err != nil {
		log.Fatal(err)
	}
	n, err := cluster.Open(node, &counter{}, opts)
	if err != nil {
		log.Fatal(err)
	}
	defer n.Close()
	sum, err := n.Update(ctx, []byte("2"))
	fmt.Println(sum, n.Index(), err)
	// Output: 42 2 <nil>
}

func ExampleNode_Backup() {
	n, end := alone(&counter{})
	defer end()
	ctx := context.Background()
	if _, err := n.Update(ctx, []byte("5")); err != nil {
		log.Fatal(err)
	}
	if err := n.Sync(ctx); err != nil { // the backup has all that was acknowledged, on whichever node
		log.Fatal(err)
	}
	var backup bytes.Buffer
	index, err := n.Backup(ctx, &backup)
	if err != nil {
		log.Fatal(err)
	}
	info, err := store.VerifyBackup(ctx, bytes.NewReader(backup.Bytes()), int64(backup.Len()))
	fmt.Println(index, info.Index, err)
	// Output: 1 1 <nil>
}

// On a node, View sees what was acknowledged on any node; on a store, what it has.
func ExampleView() {
	c := &counter{}
	n, end := alone(c)
	defer end()
	var keeper cluster.Keeper = n // or a *store.Store
	ctx := context.Background()
	if _, err := keeper.Update(ctx, []byte("5")); err != nil {
		log.Fatal(err)
	}
	err := cluster.View(ctx, keeper, func() error { fmt.Println(c.n); return nil })
	fmt.Println(err)
	// Output:
	// 5
	// <nil>
}
