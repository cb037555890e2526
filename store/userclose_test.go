package store_test

import (
	"context"
	"errors"
	"io"
	"runtime"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stateio/stateio/internal/fsys/faultfs"
	"github.com/stateio/stateio/store"
)

// endings are ways in which code of the user's ends without returning, with what the error
// then has.
var endings = map[string]func(){
	"panic":  func() { panic("boom") },
	"Goexit": runtime.Goexit,
}

// wantEnding checks that err tells of one of them.
func wantEnding(t *testing.T, name string, err error, where string) {
	t.Helper()
	if err == nil || !strings.Contains(err.Error(), name) || !strings.Contains(err.Error(), where) {
		t.Errorf("after a %s in %s: %v", name, where, err)
	}
}

// A closer is a machine whose states, and which itself, call functions when they are closed.
type closer struct {
	journal
	write, closeState, closeMachine func()
}

func (m *closer) Snapshot() (io.WriterTo, error) {
	w, err := m.journal.Snapshot()
	return closerState{m, w}, err
}

func (m *closer) Close() error {
	if m.closeMachine != nil {
		m.closeMachine()
	}
	return nil
}

type closerState struct {
	m *closer
	w io.WriterTo
}

func (s closerState) WriteTo(w io.Writer) (int64, error) {
	if s.m.write != nil {
		s.m.write()
	}
	return s.w.WriteTo(w)
}

func (s closerState) Close() error {
	if s.m.closeState != nil {
		s.m.closeState()
	}
	return nil
}

const closeOfState = "Close of the captured state"

// A state whose Close panics, or ends its goroutine, is an error of the snapshot or the
// backup, and the next ones are made.
func TestACloseOfAStateThatDoesNotReturnIsAnError(t *testing.T) {
	for name, end := range endings {
		t.Run(name, func(t *testing.T) {
			dir := "/closestate" + name
			memory(t, dir)
			m := &closer{closeState: end}
			s := open(t, dir, m, &store.Options{SnapshotBytes: -1})
			for _, u := range []string{"", "one", "two"} {
				if u != "" {
					update(t, s, u)
				}
				soon(t, "Snapshot", func() { wantEnding(t, name, s.Snapshot(t.Context()), closeOfState) })
				soon(t, "Backup", func() {
					_, err := s.Backup(t.Context(), io.Discard)
					wantEnding(t, name, err, closeOfState)
				})
			}
			m.closeState = nil
			soon(t, "Snapshot", func() { check(t, s.Snapshot(t.Context())) })
			soon(t, "Close", func() { check(t, s.Close()) })
			wantUpdates(t, dir, "one", "two")
		})
	}
}

// Close waits for a Close of a captured state that hangs, and no longer than for a WriteTo.
func TestACloseOfAStateThatHangsDoesNotKeepClose(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const dir = "/closehangs"
		memory(t, dir)
		hangs, entered := make(chan struct{}), make(chan struct{})
		m := &closer{closeState: func() { close(entered); <-hangs }}
		opts, lines := logged(store.Options{SnapshotBytes: -1})
		s, err := store.Open(dir, m, opts)
		check(t, err)
		update(t, s, "one")
		snapshot := make(chan error, 1)
		go func() { snapshot <- s.Snapshot(context.Background()) }()
		<-entered
		update(t, s, "two")
		check(t, s.Close())
		err = <-snapshot
		if wantIs(t, err, store.ErrClosed); err != nil && !strings.Contains(err.Error(), closeOfState+" has not returned") {
			t.Errorf("the snapshot: %v", err)
		}
		if got := lines(); !strings.Contains(got, "gave up a captured state whose Close has not returned") {
			t.Errorf("logged\n%s", got)
		}
		close(hangs)
		m.closeState = nil
		wantUpdates(t, dir, "one", "two")
	})
}

// The same when the log for the snapshot can't be begun, so that nothing is written.
func TestACloseOfAStateThatIsNotWritten(t *testing.T) {
	for name, end := range endings {
		t.Run(name, func(t *testing.T) {
			dir := "/closeunwritten" + name
			_, fs := memory(t, dir)
			m := &closer{}
			s := open(t, dir, m, &store.Options{SnapshotBytes: -1})
			update(t, s, "one")
			m.closeState = func() {
				_, err := s.Update(context.Background(), []byte("within")) // which waits for the snapshot
				wantIs(t, err, store.ErrReentrant)
				end()
			}
			fs.Inject(faultfs.Fault{Kinds: faultfs.OpRename, Path: "*.log", Err: errRefused})
			soon(t, "Snapshot", func() {
				err := s.Snapshot(t.Context())
				wantEnding(t, name, err, closeOfState)
				wantIs(t, err, errRefused)
			})
			fs.Heal()
			m.closeState = nil
			update(t, s, "two")
			check(t, s.Snapshot(t.Context()))
			check(t, s.Close())
			wantUpdates(t, dir, "one", "two")
		})
	}
}

