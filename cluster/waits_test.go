package cluster

import (
	"context"
	"errors"
	"log/slog"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stateio/stateio/store"
)

func TestWithoutAMajorityCallsEndWithTheirContext(t *testing.T) {
	noLeaks(t)
	tr := startTrial(t, 3, nil)
	update(t, tr.nodes[0], "add x")
	tr.crash(1)
	tr.crash(2)
	eventually(t, "the node that is left knows of no leader", func() bool { return tr.nodes[0].leader.Load() == nil })
	n := tr.nodes[0]
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	_, err := n.Update(ctx, []byte("add x"))
	if !errors.Is(err, ErrNoQuorum) || !errors.Is(err, context.DeadlineExceeded) || errors.Is(err, store.ErrUnknown) {
		t.Errorf("an update that was not sent: %v", err)
	}
	if err := n.View(ctx, func() error { return nil }); !errors.Is(err, ErrNoQuorum) || !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("a read: %v", err)
	}
	if err := n.Remove(ctx, "n1"); !errors.Is(err, ErrNoQuorum) {
		t.Errorf("a change of members: %v", err)
	}
	if err := n.ViewLocal(func() error {
		if tr.machines[0].Sums["x"] != 1 {
			return errors.New("the state is not there")
		}
		return nil
	}); err != nil {
		t.Errorf("a local read: %v", err)
	}
	tr.start(1)
	if got := update(t, n, "add x"); got != 2 {
		t.Errorf("the sum is %v: an update that was not made was made", got)
	}
}

func TestAnUpdateThatWasSentAndNotAnsweredIsUnknown(t *testing.T) {
	concurrently(t)
	tr := startTrial(t, 3, nil)
	lead := tr.leader()
	update(t, tr.nodes[lead], "add x")
	for i := range tr.nodes {
		if i != lead {
			tr.crash(i)
		}
	}
	// The leader does not know yet that it is alone.
	ctx, cancel := context.WithTimeout(t.Context(), 500*time.Millisecond)
	defer cancel()
	_, err := tr.nodes[lead].Update(ctx, []byte("add x"))
	if err == nil || !errors.Is(err, context.DeadlineExceeded) {
		t.Fatalf("an update without a majority: %v", err)
	}
	sent := errors.Is(err, store.ErrUnknown)
	tr.start((lead + 1) % 3)
	got := update(t, tr.nodes[lead], "add x").(int)
	if got != 2 && (!sent || got != 3) {
		t.Errorf("the sum is %d after one update, one with the error %v, and one", got, err)
	}
}

// TestCloseEndsAllCalls closes a leader, and then the others, under load: raft
// leaves futures unanswered then (its issue 498).
func TestCloseEndsAllCalls(t *testing.T) {
	noLeaks(t)
	tr := startTrial(t, 3, nil)
	lead := tr.leader()
	update(t, tr.nodes[lead], "add x")
	var wg sync.WaitGroup
	var acked, lost atomic.Int64
	for i := range 64 {
		wg.Go(func() {
			n := tr.nodes[i%3]
			for {
				_, err := n.Update(context.Background(), []byte("add x"))
				switch {
				case err == nil:
					acked.Add(1)
				case errors.Is(err, store.ErrUnknown):
					lost.Add(1)
				case errors.Is(err, store.ErrClosed):
					return
				default:
					t.Errorf("an update on a node that is closed: %v", err)
					return
				}
				if i%8 == 0 {
					_ = n.View(context.Background(), func() error { return nil }) // it ends, is all that matters
				}
			}
		})
	}
	eventually(t, "updates flow", func() bool { return acked.Load() > 500 })
	for _, i := range []int{lead, (lead + 1) % 3, (lead + 2) % 3} {
		n := tr.nodes[i]
		if err := n.Close(); err != nil {
			t.Errorf("node %d: %v", i, err)
		}
	}
	wg.Wait()
	for i := range tr.nodes {
		tr.nodes[i] = nil
		tr.start(i)
	}
	got := int64(sum(t, tr, 0, "x"))
	if got < acked.Load()+1 || got > acked.Load()+1+lost.Load() {
		t.Errorf("the sum is %d after %d acknowledged and %d unknown updates", got, acked.Load()+1, lost.Load())
	}
}

