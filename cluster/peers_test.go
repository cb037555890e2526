package cluster

import (
	"bufio"
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// far is the other end of the links of a node. Which of its functions serves a link goes by how
// many there were before.
type far struct {
	*peers
	dialed atomic.Int32
}

func newFar(t *testing.T, serve ...func(net.Conn)) *far {
	f := &far{}
	f.peers = newPeers(t.Context(), func(context.Context, string) (net.Conn, error) {
		here, there := net.Pipe()
		go func() {
			defer there.Close()
			serve[f.dialed.Add(1)-1](there)
		}()
		return here, nil
	})
	done := make(chan struct{})
	go func() {
		tick := time.NewTicker(defaultHeartbeat / 4)
		defer tick.Stop()
		for {
			select {
			case <-done:
				return
			case <-tick.C:
				f.dropSilent(time.Now(), lateAfter)
			}
		}
	}()
	t.Cleanup(func() { close(done); f.close() })
	return f
}

// dead takes what comes, and answers nothing, as a connection does that is lost on the way.
func dead(conn net.Conn) { _, _ = io.Copy(io.Discard, conn) }

// answering has take called with each frame, and how to answer it.
func answering(take func(kind byte, answer func())) func(net.Conn) {
	return func(conn net.Conn) {
		l := newLink()
		_ = l.start(conn)
		go l.write(conn)
		defer l.end(errGone)
		r := bufio.NewReader(conn)
		for {
			kind, id, _, err := readFrame(r)
			if err != nil {
				return
			}
			take(kind, func() { l.send(frameAnswer, id, nil, nil) })
		}
	}
}

// atOnce is a node that has nothing else to do.
func atOnce(_ byte, answer func()) { answer() }

// slowly takes some time for each frame, and answers those of the kind frameTerm at once, and the
// others much later.
func slowly(each, much time.Duration) func(byte, func()) {
	return func(kind byte, answer func()) {
		if kind == frameTerm {
			answer()
			return
		}
		time.Sleep(each)
		time.AfterFunc(much, answer)
	}
}

// inTurn answers one frame after the other, and those of the kind frameTerm last.
func inTurn(each time.Duration) func(byte, func()) {
	var wait time.Duration
	return func(kind byte, answer func()) {
		if kind == frameTerm {
			time.AfterFunc(time.Minute, answer)
			return
		}
		wait += each
		time.AfterFunc(wait, answer)
	}
}

// TestALinkOnWhichNothingComesIsGivenUp asks by a connection that is dead, and nobody says so, and
// asks again when that takes too long.
func TestALinkOnWhichNothingComesIsGivenUp(t *testing.T) {
	for name, kind := range map[string]byte{
		"for the term": frameTerm, "for a read index": frameReadIndex, "for a change": frameAsk, "for updates": frameForward,
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := newFar(t, dead, answering(atOnce))
				began := time.Now()
				for err := errGone; err != nil && time.Since(began) < time.Minute; {
					ctx, cancel := context.WithTimeout(t.Context(), time.Second)
					_, err = f.call(ctx, "b", kind, nil)
					cancel()
				}
				if took := time.Since(began); took > lateAfter+2*time.Second {
					t.Errorf("there was an answer after %v", took)
				}
			})
		})
	}
}

// TestWhoeverWaitsOnADeadLinkIsTold asks once, and waits.
func TestWhoeverWaitsOnADeadLinkIsTold(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFar(t, dead)
		if _, err := f.call(within(t, time.Hour), "b", frameAsk, nil); !errors.Is(err, errGone) {
			t.Errorf("the error is %v", err)
		}
	})
}

// TestALinkOfANodeThatTakesItsTimeIsKept waits for a change of members that takes long, for updates
// of which each is answered late, and for large ones on a slow link.
func TestALinkOfANodeThatTakesItsTimeIsKept(t *testing.T) {
	for name, c := range map[string]struct {
		take        func(byte, func())
		size, times int
	}{
		"a change of members": {slowly(0, 10*time.Minute), 0, 1},
		"many updates":        {inTurn(time.Second), 0, 20},
		"large updates":       {slowly(time.Second, time.Minute), maxMaxUpdate, 6},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := newFar(t, answering(c.take))
				answers := make(chan error, c.times)
				payload := make([]byte, c.size)
				for range c.times {
					f.send("b", frameAsk, payload, func(_ []byte, err error) { answers <- err })
				}
				for range c.times {
					if err := <-answers; err != nil {
						t.Fatal(err)
					}
				}
			})
		})
	}
}

// TestANodeGivesUpLinksOnWhichNothingComes makes a link of a node look as if it were dead.
func TestANodeGivesUpLinksOnWhichNothingComes(t *testing.T) {
	tr := startTrial(t, 2, nil)
	lead, other := tr.leader(), tr.follower()
	n := tr.nodes[other]
	update(t, n, "add x")
	n.peers.mu.Lock()
	l := n.peers.links[tr.addrs[lead]]
	n.peers.mu.Unlock()
	if l == nil {
		t.Fatal("there is no link to the leader")
	}
	eventually(t, "the link is given up", func() bool {
		l.mu.Lock()
		defer l.mu.Unlock()
		if l.err != nil {
			return errors.Is(l.err, errSilent)
		}
		long := time.Now().Add(-time.Hour)
		l.heard, l.pending[0] = long, request{kind: frameTerm, sent: long, done: func([]byte, error) {}}
		return false
	})
	update(t, n, "add x")
}

// TestAMemberThatCanNotReachTheLeaderSaysSo has a node hear the leader, and not reach it.
func TestAMemberThatCanNotReachTheLeaderSaysSo(t *testing.T) {
	concurrently(t)
	var deaf atomic.Bool
	var log lines
	tr := startTrial(t, 3, func(i int, o *Options) {
		o.Heartbeat = time.Second // the leader stays
		o.hooks.connect = func(kind byte, addr string) error {
			if deaf.Load() && i == 0 && kind == connPeer && addr != "" {
				return &net.OpError{Op: "dial", Err: errRefused}
			}
			return nil
		}
		if i == 0 {
			o.Logger = slog.New(slog.NewTextHandler(&log, nil))
		}
	})
	n := tr.nodes[0]
	for tr.leader() == 0 {
		if err := n.Transfer(within(t, time.Minute)); err != nil {
			t.Fatal(err)
		}
	}
	update(t, n, "add x")
	deaf.Store(true)
	for _, addr := range tr.addrs {
		n.peers.drop(addr)
	}
	for what, call := range map[string]func(ctx context.Context) error{
		"Update": func(ctx context.Context) error { _, err := n.Update(ctx, []byte("add x")); return err },
		"Sync":   n.Sync,
		"Remove": func(ctx context.Context) error { return n.Remove(ctx, "nobody") },
	} {
		var err error
		eventually(t, what+" says why it waits", func() bool {
			ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
			defer cancel()
			err = call(ctx)
			return err != nil && strings.Contains(err.Error(), "can't reach the leader") && strings.Contains(err.Error(), errRefused.Error())
		})
		if !errors.Is(err, ErrNoQuorum) || !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("%s: %v", what, err)
		}
	}
	eventually(t, "the log says so", func() bool { return strings.Contains(log.String(), "can't reach it") })
	deaf.Store(false)
	update(t, n, "add x")
	if _, failed := n.peers.failure(n.leader.Load().addr); failed {
		t.Error("the failure is kept")
	}
}
