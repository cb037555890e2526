package cluster

import (
	"context"
	"errors"
	"io"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stateio/stateio/store"
)

// A moody machine does what a test tells it to, where the test tells it to.
type moody struct {
	*ledger
	in map[string]func() // by function; guarded by mu
	mu *sync.Mutex
}

func newMoody() *moody {
	return &moody{ledger: newLedger(), in: map[string]func(){}, mu: new(sync.Mutex)}
}

// set has a function of the machine call do; nil: it does what it should.
func (m *moody) set(in string, do func()) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.in[in] = do
}

func (m *moody) reach(in string) {
	m.mu.Lock()
	do := m.in[in]
	m.mu.Unlock()
	if do != nil {
		do()
	}
}

func (m *moody) Apply(u []byte) (any, error) {
	m.reach("Apply")
	return m.ledger.Apply(u)
}

func (m *moody) Snapshot() (io.WriterTo, error) {
	m.reach("Snapshot")
	s, err := m.ledger.Snapshot()
	return &moodyState{s, m}, err
}

func (m *moody) Restore(r io.Reader) error {
	m.reach("Restore")
	return m.ledger.Restore(r)
}

type moodyState struct {
	io.WriterTo
	m *moody
}

func (s *moodyState) WriteTo(w io.Writer) (int64, error) {
	s.m.reach("WriteTo")
	return s.WriterTo.WriteTo(w)
}

func (s *moodyState) Close() error {
	s.m.reach("Close")
	return nil
}

// startMoody opens a cluster of one node with such a machine, which has one update.
func startMoody(t *testing.T, change func(o *Options)) (*trial, *moody) {
	t.Helper()
	m := newMoody()
	tr := newTrial(t, 1, func(_ int, o *Options) {
		if change != nil {
			change(o)
		}
	})
	tr.open = func(i int) (*Node, error) { return Open(tr.path(i), m, tr.opts[i]) }
	tr.start(0)
	update(t, tr.nodes[0], "add x")
	return tr, m
}

// captures are the calls that capture the state, of a node or of its directory.
func captures(n *Node) map[string]func(ctx context.Context) error {
	return map[string]func(ctx context.Context) error{
		"Backup": func(ctx context.Context) error { _, err := n.Backup(ctx, io.Discard); return err },
		"Follow": func(ctx context.Context) error {
			f, err := n.Follow(ctx, newLedger())
			if err == nil {
				err = f.Close()
			}
			return err
		},
	}
}

// TestAStateThatCanNotBeCapturedIsAnErrorOfWhoeverWantsIt has Snapshot of the machine, and what
// it returns, panic and end their goroutines. The node goes on: nothing is left locked.
func TestAStateThatCanNotBeCapturedIsAnErrorOfWhoeverWantsIt(t *testing.T) {
	noLeaks(t)
	tr, m := startMoody(t, nil)
	n := tr.nodes[0]
	sum := 1
	for how, do := range map[string]func(){"panic": func() { panic("a bad day") }, "runtime.Goexit": runtime.Goexit} {
		for _, in := range []string{"Snapshot", "WriteTo", "Close"} {
			for call, capture := range captures(n) {
				m.set(in, do)
				ended := make(chan error, 1)
				go func() {
					defer func() { ended <- nil }()
					ended <- capture(t.Context())
				}()
				err := <-ended
				if in != "Close" && (err == nil || !strings.Contains(err.Error(), how)) || err != nil && !strings.Contains(err.Error(), in) {
					t.Errorf("%s, whose %s has ended by %s: %v", call, in, how, err)
				}
				m.set(in, nil)
				sum++
				if got := update(t, n, "add x"); got != sum {
					t.Errorf("%s, whose %s has ended by %s: then the sum is %v", call, in, how, got)
				}
			}
		}
	}
	tr.stop(0)
	m.set("Snapshot", func() { panic("a bad day") })
	m.ledger = newLedger()
	if _, err := Recover(t.Context(), tr.path(0), m, io.Discard, tr.opts[0]); err == nil || !strings.Contains(err.Error(), "panic in Snapshot of the machine") {
		t.Errorf("Recover: %v", err)
	}
}

// TestNoStateIsNoSnapshot has Snapshot of the machine return neither a state nor an error.
func TestNoStateIsNoSnapshot(t *testing.T) {
	f := newFSM(stateless{newLedger()}, nil)
	if _, err := f.Snapshot(); !errors.Is(err, errNoState) {
		t.Errorf("a snapshot for raft: %v", err)
	}
	if _, err := f.capture(t.Context(), nil, "test"); !errors.Is(err, errNoState) {
		t.Errorf("a state for a backup: %v", err)
	}
}

// TestAnErrorThatAMachinePanicsWithCanBeTold: package durable does that.
func TestAnErrorThatAMachinePanicsWithCanBeTold(t *testing.T) {
	if err := guarded("Apply", func() error { panic(errRefused) }); !errors.Is(err, errRefused) || !strings.Contains(err.Error(), "panic in Apply") {
		t.Error(err)
	}
}