func TestAFullOutboxMakesUpdatesWait(t *testing.T) {
	tr := startTrial(t, 3, func(_ int, o *Options) { o.MaxPending = 1000 })
	tr.crash(1)
	tr.crash(2)
	n := tr.nodes[0]
	eventually(t, "the node that is left knows of no leader", func() bool { return n.leader.Load() == nil })
	var tickets []*Ticket
	for range 10 {
		ticket, err := n.Submit(append([]byte("add x "), make([]byte, 60)...))
		if err != nil {
			t.Fatal(err)
		}
		tickets = append(tickets, ticket)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if _, err := n.Update(ctx, make([]byte, 1000)); !errors.Is(err, context.DeadlineExceeded) || !errors.Is(err, ErrNoQuorum) || errors.Is(err, store.ErrUnknown) {
		t.Errorf("an update for which there is no room: %v", err)
	}
	if _, err := n.Update(ctx, make([]byte, 4<<20+1)); !errors.Is(err, ErrTooLarge) || !errors.Is(err, store.ErrTooLarge) {
		t.Errorf("an update that is too large: %v", err)
	}
	tr.start(1)
	for i, ticket := range tickets {
		if err := ticket.Wait(t.Context()); err != nil || ticket.Result() != i+1 {
			t.Errorf("submitted update %d: %v, %v", i+1, ticket.Result(), err)
		}
	}
}

// TestALargeUpdateIsNotOvertaken: small ones would take all the room that it waits for.
func TestALargeUpdateIsNotOvertaken(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := newOutbox(1000, func() *leader { return nil }, nil)
		var order []string
		put := func(ctx context.Context, name string, size int) {
			go func() {
				_, err := o.put(ctx, nil, make([]byte, size))
				if err != nil {
					name = "not " + name
				}
				o.mu.Lock()
				defer o.mu.Unlock()
				order = append(order, name)
			}()
			synctest.Wait()
		}
		applied := func(seq uint64) {
			o.deliver([]delivery{{seq: seq}})
			synctest.Wait()
		}
		impatient, leave := context.WithCancel(t.Context())
		put(t.Context(), "first", 400)
		put(t.Context(), "second", 400)
		put(impatient, "impatient", 5000)
		put(t.Context(), "large", 5000)
		put(t.Context(), "third", 400)
		put(t.Context(), "fourth", 400)
		applied(1)
		put(t.Context(), "late", 400) // for which there would be room
		leave()
		synctest.Wait()
		applied(2)
		applied(3)
		applied(4)
		if want := []string{"first", "second", "not impatient", "large", "third", "fourth", "late"}; !slices.Equal(order, want) {
			t.Errorf("the order is %q, want %q", order, want)
		}
		if len(o.turns) > 0 {
			t.Errorf("%d calls wait for their turns", len(o.turns))
		}
	})
}

// TestCallsThatWaitEndWhenTheNodeFails: nobody has closed it.
func TestCallsThatWaitEndWhenTheNodeFails(t *testing.T) {
	noLeaks(t)
	tr := startTrial(t, 1, func(_ int, o *Options) { o.MaxPending = 100 })
	n := tr.nodes[0]
	update(t, n, "add x")
	n.prop.hold(t.Context(), time.Minute) // nothing gets into the log
	if _, err := n.Submit(make([]byte, 100)); err != nil {
		t.Fatal(err)
	}
	n.reads.find = func() (uint64, error) { return 1 << 40, nil } // which is not applied soon
	calls := map[string]func() error{
		"Update": func() error { _, err := n.Update(context.Background(), make([]byte, 100)); return err },
		"Submit": func() error { _, err := n.Submit(make([]byte, 100)); return err },
		"Sync":   func() error { return n.Sync(context.Background()) },
	}
	type end struct {
		call string
		err  error
	}
	ends := make(chan end)
	for name, call := range calls {
		go func() { ends <- end{name, call()} }()
	}
	eventually(t, "all wait", func() bool {
		n.out.mu.Lock()
		defer n.out.mu.Unlock()
		n.fsm.mu.Lock()
		defer n.fsm.mu.Unlock()
		return len(n.out.turns) == 2 && len(n.fsm.waits) == 1
	})
	n.fail(errors.New("files are gone"))
	for range calls {
		if e := <-ends; !errors.Is(e.err, store.ErrFailed) || errors.Is(e.err, store.ErrClosed) || errors.Is(e.err, store.ErrUnknown) {
			t.Errorf("%s: %v", e.call, e.err)
		}
	}
	tr.nodes[0] = nil
	if err := n.Close(); !errors.Is(err, store.ErrFailed) {
		t.Error(err)
	}
}

