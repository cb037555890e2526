package store_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stateio/stateio/internal/fsys/faultfs"
	"github.com/stateio/stateio/store"
)

// gated is a machine whose Apply of some updates waits.
type gated struct {
	journal
	entered map[string]chan struct{}
	leave   map[string]chan struct{}
}

func (m *gated) Apply(u []byte) (any, error) {
	if c := m.entered[string(u[:1])]; c != nil {
		close(c)
		<-m.leave[string(u[:1])]
	}
	return nil, nil
}

// meets is a machine whose Apply of each update comes to meet the test, and goes on when the
// test says so.
type meets struct {
	nothing
	in, out chan string
}

func (m *meets) Apply(u []byte) (any, error) {
	m.in <- string(u)
	<-m.out
	return nil, nil
}

// apply lets the next call of Apply return, which is to be that of want.
func (m *meets) apply(t *testing.T, want string) {
	t.Helper()
	if got := store.Arrives(t, m.in, want+" is not applied"); got != want {
		t.Errorf("%s is applied, want %s", got, want)
	}
	m.out <- ""
}

// A caller that applies what others have queued goes when its context ends, after the Apply
// that is under way. The rest is applied all the same.
func TestACallerThatAppliesForOthersHeedsItsContext(t *testing.T) {
	const dir = "/helpdeadline"
	memory(t, dir)
	m := &meets{in: make(chan string), out: make(chan string)}
	s := openOnly(t, dir, m, &store.Options{SnapshotBytes: -1})
	calls := map[string]func(ctx context.Context) error{
		"Update": func(ctx context.Context) error { _, err := s.Update(ctx, []byte("own")); return err },
		"Change": func(ctx context.Context) error {
			_, err := s.Change(ctx, func(*store.Tx) error { return errors.New("made") })
			return err
		},
		"Replace": func(ctx context.Context) error { _, err := s.Replace(ctx, journalState(nil)); return err },
	}
	for name, call := range calls {
		release := s.HoldApply()
		submitted := make(chan error, 3)
		for _, u := range []string{"1", "2", "3"} {
			go func() { _, err := s.Submit([]byte(u)); submitted <- err }()
			store.Settle()
		}
		release()
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- call(ctx) }()
		if u := store.Arrives(t, m.in, "nothing is applied"); u != "1" {
			t.Errorf("%s is applied first", u)
		}
		cancel()
		m.out <- ""
		err := store.Arrives(t, done, name+" does not return when its context has ended")
		if wantIs(t, err, context.Canceled); errors.Is(err, store.ErrUnknown) {
			t.Errorf("%s was not made, and the error is %v", name, err)
		}
		m.apply(t, "2")
		m.apply(t, "3")
		for range 3 {
			check(t, store.Arrives(t, submitted, "Submit does not return"))
		}
	}
	check(t, s.Close())
}

// A caller that applies what others have queued goes when its own update is durable, after
// the Apply that is under way: the callers after it wait to be told by it.
func TestACallerThatAppliesForOthersIsTold(t *testing.T) {
	const dir = "/helptold"
	memory(t, dir)
	m := &meets{in: make(chan string), out: make(chan string)}
	s := openOnly(t, dir, m, &store.Options{SnapshotBytes: -1, SyncInterval: time.Hour})
	done := map[string]chan error{}
	inView(t, s, func() {
		for _, u := range []string{"own", "1", "2", "3"} {
			c := make(chan error, 1)
			done[u] = c
			go func() { _, err := s.Update(context.Background(), []byte(u)); c <- err }()
			store.Settle() // the first one waits for the View, and will apply all
		}
	})
	m.apply(t, "own")
	m.apply(t, "1")
	if u := store.Arrives(t, m.in, "2 is not applied"); u != "2" {
		t.Errorf("%s is applied, want 2", u)
	}
	s.Flush()
	store.Settle() // the first two are durable
	m.out <- ""
	for _, u := range []string{"own", "1"} {
		check(t, store.Arrives(t, done[u], u+" is durable, and its caller is not told"))
	}
	m.apply(t, "3")
	store.Settle()
	s.Flush()
	for _, u := range []string{"2", "3"} {
		check(t, store.Arrives(t, done[u], "the update of "+u+" does not return"))
	}
	check(t, s.Close())
}

