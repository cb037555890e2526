package store_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log"
	"maps"
	"os"
	"strings"
	"time"

	"github.com/stateio/stateio"
	"github.com/stateio/stateio/store"
)

// counters is a set of named counters: a state machine as small as can be.
type counters struct{ n map[string]int }

// Apply adds one to the counter that update names.
func (c *counters) Apply(update []byte) (any, error) {
	name := string(update)
	if name == "" {
		return nil, fmt.Errorf("a counter needs a name")
	}
	c.n[name]++
	return c.n[name], nil
}

func (c *counters) Snapshot() (io.WriterTo, error) { return values(maps.Clone(c.n)), nil }

func (c *counters) Restore(r io.Reader) error {
	c.n = nil
	return json.NewDecoder(r).Decode(&c.n)
}

// values are the counters at some moment.
type values map[string]int

func (v values) WriteTo(w io.Writer) (int64, error) {
	return store.WriterFunc(func(w io.Writer) error { return json.NewEncoder(w).Encode(v) }).WriteTo(w)
}

// temp returns a directory for an example.
func temp() (dir string, remove func()) {
	dir, err := os.MkdirTemp("", "store")
	if err != nil {
		log.Fatal(err)
	}
	return dir, func() { os.RemoveAll(dir) }
}

func example(dir string) (*store.Store, *counters) {
	c := &counters{n: map[string]int{}}
	s, err := store.Open(dir, c, nil)
	if err != nil {
		log.Fatal(err)
	}
	return s, c
}

func ExampleOpen() {
	dir, remove := temp()
	defer remove()
	for range 2 { // the program, started twice
		c := &counters{n: map[string]int{}}
		s, err := store.Open(dir, c, nil)
		if err != nil {
			log.Fatal(err)
		}
		n, err := s.Update(context.Background(), []byte("starts")) // nil: it is on the disk
		if err != nil {
			log.Fatal(err)
		}
		fmt.Println("start", n)
		if err := s.Close(); err != nil {
			log.Fatal(err)
		}
	}
	// Output:
	// start 1
	// start 2
}

func ExampleStore_Update() {
	dir, remove := temp()
	defer remove()
	s, _ := example(dir)
	defer s.Close()
	n, err := s.Update(context.Background(), []byte("a"))
	fmt.Println(n, err)
	_, err = s.Update(context.Background(), nil)
	fmt.Println(err)
	// Output:
	// 1 <nil>
	// a counter needs a name
}

func ExampleStore_Submit() {
	dir, remove := temp()
	defer remove()
	s, _ := example(dir)
	defer s.Close()
	var tickets []*store.Ticket
	for range 3 { // one commit for all, most likely
		t, err := s.Submit([]byte("a"))
		if err != nil {
			log.Fatal(err)
		}
		tickets = append(tickets, t)
	}
	for _, t := range tickets {
		fmt.Println(t.Index(), t.Result(), t.Wait(context.Background()))
	}
	// Output:
	// 1 1 <nil>
	// 2 2 <nil>
	// 3 3 <nil>
}

func ExampleStore_View() {
	dir, remove := temp()
	defer remove()
	s, c := example(dir)
	defer s.Close()
	if _, err := s.Update(context.Background(), []byte("a")); err != nil {
		log.Fatal(err)
	}
	err := s.View(func() error {
		fmt.Println(c.n["a"])
		return nil
	})
	fmt.Println(err)
	// Output:
	// 1
	// <nil>
}

func ExampleStore_Updates() {
	dir, remove := temp()
	defer remove()
	s, _ := example(dir)
	defer s.Close()
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	go func() {
		for _, name := range []string{"a", "b", "c"} {
			if _, err := s.Update(context.Background(), []byte(name)); err != nil {
				log.Print(err)
			}
		}
	}()
	for u, err := range s.Updates(ctx, 1) {
		if err != nil {
			log.Fatal(err)
		}
		fmt.Println(u.Index, string(u.Data))
		if u.Index == 3 {
			cancel()
		}
	}
	// Output:
	// 1 a
	// 2 b
	// 3 c
}