// TestALargeUpdateIsMade makes updates as large as they may be, on a follower.
func TestALargeUpdateIsMade(t *testing.T) {
	concurrently(t)
	tr := startTrial(t, 3, func(_ int, o *Options) { o.Heartbeat = 500 * time.Millisecond })
	n := tr.nodes[tr.follower()]
	value := strings.Repeat("x", defaultMaxUpdate-6)
	update(t, n, "set x "+value)
	if got := update(t, n, "set x y"); got != value {
		t.Errorf("the value has %d bytes", len(got.(string)))
	}
	equalStates(t, tr)
}

// TestALeaderWithAHangingDiskIsReplaced: raft would let it lead on (its issues 503
// and 666).
func TestALeaderWithAHangingDiskIsReplaced(t *testing.T) {
	t.Run("soon", func(t *testing.T) {
		concurrently(t)
		leaderHangs(t, func(o *Options) { o.StallTimeout = 500 * time.Millisecond })
	})
	t.Run("with the default timeouts", func(t *testing.T) {
		if testing.Short() {
			t.Skip("it takes the two seconds after which a disk hangs, and more")
		}
		concurrently(t)
		leaderHangs(t, func(o *Options) { o.Heartbeat = 0 })
	})
}

// leaderHangs has the disk of a leader hang, and tells how long updates had to wait.
func leaderHangs(t *testing.T, change func(o *Options)) {
	t.Helper()
	var hangs [3]atomic.Pointer[chan struct{}]
	tr := startTrial(t, 3, func(i int, o *Options) {
		change(o)
		o.hooks.store = func() error {
			if c := hangs[i].Load(); c != nil {
				<-*c
			}
			return nil
		}
	})
	lead := tr.leader()
	other := tr.nodes[(lead+1)%3]
	update(t, other, "add x")
	hang := make(chan struct{})
	hangs[lead].Store(&hang)
	began := time.Now()
	if got := update(t, other, "add x"); got != 2 {
		t.Errorf("the sum is %v", got)
	}
	took := time.Since(began)
	t.Logf("updates went on %v after the disk hung, of which the watchdog took %v", took, tr.nodes[lead].opts.StallTimeout)
	if took > 30*time.Second { // of which elections and their writes may take most, on a busy machine
		t.Errorf("updates went on only after %v", took)
	}
	eventually(t, "the node knows that its disk hangs", func() bool { return tr.nodes[lead].stalled.Load() })
	if _, err := tr.nodes[lead].Update(t.Context(), []byte("add x")); !errors.Is(err, ErrStalled) {
		t.Errorf("an update on a node whose disk hangs: %v", err)
	}
	hangs[lead].Store(nil)
	close(hang)
	eventually(t, "the node goes on", func() bool { return !tr.nodes[lead].stalled.Load() })
	if got := update(t, tr.nodes[lead], "add x"); got != 3 {
		t.Errorf("the sum is %v", got)
	}
	equalStates(t, tr)
}

