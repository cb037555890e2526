package store_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"runtime"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stateio/stateio/store"
)

// callingBack is a machine whose methods call functions.
type callingBack struct {
	journal
	inApply, inSnapshot, inWriteTo func()
}

func (m *callingBack) Apply(u []byte) (any, error) {
	if m.inApply != nil {
		m.inApply()
	}
	return m.journal.Apply(u)
}

func (m *callingBack) Snapshot() (io.WriterTo, error) {
	if m.inSnapshot != nil {
		m.inSnapshot()
	}
	return callingState{m}, nil
}

type callingState struct{ m *callingBack }

func (s callingState) WriteTo(w io.Writer) (int64, error) {
	if s.m.inWriteTo != nil {
		s.m.inWriteTo()
	}
	n, err := w.Write([]byte{})
	return int64(n), err
}

// methods are those that may wait.
func methods(t *testing.T, s *store.Store) map[string]func() error {
	ctx := t.Context()
	return map[string]func() error{
		"Update":     func() error { _, err := s.Update(ctx, []byte("within")); return err },
		"Update, bg": func() error { _, err := s.Update(context.Background(), []byte("within")); return err },
		"Submit":     func() error { _, err := s.Submit([]byte("within")); return err },
		"View":       func() error { return s.View(func() error { return nil }) },
		"Snapshot":   func() error { return s.Snapshot(ctx) },
		"Backup":     func() error { _, err := s.Backup(ctx, io.Discard); return err },
		"Close":      s.Close,
	}
}

// A method that Snapshot of the machine calls would wait for itself. It is reported,
// and the snapshot is made.
func TestCallingTheStoreWithinSnapshotIsReported(t *testing.T) {
	const dir = "/insnapshot"
	memory(t, dir)
	m := &callingBack{}
	s := open(t, dir, m, &store.Options{SnapshotBytes: -1})
	for name, call := range methods(t, s) {
		update(t, s, name)
		m.inSnapshot = func() { wantIs(t, call(), store.ErrReentrant) }
		soon(t, name, func() { check(t, s.Snapshot(t.Context())) })
		soon(t, name, func() { _, err := s.Backup(t.Context(), io.Discard); check(t, err) })
		m.inSnapshot = nil
	}
	check(t, s.Close())
}

// WriteTo runs concurrently with updates and Views and may make some. What would
// wait for the snapshot is reported.
func TestCallingTheStoreWithinWriteTo(t *testing.T) {
	const dir = "/inwriteto"
	memory(t, dir)
	m := &callingBack{}
	s := open(t, dir, m, &store.Options{SnapshotBytes: -1})
	for name, call := range methods(t, s) {
		update(t, s, name)
		called := 0
		m.inWriteTo = func() {
			if called++; called > 1 {
				return // by Backup within WriteTo
			}
			err := call()
			if name == "Snapshot" || name == "Close" {
				wantIs(t, err, store.ErrReentrant)
			} else if err != nil {
				t.Errorf("%s within WriteTo: %v", name, err)
			}
		}
		soon(t, name, func() { check(t, s.Snapshot(t.Context())) })
		m.inWriteTo = nil
	}
	check(t, s.Close())
}

// Updates returns what is durable anywhere. Where it would then wait for itself, it says so.
func TestUpdatesWithinTheMachineAndViewIsReported(t *testing.T) {
	const dir = "/updateswithin"
	memory(t, dir)
	m := &hooked{hook: func(int) {}}
	s := open(t, dir, m, &store.Options{SyncInterval: time.Hour, SnapshotBytes: -1})
	read := func(want int) {
		got := 0
		for _, err := range s.Updates(context.Background(), 1) {
			if err == nil {
				got++
				continue
			}
			if wantIs(t, err, store.ErrReentrant); got != want {
				t.Errorf("%d updates, want %d", got, want)
			}
		}
	}
	update(t, s, "one")
	m.hook = func(int) { read(1) }
	soon(t, "within Apply", func() { _, err := s.Submit([]byte("two")); check(t, err) })
	soon(t, "within View", func() {
		check(t, s.View(func() error {
			s.Flush()
			read(2) // the second, which was applied, is waited for
			return nil
		}))
	})
	check(t, s.Close())
}