func ExampleStore_Snapshot() {
	dir, remove := temp()
	defer remove()
	s, _ := example(dir)
	if _, err := s.Update(context.Background(), []byte("a")); err != nil {
		log.Fatal(err)
	}
	fmt.Println(s.Snapshot(context.Background()))
	if err := s.Close(); err != nil {
		log.Fatal(err)
	}
	s, c := example(dir)
	defer s.Close()
	fmt.Println(c.n["a"], s.Recovery().SnapshotIndex, s.Recovery().Updates)
	// Output:
	// <nil>
	// 1 1 0
}

func ExampleStore_Backup() {
	dir, remove := temp()
	defer remove()
	s, _ := example(dir)
	defer s.Close()
	if _, err := s.Update(context.Background(), []byte("a")); err != nil {
		log.Fatal(err)
	}
	var backup bytes.Buffer
	index, err := s.Backup(context.Background(), &backup)
	fmt.Println(index, err)

	other, removeOther := temp()
	defer removeOther()
	if err := store.Import(other, bytes.NewReader(backup.Bytes()), int64(backup.Len())); err != nil {
		log.Fatal(err)
	}
	s2, c := example(other)
	defer s2.Close()
	fmt.Println(c.n)
	// Output:
	// 1 <nil>
	// map[a:1]
}

func ExampleImport() {
	dir, remove := temp()
	defer remove()
	var file bytes.Buffer // as a program for the original package has written it
	w := stateio.NewWriter(&file, 0, 0)
	for _, name := range []string{"a", "b", "a"} {
		if err := w.Update([]byte(name)); err != nil {
			log.Fatal(err)
		}
	}
	if err := store.Import(dir, bytes.NewReader(file.Bytes()), int64(file.Len())); err != nil {
		log.Fatal(err)
	}
	s, c := example(dir)
	defer s.Close()
	fmt.Println(s.Index(), c.n)
	// Output: 3 map[a:2 b:1]
}

// A program that has kept its state in a JSON file moves into a store.
func ExampleCreate() {
	dir, remove := temp()
	defer remove()
	old := values{"a": 41} // as read from the file
	if err := store.Create(dir, old, nil); err != nil {
		log.Fatal(err)
	}
	s, c := example(dir)
	defer s.Close()
	if _, err := s.Update(context.Background(), []byte("a")); err != nil {
		log.Fatal(err)
	}
	fmt.Println(c.n)
	// Output: map[a:42]
}

func ExampleVerifyBackup() {
	dir, remove := temp()
	defer remove()
	s, _ := example(dir)
	defer s.Close()
	var backup bytes.Buffer
	if _, err := s.Backup(context.Background(), &backup); err != nil {
		log.Fatal(err)
	}
	whole := backup.Bytes()
	_, err := store.VerifyBackup(context.Background(), bytes.NewReader(whole), int64(len(whole)))
	fmt.Println(err)
	_, err = store.VerifyBackup(context.Background(), bytes.NewReader(whole[:len(whole)-1]), int64(len(whole)-1))
	fmt.Println(errors.Is(err, store.ErrCorrupt))
	// Output:
	// <nil>
	// true
}

func ExampleIsBackup() {
	text := strings.NewReader("some other file")
	fmt.Println(store.IsBackup(text, text.Size()))
	// Output: false <nil>
}

func ExampleLastIntact() {
	dir, remove := temp()
	defer remove()
	s, _ := example(dir)
	if _, err := s.Update(context.Background(), []byte("a")); err != nil {
		log.Fatal(err)
	}
	if err := s.Close(); err != nil {
		log.Fatal(err)
	}
	reports, err := store.Check(context.Background(), dir, nil)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(store.LastIntact(reports)) // what RestoreAt can go back to
	// Output: 1 true
}