func TestCloseDoesNotWaitForADiskThatHangs(t *testing.T) {
	noLeaks(t)
	hang, hangs := make(chan struct{}), atomic.Bool{}
	tr := startTrial(t, 1, func(_ int, o *Options) {
		o.hooks.patience = 100 * time.Millisecond
		o.hooks.store = func() error {
			if hangs.Load() {
				<-hang
			}
			return nil
		}
	})
	n := tr.nodes[0]
	update(t, n, "add x")
	hangs.Store(true)
	ticket, err := n.Submit([]byte("add x"))
	if err != nil {
		t.Fatal(err)
	}
	eventually(t, "the log is being written", func() bool { return n.logs.stuck() > 0 })
	if err := n.Close(); !errors.Is(err, ErrStalled) {
		t.Errorf("closing a node whose disk hangs: %v", err)
	}
	if err := ticket.Wait(t.Context()); !errors.Is(err, store.ErrUnknown) || !errors.Is(err, store.ErrClosed) {
		t.Errorf("the update on its way: %v", err)
	}
	if _, err := Open(tr.path(0), newLedger(), tr.opts[0]); !errors.Is(err, store.ErrLocked) {
		t.Errorf("the directory is opened again while the log is open: %v", err)
	}
	hangs.Store(false)
	close(hang)
	eventually(t, "the directory is let go of", func() bool {
		n, err := Open(tr.path(0), newLedger(), tr.opts[0])
		if err == nil {
			tr.nodes[0] = n
		}
		return err == nil
	})
}

// TestCloseWaitsForWhatWasSubmitted, as a Keeper does.
func TestCloseWaitsForWhatWasSubmitted(t *testing.T) {
	var gate atomic.Pointer[chan struct{}]
	tr := startTrial(t, 1, func(_ int, o *Options) {
		o.hooks.store = func() error {
			if c := gate.Load(); c != nil {
				<-*c
			}
			return nil
		}
	})
	n := tr.nodes[0]
	update(t, n, "add x")
	shut := make(chan struct{})
	gate.Store(&shut)
	for range 200 {
		if _, err := n.Submit(append([]byte("add x "), make([]byte, 10000)...)); err != nil {
			t.Fatal(err)
		}
	}
	closed := make(chan error)
	go func() { closed <- n.Close() }()
	eventually(t, "the node is being closed", n.closing.Load)
	gate.Store(nil)
	close(shut)
	if err := <-closed; err != nil {
		t.Error(err)
	}
	tr.start(0)
	if got := sum(t, tr, 0, "x"); got != 201 {
		t.Errorf("the sum is %d after 201 updates", got)
	}
}

// TestATermThatComesDuringCloseIsNotWaitedFor: a heartbeat with a new term may still be
// handled when the log is closed, and would try to write the term for ever.
func TestATermThatComesDuringCloseIsNotWaitedFor(t *testing.T) {
	tr := startTrial(t, 1, nil)
	n := tr.nodes[0]
	update(t, n, "add x")
	term := n.raft.CurrentTerm()
	if err := n.Close(); err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() { done <- n.logs.SetUint64([]byte("CurrentTerm"), term+1) }()
	select {
	case err := <-done: // raft panics at an error
		if err != nil {
			t.Error(err)
		}
	case <-time.After(10 * time.Second):
		t.Fatal("the term is waited for")
	}
}

// TestANodeGoesOnAfterErrorsOfItsDisk: with pipelining, raft stops sending to a
// follower for good (its issue 612). A leader gives way.
func TestANodeGoesOnAfterErrorsOfItsDisk(t *testing.T) {
	concurrently(t)
	var fails [3]atomic.Int64
	tr := startTrial(t, 3, func(i int, o *Options) {
		o.hooks.store = func() error {
			if fails[i].Load() > 0 {
				fails[i].Add(-1)
				return errors.New("an error of the disk")
			}
			return nil
		}
	})
	ctx, cancel := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	for i := range 9 {
		wg.Go(func() {
			for ctx.Err() == nil {
				_, _ = tr.nodes[i%3].Update(ctx, []byte("add x")) // the states are compared below
			}
		})
	}
	for i := range 12 {
		n := tr.nodes[i%3]
		if i%2 == 0 {
			n = tr.nodes[tr.leader()]
		}
		k := slices.Index(tr.nodes, n)
		fails[k].Store(2)
		was := n.fsm.applied.Load()
		eventually(t, "the node has met its errors, and applies updates", func() bool {
			return fails[k].Load() == 0 && n.fsm.applied.Load() > was+20
		})
	}
	cancel()
	wg.Wait()
	equalStates(t, tr)
}