// The same when WriteTo returns after its snapshot was given up, and nobody is left to be
// told.
func TestACloseOfAStateThatNobodyWaitsFor(t *testing.T) {
	for name, end := range endings {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				dir := "/closelate" + name
				memory(t, dir)
				leave, closed := make(chan struct{}), false
				m := &closer{write: func() { <-leave }, closeState: func() { closed = true; end() }}
				s := open(t, dir, m, &store.Options{SnapshotBytes: -1})
				update(t, s, "one")
				go func() { _ = s.Snapshot(t.Context()) }()
				synctest.Wait()
				check(t, s.Close())
				close(leave)
				synctest.Wait()
				if !closed {
					t.Error("the state was not closed")
				}
				wantUpdates(t, dir, "one")
			})
		})
	}
}

// The same for a backup whose context has ended while the state was captured.
func TestACloseOfAStateOfABackupThatWasGivenUp(t *testing.T) {
	for name, end := range endings {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				dir := "/closegone" + name
				memory(t, dir)
				leave, closed := make(chan struct{}), false
				m := &slowMachine{&closer{closeState: func() { closed = true; end() }}, leave}
				s := open(t, dir, m, &store.Options{SnapshotBytes: -1})
				update(t, s, "one")
				ctx, cancel := context.WithCancel(t.Context())
				go func() { synctest.Wait(); cancel() }()
				_, err := s.Backup(ctx, io.Discard)
				wantIs(t, err, context.Canceled)
				close(leave)
				synctest.Wait()
				if !closed {
					t.Error("the state was not closed")
				}
				check(t, s.Close())
			})
		})
	}
}

// With a shadow, the same holds for its states, and for the machine itself, which Close of
// the store closes: the directory is released, and the log says what went wrong.
func TestACloseOfAShadowThatDoesNotReturn(t *testing.T) {
	for name, end := range endings {
		t.Run(name, func(t *testing.T) {
			dir := "/closeshadow" + name
			memory(t, dir)
			twin := &closer{closeState: end}
			opts, lines := logged(store.Options{SnapshotBytes: -1, Shadow: func() store.Machine { return twin }})
			s := open(t, dir, &journal{}, opts)
			update(t, s, "one")
			soon(t, "Snapshot", func() { wantEnding(t, name, s.Snapshot(t.Context()), closeOfState) })
			twin.closeState, twin.closeMachine = nil, end
			soon(t, "Snapshot", func() { check(t, s.Snapshot(t.Context())) })
			soon(t, "Close", func() { check(t, s.Close()) })
			if log := lines(); !strings.Contains(log, "the shadow machine could not be closed") || !strings.Contains(log, name) {
				t.Errorf("the log says %s", log)
			}
			wantUpdates(t, dir, "one")
		})
	}
}

// A Close of a shadow that hangs, as one that waits for its Apply, which hangs, does not keep
// Close of the store; neither when that closes it, nor when a snapshot that failed does.
func TestACloseOfAShadowThatHangsDoesNotKeepClose(t *testing.T) {
	for _, when := range []string{"its Apply hangs", "the store is closed", "its snapshot failed"} {
		t.Run(when, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				dir := "/shadowhangs" + strings.ReplaceAll(when, " ", "")
				memory(t, dir)
				leave := make(chan struct{})
				hang := func() { <-leave }
				opts, lines := logged(store.Options{SnapshotBytes: -1, Shadow: func() store.Machine {
					c := &closer{closeMachine: hang}
					switch when {
					case "its Apply hangs":
						return &hangingShadow{c, hang}
					case "its snapshot failed":
						return &failingShadow{closer: c}
					}
					return c
				}})
				s, err := store.Open(dir, &journal{}, opts)
				check(t, err)
				update(t, s, "one")
				snapshot := make(chan error, 1)
				go func() { snapshot <- s.Snapshot(context.Background()) }()
				synctest.Wait()
				start := time.Now()
				check(t, s.Close())
				if took := time.Since(start); took > 10*time.Second {
					t.Errorf("Close has taken %v", took)
				}
				if err := <-snapshot; when != "the store is closed" {
					wantIs(t, err, store.ErrClosed)
				} else {
					check(t, err)
				}
				if got := lines(); !strings.Contains(got, "gave up a shadow machine whose Close has not returned") {
					t.Errorf("logged\n%s", got)
				}
				close(leave)
				synctest.Wait()
				wantUpdates(t, dir, "one")
			})
		})
	}
}

