package store_test

import (
	"context"
	"errors"
	"fmt"
	"log"
	"log/slog"
	"os"
	"path/filepath"
	"time"

	"github.com/stateio/stateio/store"
)

// Votes are how often each name came in an update.
type votes struct {
	store.JSONState[map[string]int]
}

func newVotes(names ...string) *votes {
	v := &votes{store.JSONState[map[string]int]{State: map[string]int{}}}
	for _, name := range names {
		v.State[name]++
	}
	return v
}

func (v *votes) Apply(name []byte) (any, error) {
	v.State[string(name)]++
	return v.State[string(name)], nil
}

// counted makes a store in which some names were counted, and returns its directory.
func counted(names ...string) (dir string, remove func()) {
	tmp, err := os.MkdirTemp("", "example")
	if err != nil {
		log.Fatal(err)
	}
	dir = filepath.Join(tmp, "votes")
	s, err := store.Open(dir, newVotes(), nil)
	if err != nil {
		log.Fatal(err)
	}
	for _, name := range names {
		if _, err := s.Update(context.Background(), []byte(name)); err != nil {
			log.Fatal(err)
		}
	}
	if err := s.Close(); err != nil {
		log.Fatal(err)
	}
	return dir, func() { os.RemoveAll(tmp) }
}

func ExampleLoad() {
	dir, remove := counted("a", "b", "a")
	defer remove()
	c := newVotes()
	index, err := store.Load(context.Background(), dir, c)
	fmt.Println(index, c.State, err)
	// Output: 3 map[a:2 b:1] <nil>
}

func ExampleFollow() {
	dir, remove := counted("a")
	defer remove()
	c := newVotes()
	f, err := store.Follow(context.Background(), dir, c, nil)
	if err != nil {
		log.Fatal(err)
	}
	defer f.Close()

	// Some other process, or this one, writes to the store.
	s, err := store.Open(dir, newVotes(), nil)
	if err != nil {
		log.Fatal(err)
	}
	defer s.Close()
	if _, err := s.Update(context.Background(), []byte("a")); err != nil {
		log.Fatal(err)
	}

	if err := f.WaitIndex(context.Background(), s.Index()); err != nil {
		log.Fatal(err)
	}
	_ = f.View(func() error {
		fmt.Println(c.State)
		return nil
	})
	// Output: map[a:2]
}

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
	s, err := store.Open(dir, newVotes(), nil)
	if err != nil {
		log.Fatal(err)
	}
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

func ExampleBisect() {
	dir, remove := counted("a", "b", "a", "a", "b")
	defer remove()
	machine := func() store.Machine { return newVotes() }
	u, err := store.Bisect(context.Background(), dir, machine, func(m store.Machine) bool {
		return m.(*votes).State["a"] > 2 // which must not be
	})
	fmt.Printf("update %d, %q, %v\n", u.Index, u.Data, err)
	// Output: update 4, "a", <nil>
}

func ExampleFiles() {
	dir, remove := counted("a", "b", "a")
	defer remove()
	files, err := store.Files(dir)
	if err != nil {
		log.Fatal(err)
	}
	for _, f := range files {
		if f.Last == 0 {
			fmt.Printf("%s: updates from %d on\n", filepath.Base(f.Path), f.First)
			continue
		}
		fmt.Printf("%s: updates %d to %d\n", filepath.Base(f.Path), f.First, f.Last)
	}
	// Output:
	// 00000000000000000000.log: updates 1 to 3
	// 00000000000000000003.log: updates from 4 on
}

func ExampleIndexAt() {
	dir, remove := counted("a", "b", "a")
	defer remove()
	index, err := store.IndexAt(context.Background(), dir, time.Now())
	if err != nil {
		log.Fatal(err)
	}
	before, err := store.IndexAt(context.Background(), dir, time.Now().Add(-time.Hour))
	fmt.Println(index, before, err)
	// Output: 3 0 <nil>
}

func ExampleOpenMemory() {
	s, err := store.OpenMemory(newVotes(), nil)
	if err != nil {
		log.Fatal(err)
	}
	defer s.Close()
	n, err := s.Update(context.Background(), []byte("a"))
	fmt.Println(n, err)
	// Output: 1 <nil>
}