// TestAFullDiskIsNamed has a node that is alone find no room for its log.
func TestAFullDiskIsNamed(t *testing.T) {
	concurrently(t)
	errFull := errors.New("no space left on the disk")
	var full atomic.Bool
	var log lines
	tr := startTrial(t, 1, func(_ int, o *Options) {
		o.Logger = slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelWarn}))
		o.hooks.store = func() error {
			if full.Load() {
				return errFull
			}
			return nil
		}
	})
	n := tr.nodes[0]
	update(t, n, "add x")
	full.Store(true)
	for range 3 {
		_, err := n.Update(within(t, time.Second), []byte("add x"))
		if !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), "can't be written: ") || !errors.Is(err, errFull) {
			t.Errorf("the error of Update is %v", err)
		}
	}
	if err := n.Stats().Err; !errors.Is(err, errFull) {
		t.Errorf("the error of Stats is %v", err)
	}
	if got := strings.Count(log.String(), "can't be written"); got < 1 || got > 4 {
		t.Errorf("it was said %d times:\n%s", got, log.String())
	}
	full.Store(false)
	eventually(t, "the log can be written", func() bool { return n.Stats().Err == nil })
	update(t, n, "add x")
}

// TestEntriesThatCanNotBeWrittenAreNamedWhileVotesCanBe: a node that is alone is elected again
// and again, and writes its vote each time.
func TestEntriesThatCanNotBeWrittenAreNamedWhileVotesCanBe(t *testing.T) {
	concurrently(t)
	errInput := errors.New("input/output error")
	var bad atomic.Bool
	var log lines
	tr := startTrial(t, 1, func(_ int, o *Options) {
		o.Logger = slog.New(slog.NewTextHandler(&log, nil))
		o.hooks.store = func() error {
			if bad.Load() && strings.Contains(string(ownStack()), ".StoreLogs(") {
				return errInput
			}
			return nil
		}
	})
	n := tr.nodes[0]
	update(t, n, "add x")
	term := n.raft.CurrentTerm()
	bad.Store(true)
	ticket, err := n.Submit([]byte("add x"))
	if err != nil {
		t.Fatal(err)
	}
	eventually(t, "the node knows that its log can't be written", func() bool { return n.Stats().Err != nil })
	eventually(t, "it has voted for itself again", func() bool {
		if err := n.Stats().Err; !errors.Is(err, errInput) {
			t.Fatalf("the error of Stats is %v", err)
		}
		return n.raft.CurrentTerm() > term+2
	})
	if strings.Contains(log.String(), "can be written again") {
		t.Errorf("no entry was written:\n%s", log.String())
	}
	bad.Store(false)
	if err := ticket.Wait(within(t, time.Minute)); err != nil {
		t.Error(err)
	}
	if err := n.Stats().Err; err != nil || !strings.Contains(log.String(), "can be written again") {
		t.Errorf("then it can be written: %v\n%s", err, log.String())
	}
}

// ownStack is the stack of this goroutine.
func ownStack() []byte {
	buf := make([]byte, 64<<10)
	return buf[:runtime.Stack(buf, false)]
}

// TestWhatIsRefusedIsKnownByPart: what can be written says nothing of what else can.
func TestWhatIsRefusedIsKnownByPart(t *testing.T) {
	errDisk := errors.New("an error of the disk")
	for _, c := range []struct{ refused, wrote, still written }{
		{inEntries, inVotes, inEntries},
		{inEntries, inDeletions, inEntries},
		{inVotes, inEntries, inVotes},
		{inOpening, inVotes, inOpening},
		{inEntries, inEntries, writtenParts},
		{inDeletions, inEntries, writtenParts},
		{inVotes, inVotes, writtenParts},
		{inOpening, inOpening, writtenParts},
	} {
		var d diskRefusal
		var log lines
		to := slog.New(slog.NewTextHandler(&log, nil))
		d.refused(to, c.refused, errDisk)
		if !errors.Is(d.err(), errDisk) {
			t.Errorf("part %d was refused: %v", c.refused, d.err())
		}
		d.wrote(to, c.wrote)
		again := strings.Contains(log.String(), "can be written again")
		if refused := d.err() != nil; refused != (c.still != writtenParts) || again == refused {
			t.Errorf("part %d was refused, and part %d was written: %v, and the log says:\n%s", c.refused, c.wrote, d.err(), log.String())
		}
	}
}