// makers are the methods that queue something.
func makers(s *store.Store) map[string]func() error {
	ctx, within := context.Background(), []byte("within")
	append1 := func(tx *store.Tx) error { return tx.Append(within) }
	return map[string]func() error{
		"Update": func() error { _, err := s.Update(ctx, within); return err },
		"Update with a context": func() error {
			ctx, cancel := context.WithCancel(ctx)
			defer cancel()
			_, err := s.Update(ctx, within)
			return err
		},
		"Submit":       func() error { _, err := s.Submit(within); return err },
		"Change":       func() error { _, err := s.Change(ctx, append1); return err },
		"SubmitChange": func() error { _, err := s.SubmitChange(append1); return err },
		"Replace":      func() error { _, err := s.Replace(ctx, journalState(nil)); return err },
	}
}

// A machine may be called by a caller whose own update is in the batch already. What it calls
// then is reported as well, each time: it does not wait until that caller was told.
func TestAMachineThatIsCalledForAnotherIsReported(t *testing.T) {
	for name := range makers(nil) {
		t.Run(name, func(t *testing.T) {
			const dir = "/forothers"
			memory(t, dir)
			m := &hooked{hook: func(int) {}}
			s := openOnly(t, dir, m, &store.Options{SnapshotBytes: -1})
			reported := make(chan error, 3)
			m.hook = func(n int) {
				if n == 1 {
					for range cap(reported) {
						reported <- makers(s)[name]()
					}
				}
			}
			done := make(chan error, 2)
			inView(t, s, func() {
				go func() { _, err := s.Replace(context.Background(), journalState{"state"}); done <- err }()
				store.Settle() // it waits for the View, and applies what comes after it
				go func() { _, err := s.Update(context.Background(), []byte("one")); done <- err }()
				store.Settle()
			})
			for range cap(reported) {
				wantIs(t, store.Arrives(t, reported, name+" does not return within Apply"), store.ErrReentrant)
			}
			for range cap(done) {
				check(t, store.Arrives(t, done, "an update does not return"))
			}
			check(t, s.Close())
			if got := fmt.Sprint(m.updates); got != "[state one]" {
				t.Errorf("the machine has %s", got)
			}
		})
	}
}

// However many others wait, a call that would wait for itself is reported.
func TestACallAmongOthersThatWaitIsReported(t *testing.T) {
	places := map[string]func(t *testing.T, s *store.Store, m *callingBack, within func()){
		"Apply": func(t *testing.T, s *store.Store, m *callingBack, within func()) {
			m.inApply = within
			update(t, s, "calls")
		},
		"View": func(t *testing.T, s *store.Store, _ *callingBack, within func()) {
			check(t, s.View(func() error { within(); return nil }))
		},
		"Snapshot": func(t *testing.T, s *store.Store, m *callingBack, within func()) {
			update(t, s, "before")
			m.inSnapshot = within
			check(t, s.Snapshot(t.Context()))
		},
		"WriteTo of the first state": func(t *testing.T, s *store.Store, m *callingBack, within func()) {
			m.inWriteTo = within
			check(t, s.Snapshot(t.Context()))
		},
	}
	for place, call := range places {
		for name := range makers(nil) {
			t.Run(place+"/"+name, func(t *testing.T) {
				const dir = "/amongothers"
				memory(t, dir)
				m := &callingBack{}
				s := openOnly(t, dir, m, &store.Options{SnapshotBytes: -1})
				reported, done := make(chan error, 1), make(chan error, 4)
				var once sync.Once
				within := func() {
					once.Do(func() {
						for range cap(done) {
							go func() { _, err := s.Update(context.Background(), []byte("one")); done <- err }()
							store.Settle()
						}
						reported <- makers(s)[name]()
					})
				}
				over := make(chan struct{})
				go func() { defer close(over); call(t, s, m, within) }()
				wantIs(t, store.Arrives(t, reported, name+" does not return within "+place), store.ErrReentrant)
				store.Arrives(t, over, place+" does not go on")
				for range cap(done) {
					check(t, store.Arrives(t, done, "an update does not return"))
				}
				check(t, s.Close())
			})
		}
	}
}