// A program that changes its state by itself, and has that logged.
func ExampleStore_Change() {
	v := newVotes("ann")
	s, err := store.OpenMemory(v, nil)
	if err != nil {
		log.Fatal(err)
	}
	defer s.Close()
	index, err := s.Change(context.Background(), func(tx *store.Tx) error {
		for _, name := range []string{"bob", "bob"} { // both, or none after a crash
			if err := tx.Append([]byte(name)); err != nil {
				return err // nothing was changed yet
			}
		}
		v.State["bob"] += 2
		return nil
	})
	fmt.Println(index, v.State, err)
	// Output: 2 map[ann:1 bob:2] <nil>
}

// A state that comes from elsewhere takes the place of the one that is there.
func ExampleStore_Replace() {
	c := newVotes("ann")
	s, err := store.OpenMemory(c, nil)
	if err != nil {
		log.Fatal(err)
	}
	defer s.Close()
	other := newVotes("bob", "bob")
	state, err := other.Snapshot()
	if err != nil {
		log.Fatal(err)
	}
	index, err := s.Replace(context.Background(), state) // on the disk
	fmt.Println(index, c.State, err)
	// Output: 1 map[bob:2] <nil>
}

// StateDigest implements store.Digester.
func (v *votes) StateDigest() (sum uint64) {
	for _, n := range v.State {
		sum += uint64(n)
	}
	return sum
}

// A second machine makes the snapshots, and finds a change that no update has made.
func ExampleOptions_shadow() {
	c := newVotes()
	s, err := store.OpenMemory(c, &store.Options{
		Logger: slog.New(slog.DiscardHandler), // the store warns of what follows
		Shadow: func() store.Machine { return newVotes() },
	})
	if err != nil {
		log.Fatal(err)
	}
	defer s.Close()
	if _, err := s.Update(context.Background(), []byte("a")); err != nil {
		log.Fatal(err)
	}
	fmt.Println(s.Snapshot(context.Background()))
	c.State["b"]++ // and not by an update
	if _, err := s.Update(context.Background(), []byte("a")); err != nil {
		log.Fatal(err)
	}
	fmt.Println(errors.Is(s.Snapshot(context.Background()), store.ErrDiverged))
	// Output:
	// <nil>
	// true
}

// What is read here can't be taken back by a crash.
func ExampleStore_ViewDurable() {
	c := newVotes()
	s, err := store.OpenMemory(c, nil)
	if err != nil {
		log.Fatal(err)
	}
	defer s.Close()
	ticket, err := s.Submit([]byte("a"))
	if err != nil {
		log.Fatal(err)
	}
	err = s.ViewDurable(context.Background(), func() error {
		fmt.Println(c.State["a"])
		return nil
	})
	fmt.Println(err, s.WaitIndex(context.Background(), ticket.Index()))
	// Output:
	// 1
	// <nil> <nil>
}

// A crate is filled by a program of its own, which has typed changes logged.
func ExampleTyped_Change() {
	dir, remove := counted()
	defer remove()
	goods := &crate{}
	s, err := store.OpenTyped(dir, goods, nil, nil)
	if err != nil {
		log.Fatal(err)
	}
	defer s.Close()
	ctx := context.Background()
	if _, err := s.Change(ctx, func(tx *store.TypedTx[delivery]) error {
		goods.State += 7
		return errors.Join(tx.Append(delivery{3}), tx.Append(delivery{4}))
	}); err != nil {
		log.Fatal(err)
	}
	ticket, err := s.Submit(delivery{5})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(ticket.Result(), ticket.Wait(ctx))
	for u, err := range s.Updates(ctx, 1) {
		fmt.Println(u.Index, u.Value.Pieces, err)
		if u.Index == 3 {
			break
		}
	}
	// Output:
	// 12 <nil>
	// 1 3 <nil>
	// 2 4 <nil>
	// 3 5 <nil>
}

type delivery struct{ Pieces int }

// crate is how many pieces are in it.
type crate struct{ store.JSONState[int] }

func (s *crate) Apply(d delivery) (int, error) {
	s.State += d.Pieces
	return s.State, nil
}