func ExampleRestoreBackup() {
	dir, remove := temp()
	defer remove()
	s, _ := example(dir)
	defer s.Close()
	if _, err := s.Update(context.Background(), []byte("a")); err != nil {
		log.Fatal(err)
	}
	var backup bytes.Buffer
	if _, err := s.Backup(context.Background(), &backup); err != nil {
		log.Fatal(err)
	}
	info, err := store.RestoreBackup(context.Background(), os.Stdout, bytes.NewReader(backup.Bytes()), int64(backup.Len()))
	fmt.Println(info.Index, err)
	// Output:
	// {"a":1}
	// 1 <nil>
}

func ExampleOpenContext() {
	dir, remove := temp()
	defer remove()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	s, err := store.OpenContext(ctx, dir, &counters{n: map[string]int{}}, nil)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(s.Close())
	// Output: <nil>
}

func ExampleRestoreAt() {
	dir, remove := temp()
	defer remove()
	s, _ := example(dir)
	for range 5 {
		if _, err := s.Update(context.Background(), []byte("a")); err != nil {
			log.Fatal(err)
		}
	}
	if err := s.Close(); err != nil {
		log.Fatal(err)
	}
	c := &counters{n: map[string]int{}}
	err := store.RestoreAt(context.Background(), dir, c, 3, nil)
	fmt.Println(c.n, err)
	// Output: map[a:3] <nil>
}

func ExampleReadUpdates() {
	dir, remove := temp()
	defer remove()
	s, _ := example(dir)
	for _, name := range []string{"a", "b"} {
		if _, err := s.Update(context.Background(), []byte(name)); err != nil {
			log.Fatal(err)
		}
	}
	if err := s.Close(); err != nil {
		log.Fatal(err)
	}
	for u, err := range store.ReadUpdates(context.Background(), dir, 1) {
		fmt.Println(u.Index, string(u.Data), err)
	}
	// Output:
	// 1 a <nil>
	// 2 b <nil>
}

func ExampleCheck() {
	dir, remove := temp()
	defer remove()
	s, _ := example(dir)
	if _, err := s.Update(context.Background(), []byte("a")); err != nil {
		log.Fatal(err)
	}
	if err := s.Close(); err != nil {
		log.Fatal(err)
	}
	files, err := store.Check(context.Background(), dir, nil)
	if err != nil {
		log.Fatal(err)
	}
	for _, f := range files {
		fmt.Println(f.Index, f.Updates, f.Sealed, len(f.Damage))
	}
	// Output:
	// 0 1 true 0
	// 1 0 false 0
}

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
	s, err := store.OpenMemory(c, nil) // or store.Open, or cluster.Open
	if err != nil {
		log.Fatal(err)
	}
	defer s.Close()
	count(s, c)
	// Output: 1
}

// An error says whether the update was applied.
func ExampleUnknownError() {
	dir, remove := temp()
	defer remove()
	s, _ := example(dir)
	defer s.Close()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
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
	s, err := store.Open(dir, &counters{n: map[string]int{}}, &store.Options{SyncInterval: time.Minute})
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

// A service that has a minute to end.
func ExampleStore_CloseContext() {
	dir, remove := temp()
	defer remove()
	s, _ := example(dir)
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	fmt.Println(s.CloseContext(ctx))
	// Output: <nil>
}

// account is a typed machine: the sum of all deposits.
type account struct{ sum int }

func (a *account) Apply(d struct{ Amount int }) (int, error) { a.sum += d.Amount; return a.sum, nil }

func (a *account) Snapshot() (io.WriterTo, error) {
	return bytes.NewBufferString(fmt.Sprint(a.sum)), nil
}

func (a *account) Restore(r io.Reader) error { _, err := fmt.Fscan(r, &a.sum); return err }

func ExampleOpenTyped() {
	dir, remove := temp()
	defer remove()
	s, err := store.OpenTyped(dir, &account{}, nil, nil) // updates are written as JSON
	if err != nil {
		log.Fatal(err)
	}
	defer s.Close()
	sum, err := s.Update(context.Background(), struct{ Amount int }{5})
	fmt.Println(sum+1, err)
	// Output: 6 <nil>
}