// A store may be used within View or Apply of another, however busy both are.
func TestAnotherStoreWithinViewOrApplyIsNotReported(t *testing.T) {
	memory(t, "/outer")
	memory(t, "/inner")
	inner := open(t, "/inner", &journal{}, &store.Options{SnapshotBytes: -1})
	ctx, cancel := context.WithCancel(t.Context())
	var busy sync.WaitGroup
	for range 4 {
		busy.Go(func() {
			for ctx.Err() == nil {
				_ = inner.View(func() error { yield(10); return nil })
			}
		})
		busy.Go(func() {
			for ctx.Err() == nil {
				_, _ = inner.Update(context.Background(), []byte("busy"))
			}
		})
	}
	m := &hooked{hook: func(int) { update(t, inner, "within Apply") }}
	outer := open(t, "/outer", m, &store.Options{SnapshotBytes: -1})
	for range 200 {
		update(t, outer, "one")
		check(t, outer.View(func() error {
			update(t, inner, "within View")
			check(t, inner.View(func() error { return nil }))
			_, err := inner.Submit([]byte("within View"))
			check(t, inner.Sync(t.Context()))
			return err
		}))
	}
	cancel()
	busy.Wait()
	check(t, inner.Close())
	check(t, outer.Close())
}

// However many stores there are, a call within one that would wait for itself is reported, and
// one within another is not.
func TestManyStoresAreToldApart(t *testing.T) {
	var stores []*store.Store
	for i := range 300 {
		dir := fmt.Sprintf("/many%d", i)
		memory(t, dir)
		stores = append(stores, open(t, dir, &journal{}, nil))
	}
	for i, s := range stores {
		soon(t, "View", func() {
			wantIs(t, s.View(func() error { _, err := s.Update(context.Background(), nil); return err }), store.ErrReentrant)
		})
		check(t, s.View(func() error {
			other := stores[(i+1)%len(stores)]
			update(t, other, "one")
			return other.View(func() error { return nil })
		}))
	}
	for _, s := range stores {
		check(t, s.Close())
	}
}

// mutexed is a machine that takes the program's mutex in Snapshot.
type mutexed struct {
	journal
	mu *sync.Mutex
}

func (m *mutexed) Snapshot() (io.WriterTo, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.journal.Snapshot()
}

// A program that waits for the store with a mutex locked that its machine takes
// hangs. The log says so, and since when.
func TestADeadlockWithTheProgramsMutexIsLogged(t *testing.T) {
	const dir = "/mutex"
	memory(t, dir)
	var mu sync.Mutex
	told := make(chan string, 100)
	opts := &store.Options{SnapshotBytes: -1, Logger: toldTo(told)}
	s := open(t, dir, &mutexed{mu: &mu}, opts)
	update(t, s, "one")
	mu.Lock()
	snapshot := make(chan error, 1)
	go func() { snapshot <- s.Snapshot(t.Context()) }()
	done := make(chan struct{})
	go func() {
		defer close(done)
		_, _ = s.Update(context.Background(), []byte("two")) // with mu locked
	}()
	for end := time.After(60 * time.Second); ; {
		select {
		case line := <-told:
			if !strings.Contains(line, "nothing moves on") {
				continue
			}
			if !strings.Contains(line, "Snapshot of the machine") || !strings.Contains(line, "mutex") {
				t.Errorf("the log says %q", line)
			}
		case <-end:
			t.Error("nothing is logged")
		}
		break
	}
	mu.Unlock()
	check(t, <-snapshot)
	<-done
	check(t, s.Close())
}

// A program that waits for a View which waits for it is told of, too.
func TestUpdatesThatWaitForAViewAreLogged(t *testing.T) {
	const dir = "/longview"
	memory(t, dir)
	told := make(chan string, 100)
	s := open(t, dir, &journal{}, &store.Options{SnapshotBytes: -1, Logger: toldTo(told)})
	inView(t, s, func() {
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan struct{})
		go func() {
			defer close(done)
			_, _ = s.Update(ctx, nil)
		}()
		for line := range told {
			if strings.Contains(line, "nothing moves on") {
				if !strings.Contains(line, "1 update waits until functions passed to View return") {
					t.Errorf("the log says %q", line)
				}
				break
			}
		}
		cancel()
		<-done
	})
	check(t, s.Close())
}