// A shadow that has failed a snapshot is closed, and the next snapshot gets another one,
// though Close does not return.
func TestACloseOfAShadowThatHasFailed(t *testing.T) {
	for name, end := range endings {
		t.Run(name, func(t *testing.T) {
			dir := "/closefailed" + name
			memory(t, dir)
			var made []*closer
			s := open(t, dir, &journal{}, &store.Options{SnapshotBytes: -1, Shadow: func() store.Machine {
				made = append(made, &closer{closeMachine: end})
				if len(made) == 1 {
					return &failingShadow{closer: made[0]}
				}
				return made[len(made)-1]
			}})
			update(t, s, "one")
			soon(t, "Snapshot", func() { wantIs(t, s.Snapshot(t.Context()), errRefused) })
			soon(t, "Snapshot", func() { check(t, s.Snapshot(t.Context())) })
			soon(t, "Close", func() { check(t, s.Close()) })
			wantUpdates(t, dir, "one")
		})
	}
}

// A failingShadow has no state.
type failingShadow struct{ *closer }

func (failingShadow) Snapshot() (io.WriterTo, error) { return nil, errRefused }

// A hangingShadow hangs in Apply.
type hangingShadow struct {
	*closer
	hang func()
}

func (m *hangingShadow) Apply(update []byte) (any, error) {
	m.hang()
	return m.closer.Apply(update)
}

// A state that a shadow captures after Close has given it up is closed.
func TestAStateThatAShadowCapturesTooLateIsClosed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const dir = "/shadowlate"
		memory(t, dir)
		leave, closed := make(chan struct{}), false
		twin := &closer{closeState: func() { closed = true }}
		s := open(t, dir, &journal{}, &store.Options{SnapshotBytes: -1, Shadow: func() store.Machine { return &slowMachine{twin, leave} }})
		update(t, s, "one")
		go func() { _ = s.Snapshot(t.Context()) }()
		synctest.Wait()
		check(t, s.Close())
		close(leave)
		synctest.Wait()
		if !closed {
			t.Error("the state was not closed")
		}
	})
}

// A slowMachine waits before it captures its state.
type slowMachine struct {
	*closer
	leave chan struct{}
}

func (m *slowMachine) Snapshot() (io.WriterTo, error) {
	<-m.leave
	return m.closer.Snapshot()
}

// A writer that panics in Backup, or ends its goroutine, does so for the caller, and nothing
// of the backup is left behind.
func TestAWriterThatDoesNotReturnEndsItsBackup(t *testing.T) {
	for name, end := range endings {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { // which waits for what is left behind
				dir := "/writerends" + name
				memory(t, dir)
				closed := 0
				m := &closer{closeState: func() { closed++ }}
				s := open(t, dir, m, &store.Options{SnapshotBytes: -1})
				update(t, s, strings.Repeat("x", 4<<20))
				ended := make(chan any)
				go func() {
					defer func() { ended <- recover() }()
					n := 0
					_, err := s.Backup(t.Context(), writes(func(b []byte) (int, error) {
						if n++; n == 3 {
							end()
						}
						return len(b), nil
					}))
					t.Errorf("Backup has returned %v", err)
				}()
				if v := <-ended; v == nil != (name == "Goexit") {
					t.Errorf("it has ended with %v", v)
				}
				synctest.Wait()
				if closed != 1 {
					t.Errorf("the state was closed %d times", closed)
				}
				check(t, s.Snapshot(t.Context()))
				check(t, s.Close())
			})
		})
	}
}

type writes func(b []byte) (int, error)

func (w writes) Write(b []byte) (int, error) { return w(b) }

// Updates wait until a state that was set before the first one is written: a method that its
// WriteTo calls, and that would wait for that, is reported.
func TestCallingTheStoreWithinWriteToOfTheFirstState(t *testing.T) {
	waiting := map[string]bool{"Update": true, "Update, bg": true, "Submit": true, "Snapshot": true, "Close": true, "WaitIndex": true}
	for _, name := range []string{"Update", "Update, bg", "Submit", "View", "Snapshot", "Backup", "Close", "WaitIndex"} {
		dir := "/infirst" + strings.ReplaceAll(name, ", ", "")
		memory(t, dir)
		m := &closer{}
		s := open(t, dir, m, &store.Options{SnapshotBytes: -1})
		called := false
		m.write = func() {
			if called {
				return // by Backup within WriteTo
			}
			called = true
			call := methods(t, s)[name]
			if call == nil {
				call = func() error { return s.WaitIndex(t.Context(), 1) }
			}
			if err := call(); errors.Is(err, store.ErrReentrant) != waiting[name] {
				t.Errorf("%s within WriteTo: %v", name, err)
			}
		}
		soon(t, name, func() { check(t, s.Snapshot(t.Context())) })
		check(t, s.Close())
	}
}