// A caller that does not wait for the disk goes when its own update is applied, or refused,
// before anything else is.
func TestACallerThatDoesNotWaitAppliesNothingAfterItsOwn(t *testing.T) {
	const dir = "/helpsubmit"
	memory(t, dir)
	m := &refuses{meets{in: make(chan string), out: make(chan string)}}
	s := openOnly(t, dir, m, &store.Options{SnapshotBytes: -1})
	calls := map[string]func() error{
		"Submit":                func() error { _, err := s.Submit([]byte("own")); return err },
		"Submit of a refused":   func() error { _, err := s.Submit([]byte("bad")); return err },
		"Update that's refused": func() error { _, err := s.Update(context.Background(), []byte("bad")); return err },
		"SubmitChange": func() error {
			_, err := s.SubmitChange(func(tx *store.Tx) error { _, err := m.Apply([]byte("own")); return errors.Join(err, tx.Append(nil)) })
			return err
		},
		"Change that's refused": func() error {
			_, err := s.Change(context.Background(), func(*store.Tx) error { _, err := m.Apply([]byte("bad")); return err })
			return err
		},
	}
	for name, call := range calls {
		check(t, s.Sync(t.Context()))
		done, others := make(chan error, 1), make(chan error, 2)
		inView(t, s, func() {
			go func() { done <- call() }() // waits for the View, and will apply all
			store.Settle()
			for _, u := range []string{"1", "2"} {
				go func() { _, err := s.Update(context.Background(), []byte(u)); others <- err }()
				store.Settle()
			}
		})
		u := store.Arrives(t, m.in, "nothing is applied")
		m.out <- ""
		err := store.Arrives(t, done, name+" does not return when its update is applied")
		if errors.Is(err, errRefused) != (u == "bad") {
			t.Errorf("%s: %v", name, err)
		}
		m.apply(t, "1")
		m.apply(t, "2")
		for range 2 {
			check(t, store.Arrives(t, others, "an update does not return"))
		}
	}
	check(t, s.Close())
}

// A refuses is a meets that refuses what is bad.
type refuses struct{ meets }

func (m *refuses) Apply(u []byte) (any, error) {
	if _, err := m.meets.Apply(u); err != nil || string(u) != "bad" {
		return nil, err
	}
	return nil, errRefused
}

// A caller whose update is durable is told, and what is after it is committed, even
// if the caller is about to apply what others have queued.
func TestSyncInViewWithACallerThatHelps(t *testing.T) {
	const dir = "/helpview"
	_, fs := memory(t, dir)
	chans := func() map[string]chan struct{} {
		return map[string]chan struct{}{"A": make(chan struct{}), "X": make(chan struct{})}
	}
	m := &gated{entered: chans(), leave: chans()}
	s := openOnly(t, dir, m, &store.Options{SnapshotBytes: -1, MaxPending: 64 << 20})
	for range 4 {
		update(t, s, strings.Repeat("0", 1<<20)) // sets space aside
	}
	gate, in := make(chan struct{}), make(chan struct{})
	var once sync.Once
	fs.OnOp(func(op faultfs.Op) {
		if op.Kind == faultfs.OpDatasync {
			once.Do(func() { close(in); <-gate })
		}
	})
	done := make(chan string, 8)
	up := func(u []byte) {
		go func() {
			_, err := s.Update(context.Background(), u)
			done <- fmt.Sprint(string(u[:1]), " ", err)
		}()
		store.Settle()
	}
	up([]byte("L")) // leads, and waits for the disk
	<-in
	up([]byte("A")) // helps, Apply waits
	<-m.entered["A"]
	x := make([]byte, 100<<10)
	x[0] = 'X'
	up(x)
	close(m.leave["A"])
	<-m.entered["X"] // A is in the batch, and its caller applies X
	up([]byte("Y"))
	close(gate) // L and A become durable
	store.Settle()
	goOn, viewed := make(chan struct{}), make(chan error, 1)
	go func() {
		viewed <- s.View(func() error {
			<-goOn
			return s.Sync(context.Background())
		})
	}()
	store.Settle()
	close(m.leave["X"])
	store.Settle() // X is put into the batch
	close(goOn)
	store.Settle()
	check(t, store.Arrives(t, viewed, "Sync in View waits for ever"))
	for range 4 {
		t.Log(store.Arrives(t, done, "an update does not return"))
	}
	check(t, s.Close())
}