// An idle store does nothing, and so does a busy one tell nothing.
func TestAStoreThatMovesOnIsNotLogged(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const dir = "/moves"
		_, fs := memory(t, dir)
		told := make(chan string, 100)
		s := open(t, dir, &journal{}, &store.Options{Logger: toldTo(told)})
		slow(fs, 4*time.Second)
		for range 10 {
			if _, err := s.Update(t.Context(), []byte("one")); err != nil {
				t.Error(err)
			}
		}
		time.Sleep(time.Hour) // of the bubble
		fs.OnOp(nil)
		check(t, s.Close())
		close(told)
		for line := range told {
			if strings.Contains(line, "nothing moves on") {
				t.Error(line)
			}
		}
	})
}

// A panic in Apply goes on in the goroutine of its caller, whichever called Apply,
// with its value and its stack in the error that others get.
func TestAPanicInApplyIsThatOfItsCaller(t *testing.T) {
	const dir = "/whose"
	memory(t, dir)
	s := open(t, dir, &journal{}, nil)
	update(t, s, "one")
	panicked, refused := make(chan any, 1), make(chan error, 20)
	var all sync.WaitGroup
	inView(t, s, func() {
		for i := range 21 {
			all.Go(func() {
				if i == 10 {
					defer func() { panicked <- recover() }()
					_, _ = s.Update(t.Context(), []byte("panic"))
					t.Error("Update returned")
				}
				_, err := s.Update(t.Context(), bytes.Repeat([]byte("u"), i))
				refused <- err
			})
		}
		yield(1000)
	})
	all.Wait()
	if v := <-panicked; v != "told to" {
		t.Errorf("recovered %v", v)
	}
	_, err := s.Update(t.Context(), nil)
	for _, part := range []string{"told to", "(*journal).Apply"} {
		if !strings.Contains(err.Error(), part) {
			t.Errorf("the error does not have %q: %v", part, err)
		}
	}
	for range len(refused) {
		if err := <-refused; err != nil && !errors.Is(err, store.ErrFailed) {
			t.Error(err)
		}
	}
	wantIs(t, s.Close(), store.ErrFailed)
}

// exiting is a machine that ends goroutines.
type exiting struct {
	journal
	apply, snapshot, write bool
}

func (m *exiting) Apply(u []byte) (any, error) {
	if m.apply {
		runtime.Goexit()
	}
	return m.journal.Apply(u)
}

func (m *exiting) Snapshot() (io.WriterTo, error) {
	if m.snapshot {
		runtime.Goexit()
	}
	w, err := m.journal.Snapshot()
	return exitingState{m, w}, err
}

type exitingState struct {
	m *exiting
	w io.WriterTo
}

func (s exitingState) WriteTo(w io.Writer) (int64, error) {
	if s.m.write {
		runtime.Goexit()
	}
	return s.w.WriteTo(w)
}

// runtime.Goexit, as of t.FailNow, in the machine is an error and no hang.
func TestGoexitInTheMachine(t *testing.T) {
	const dir = "/goexit"
	memory(t, dir)
	m := &exiting{}
	s := open(t, dir, m, &store.Options{SnapshotBytes: -1})
	update(t, s, "one")
	for _, in := range []*bool{&m.snapshot, &m.write} {
		*in = true
		for range 2 {
			soon(t, "Snapshot", func() {
				if err := s.Snapshot(t.Context()); err == nil || !strings.Contains(err.Error(), "runtime.Goexit") {
					t.Errorf("Snapshot: %v", err)
				}
			})
			soon(t, "Backup", func() {
				if _, err := s.Backup(t.Context(), io.Discard); err == nil || !strings.Contains(err.Error(), "runtime.Goexit") {
					t.Errorf("Backup: %v", err)
				}
			})
		}
		*in = false
	}
	check(t, s.Snapshot(t.Context()))
	update(t, s, "two")
	m.apply = true
	soon(t, "Update", func() { _, _ = s.Update(t.Context(), []byte("three")) })
	soon(t, "Update", func() {
		_, err := s.Update(t.Context(), []byte("four"))
		wantIs(t, err, store.ErrFailed)
	})
	soon(t, "Close", func() { wantIs(t, s.Close(), store.ErrFailed) })
	wantUpdates(t, dir, "one", "two")
}