func ExampleStore_SubmitChange() {
	c := newVotes()
	s, err := store.OpenMemory(c, nil)
	if err != nil {
		log.Fatal(err)
	}
	defer s.Close()
	ticket, err := s.SubmitChange(func(tx *store.Tx) error {
		c.State["a"]++
		return tx.Append([]byte("a"))
	})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(ticket.Index(), ticket.Wait(context.Background()))
	// Output: 1 <nil>
}

// leases is a machine whose leases end by the store's clock.
type leases struct {
	store.NoApply
	store.JSONState[map[string]time.Time] // State: when each lease ends
}

var errTaken = errors.New("somebody else has the lease")

// ApplyAt gives the lease that update names for a minute.
func (l *leases) ApplyAt(at time.Time, index uint64, update []byte) (any, error) {
	if l.State[string(update)].After(at) {
		return nil, errTaken
	}
	l.State[string(update)] = at.Add(time.Minute)
	return index, nil
}

func ExampleTimedMachine() {
	s, err := store.OpenMemory(&leases{JSONState: store.JSONState[map[string]time.Time]{State: map[string]time.Time{}}}, nil)
	if err != nil {
		log.Fatal(err)
	}
	defer s.Close()
	token, err := s.Update(context.Background(), []byte("printer"))
	fmt.Println(token, err)
	_, err = s.Update(context.Background(), []byte("printer"))
	fmt.Println(err)
	// Output:
	// 1 <nil>
	// somebody else has the lease
}

func ExampleRepair() {
	dir, remove := counted("a", "b", "a")
	defer remove()
	// The newest log is damaged in the middle.
	path := filepath.Join(dir, "00000000000000000000.log")
	b, err := os.ReadFile(path)
	if err != nil {
		log.Fatal(err)
	}
	b[len(b)/2] ^= 1
	if err := os.WriteFile(path, b, 0o600); err != nil {
		log.Fatal(err)
	}

	report, err := store.Repair(context.Background(), dir, dir+".repaired", nil)
	fmt.Println("saved up to update", report.Index, err)
	for _, loss := range report.Lost {
		fmt.Printf("lost %d to %d, which can be read: %v\n", loss.First, loss.Last, loss.Known)
	}
	// Output:
	// saved up to update 1 <nil>
	// lost 2 to 2, which can be read: false
	// lost 3 to 3, which can be read: true
}

func ExampleStore_Failed() {
	s, err := store.OpenMemory(newVotes(), nil)
	if err != nil {
		log.Fatal(err)
	}
	done := make(chan struct{}) // of the program's work
	close(done)
	select {
	case <-s.Failed():
		log.Fatal(s.Stats().Err) // and whatever started the program starts it again
	case <-done:
	}
	fmt.Println(s.Close())
	// Output: <nil>
}

// The store may be in use.
func ExampleCopy() {
	dir, remove := counted("a", "b", "a")
	defer remove()
	index, err := store.Copy(context.Background(), dir, dir+".backup", nil)
	fmt.Println(index, err)
	// Output: 3 <nil>
}

// RestoreAt takes the machines of Open. That of a typed store is what Untyped returns.
func ExampleUntyped() {
	dir, remove := counted()
	defer remove()
	ctx := context.Background()
	s, err := store.OpenTyped(dir, &crate{}, nil, nil)
	if err != nil {
		log.Fatal(err)
	}
	for _, pieces := range []int{3, 4} {
		if _, err := s.Update(ctx, delivery{pieces}); err != nil {
			log.Fatal(err)
		}
	}
	if err := s.Close(); err != nil {
		log.Fatal(err)
	}
	before := &crate{}
	err = store.RestoreAt(ctx, dir, store.Untyped(before, nil), 1, nil)
	fmt.Println(before.State, err)
	// Output: 3 <nil>
}

// Two machines that should have the same state are compared, without a look at all of it.
func ExampleStateDigest() {
	dir, remove := counted("a", "b")
	defer remove()
	live, restored := newVotes("a", "b", "b"), newVotes()
	if _, err := store.Load(context.Background(), dir, restored); err != nil {
		log.Fatal(err)
	}
	want, ok := store.StateDigest(live)
	got, _ := store.StateDigest(restored)
	fmt.Println(ok, got == want) // one b too many
	// Output: true false
}