type stateless struct{ *ledger }

func (stateless) Snapshot() (io.WriterTo, error) { return nil, nil }

// TestAStateIsNotClosedWhileItIsWritten gives up calls whose WriteTo does not return. The state
// is closed once, when it does.
func TestAStateIsNotClosedWhileItIsWritten(t *testing.T) {
	concurrently(t)
	tr, m := startMoody(t, nil)
	for call, capture := range captures(tr.nodes[0]) {
		ctx, cancel := context.WithCancel(t.Context())
		closed, release := make(chan struct{}), make(chan struct{})
		var writing atomic.Bool
		m.set("WriteTo", func() {
			writing.Store(true)
			cancel()
			<-release
			writing.Store(false)
		})
		m.set("Close", func() {
			if writing.Load() {
				t.Errorf("%s: the state is closed while it is written", call)
			}
			close(closed)
		})
		if err := capture(ctx); !errors.Is(err, context.Canceled) {
			t.Errorf("%s: %v", call, err)
		}
		if !writing.Load() {
			t.Errorf("%s has ended with its WriteTo: this tests less than it should", call)
		}
		close(release)
		<-closed
	}
}

// TestAStateThatIsNotWrittenIsClosed gives up a backup before it has begun.
func TestAStateThatIsNotWrittenIsClosed(t *testing.T) {
	tr, m := startMoody(t, nil)
	n := tr.nodes[0]
	var closed atomic.Int32
	m.set("Close", func() { closed.Add(1) })
	c, err := n.fsm.capture(t.Context(), nil, "test")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := n.backup(ctx, c, io.Discard); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	eventually(t, "the state is closed", func() bool { return closed.Load() > 0 })
	if got := closed.Load(); got != 1 {
		t.Errorf("it was closed %d times", got)
	}
}

// TestCallsEndWithTheirContextWhileTheStateIsRead: what captures the state waits for those that
// read it.
func TestCallsEndWithTheirContextWhileTheStateIsRead(t *testing.T) {
	noLeaks(t)
	tr, m := startMoody(t, nil)
	n := tr.nodes[0]
	var wg sync.WaitGroup
	reading, release := make(chan struct{}), make(chan struct{})
	wg.Go(func() { _ = n.ViewLocal(func() error { close(reading); <-release; return nil }) })
	<-reading
	m.set("Snapshot", func() { t.Error("a state is captured that nobody waits for") })
	for call, capture := range captures(n) {
		if err := ended(t, call, func() error { return capture(within(t, 50*time.Millisecond)) }); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("%s: %v", call, err)
		}
	}
	captured := make(chan error, 1)
	wg.Go(func() { _, err := n.Backup(t.Context(), io.Discard); captured <- err })
	if err := n.Close(); err != nil {
		t.Errorf("Close: %v", err)
	}
	tr.nodes[0] = nil
	if err := ended(t, "Backup", func() error { return <-captured }); !errors.Is(err, store.ErrClosed) {
		t.Errorf("Backup, on a node that is closed: %v", err)
	}
	close(release)
	wg.Wait()
}

// TestCallsEndWithTheirContextWhileTheMachineIsBusy: what reads waits for it, too.
func TestCallsEndWithTheirContextWhileTheMachineIsBusy(t *testing.T) {
	noLeaks(t)
	tr, m := startMoody(t, nil)
	n := tr.nodes[0]
	busy, release := make(chan struct{}), make(chan struct{})
	m.set("Snapshot", func() { close(busy); <-release })
	backup := make(chan error, 1)
	go func() { _, err := n.Backup(t.Context(), io.Discard); backup <- err }()
	<-busy
	m.set("Snapshot", nil)
	calls := captures(n)
	calls["View"] = func(ctx context.Context) error { return n.View(ctx, func() error { return nil }) }
	for name, call := range calls {
		if err := ended(t, name, func() error { return call(within(t, 50*time.Millisecond)) }); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if err := ended(t, "Stats", func() error { return n.Stats().Err }); err != nil {
		t.Errorf("Stats: %v", err)
	}
	close(release)
	if err := <-backup; err != nil {
		t.Error(err)
	}
	if got := update(t, n, "add x"); got != 2 {
		t.Errorf("the sum is %v", got)
	}
	if s := n.Stats(); s.Sessions != 1 || s.Keys != 0 {
		t.Errorf("there are %d sessions and %d keys", s.Sessions, s.Keys)
	}
}

// ended returns what call returns, which must not take long.
func ended(t *testing.T, what string, call func() error) error {
	t.Helper()
	done := make(chan error, 1)
	go func() { done <- call() }()
	select {
	case err := <-done:
		return err
	case <-time.After(20 * time.Second):
		t.Fatalf("%s has not ended:\n%s", what, stacks())
		return nil
	}
}
