package cluster

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// TestNodesThatJoinDoNotWaitForEachOther opens two nodes that ask each other first, and then
// the one that lets them in.
func TestNodesThatJoinDoNotWaitForEachOther(t *testing.T) {
	noLeaks(t)
	tr := newTrial(t, 3, nil)
	for i, o := range tr.opts {
		o.Members = nil
		if i > 0 {
			o.Join = []string{tr.addrs[3-i], tr.addrs[0]}
		}
	}
	for _, i := range []int{1, 2, 0} {
		tr.start(i)
	}
	voters(t, tr.nodes[0], 3)
	update(t, tr.nodes[2], "add x")
}

// mute returns the address of a node that greets, and does not answer anything.
func mute(t *testing.T) string {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	wg.Go(func() {
		for {
			conn, err := ln.Accept()
			if err != nil {
				return
			}
			wg.Go(func() {
				defer conn.Close()
				if _, err := conn.Read(make([]byte, 1)); err == nil {
					is := newCluster() // of which the node that asks is then, too
					_, _ = conn.Write(appendString(appendIdentity([]byte{helloOK}, is), "dumb"))
					_, _ = io.Copy(io.Discard, conn)
				}
			})
		}
	})
	t.Cleanup(func() {
		_ = ln.Close()
		wg.Wait()
	})
	return ln.Addr().String()
}

func TestANodeThatDoesNotAnswerIsPassedOver(t *testing.T) {
	concurrently(t)
	dumb := mute(t)
	tr := newTrial(t, 2, func(_ int, o *Options) { o.Members = nil })
	tr.opts[1].Join = []string{dumb, tr.addrs[0]}
	var log lines
	tr.opts[1].Logger = slog.New(slog.NewTextHandler(&log, nil))
	tr.start(0)
	tr.start(1)
	voters(t, tr.nodes[0], 2)
	update(t, tr.nodes[1], "add x")
	if got := log.String(); !strings.Contains(got, "not a member yet") || !strings.Contains(got, dumb) {
		t.Errorf("the log does not say what the node waits for:\n%s", got)
	}
}

// lines are what was logged.
type lines struct {
	mu sync.Mutex
	b  strings.Builder
}

func (l *lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lines) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

func TestTheSameIsSaidEverMoreSeldom(t *testing.T) {
	var r reminder
	began := time.Unix(1e9, 0)
	var said []int
	for s := range 3 * 3600 {
		if r.due(began.Add(time.Duration(s)*time.Second), "down") {
			said = append(said, s)
		}
	}
	want := []int{0, 10, 30, 70, 150, 310, 630, 1230, 1830}
	if len(said) != 9+14 || !slices.Equal(said[:9], want) {
		t.Errorf("it was said after %v seconds", said)
	}
	later := began.Add(3*time.Hour - time.Second)
	if !r.due(later, "down in another way") || r.due(later.Add(time.Second), "and in another") || !r.due(later.Add(firstReminder), "and in another") {
		t.Error("what is new is not said, or is said too often")
	}
}

// TestTheSameErrorFromAnotherPortIsTheSame tells of a connection that is made again and again.
func TestTheSameErrorFromAnotherPortIsTheSame(t *testing.T) {
	var r reminder
	now, said := time.Now(), 0
	for i := range 600 {
		if r.due(now.Add(time.Duration(i)*time.Second), fmt.Sprintf("read tcp 127.0.0.1:%d->127.0.0.1:7000: connection reset", 40000+i)) {
			said++
		}
	}
	if said > 8 {
		t.Errorf("within ten minutes it is said %d times", said)
	}
}

// TestTLSOnOneSideOnlyIsHinted greets a node with TLS, and one without.
func TestTLSOnOneSideOnlyIsHinted(t *testing.T) {
	ca, _ := authority(t)
	var log [2]lines
	tr := newTrial(t, 2, func(i int, o *Options) {
		o.Members, o.Logger = nil, slog.New(slog.NewTextHandler(&log[i], nil))
	})
	tr.opts[0].TLS = withTLS(t, ca, "n0")
	tr.opts[1].Join = tr.addrs[:1]
	tr.start(0)
	tr.start(1)
	eventually(t, "the one without TLS is told", func() bool {
		return strings.Contains(log[1].String(), "Options.TLS, which this one does not have")
	})
}

// failingListener fails to accept, until it is closed.
type failingListener struct{ net.Listener }

var errFiles = errors.New("too many open files")

func (failingListener) Accept() (net.Conn, error) { return nil, errFiles }

func TestANodeThatCanNotTakeConnectionsSaysSo(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var log lines
	o := &Options{Logger: slog.New(slog.NewTextHandler(&log, nil))}
	m := newMux(t.Context(), failingListener{ln}, o, &self{id: "a"}, func(net.Conn) {})
	m.wg.Go(m.run)
	eventually(t, "it is said", func() bool { return strings.Contains(log.String(), errFiles.Error()) })
	m.close()
}

// TestACertificateThatCanNotBeLoadedAgainIsReported breaks the file of a certificate.
func TestACertificateThatCanNotBeLoadedAgainIsReported(t *testing.T) {
	var log lines
	was := slog.Default()
	slog.SetDefault(slog.New(slog.NewTextHandler(&log, nil)))
	t.Cleanup(func() { slog.SetDefault(was) })
	file := filepath.Join(t.TempDir(), "cert")
	if err := os.WriteFile(file, []byte("no certificate"), 0o600); err != nil {
		t.Fatal(err)
	}
	k := &keyPair{certFile: file, keyFile: file, loaded: &tls.Certificate{}}
	for range 3 {
		if c, err := k.get(); c != k.loaded || err != nil {
			t.Errorf("the former one is not used: %v", err)
		}
	}
	if got := strings.Count(log.String(), "can't be loaded again"); got != 1 {
		t.Errorf("it is said %d times:\n%s", got, log.String())
	}
}

// TestAMemberFindsOthersWhereTheOnesThatItKnowsWere replaces all members but one, which is away, at
// their addresses, one by one. That one has another address then, and is let in by the others; or
// it was removed, and hears so.
func TestAMemberFindsOthersWhereTheOnesThatItKnowsWere(t *testing.T) {
	concurrently(t)
	tr := startTrial(t, 4, nil)
	adds(t, tr.nodes[0], 1, "a")
	moved, removed := 2, 3
	for _, i := range []int{moved, removed} {
		if err := tr.nodes[i].Sync(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	open := func(id, addr string, join ...string) *Node {
		n, err := Open(filepath.Join(t.TempDir(), id), newLedger(), &Options{ID: id, Listen: addr, Join: join, Heartbeat: 250 * time.Millisecond, Logger: quiet(t)})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = n.Close() })
		return n
	}
	free := freeAddrs(t, 2)
	keep := open("keep", free[0], tr.addrs[:2]...) // the majority has it
	voters(t, keep, 5)
	tr.stop(removed)
	if err := keep.Remove(within(t, time.Minute), tr.opts[removed].ID); err != nil {
		t.Fatal(err)
	}
	tr.stop(moved)
	for i, id := range []string{"e", "f"} {
		if err := keep.Remove(within(t, time.Minute), tr.opts[i].ID); err != nil {
			t.Fatal(err)
		}
		tr.stop(i)
		open(id, tr.addrs[i], free[0])
		voters(t, keep, 4)
	}
	if err := keep.Remove(within(t, time.Minute), "keep"); err != nil { // which is where nobody knows
		t.Fatal(err)
	}
	o := *tr.opts[moved]
	o.Members, o.Listen, o.Join = nil, free[1], tr.addrs[:2]
	tr.opts[moved] = &o
	n := tr.start(moved)
	eventually(t, "the member has told the others its address", n.joined)
	update(t, n, "add a")
	n = tr.start(removed)
	eventually(t, "the other one hears that it was removed", func() bool { return errors.Is(n.Stats().Err, ErrRemoved) })
}

// TestJoinWithAnotherNameOfTheNodeItself opens a node that has begun by mistake, with Join of
// another cluster, and of itself.
func TestJoinWithAnotherNameOfTheNodeItself(t *testing.T) {
	tr := startTrial(t, 2, apart)
	adds(t, tr.nodes[0], 1, "a")
	adds(t, tr.nodes[1], 1, "b")
	tr.stop(1)
	_, port, err := net.SplitHostPort(tr.addrs[1])
	if err != nil {
		t.Fatal(err)
	}
	tr.opts[1].Join = []string{"localhost:" + port, tr.addrs[0]}
	n, err := Open(tr.path(1), newLedger(), tr.opts[1])
	if !errors.Is(err, ErrOtherCluster) {
		t.Errorf("the error is %v", err)
	}
	if err == nil {
		t.Error(n.Close())
	}
}

// A halt is a logger that stands still at a line, the first time.
type halt struct {
	slog.Handler
	at        string
	hit, goOn chan struct{}
	once      sync.Once
	release   func()
}

func newHalt(t *testing.T, at string) *halt {
	h := &halt{Handler: quiet(t).Handler(), at: at, hit: make(chan struct{}), goOn: make(chan struct{})}
	h.release = sync.OnceFunc(func() { close(h.goOn) })
	return h
}

func (h *halt) Enabled(context.Context, slog.Level) bool { return true }

func (h *halt) Handle(ctx context.Context, r slog.Record) error {
	if strings.Contains(r.Message, h.at) {
		h.once.Do(func() { close(h.hit); <-h.goOn })
	}
	if h.Handler.Enabled(ctx, r.Level) {
		return h.Handler.Handle(ctx, r)
	}
	return nil
}

// TestANodeAsksThoseThatItsLogHas opens a node with the address of one member, which is gone for
// good before the node has its vote; and again, at another address.
func TestANodeAsksThoseThatItsLogHas(t *testing.T) {
	concurrently(t)
	h := newHalt(t, "this node was let in")
	tr := newTrial(t, 4, func(i int, o *Options) {
		if i == 3 {
			o.Logger = slog.New(h)
		}
	})
	t.Cleanup(h.release) // before the nodes are closed
	joining(tr)
	tr.opts[3].Join = tr.addrs[:1]
	for i := range 3 {
		tr.start(i)
		voters(t, tr.nodes[0], i+1)
	}
	for tr.leader() != 0 {
		if err := tr.nodes[0].Transfer(within(t, time.Minute)); err != nil {
			t.Fatal(err)
		}
	}
	n := tr.start(3)
	<-h.hit
	tr.crash(0)
	h.release()
	voters(t, tr.nodes[1], 4)
	eventually(t, "the node knows that it has its vote", n.joined)
	if err := n.Remove(within(t, time.Minute), "n0"); err != nil {
		t.Fatal(err)
	}
	if err := n.Sync(within(t, time.Minute)); err != nil {
		t.Fatal(err)
	}
	tr.stop(3)
	tr.opts[3].Listen = freeAddrs(t, 1)[0]
	n = tr.start(3)
	eventually(t, "the member has told the others its address", n.joined)
	update(t, n, "add a")
}

// halfIn makes a cluster of two nodes, and has a third one join, which was let in and gets no vote:
// the leader has died meanwhile. The third node is down.
func halfIn(t *testing.T) *trial {
	t.Helper()
	h := newHalt(t, "this node was let in")
	var alone atomic.Bool
	tr := newTrial(t, 3, func(i int, o *Options) {
		if i == 2 {
			o.Logger = slog.New(h)
			o.hooks.connect = func(kind byte, addr string) error {
				if kind == connPeer && addr != "" && alone.Load() {
					return errRefused
				}
				return nil
			}
		}
	})
	t.Cleanup(h.release) // before the nodes are closed
	joining(tr)
	for i := range 2 {
		tr.start(i)
		voters(t, tr.nodes[0], i+1)
	}
	tr.start(2)
	<-h.hit
	alone.Store(true)
	lead := tr.leader()
	tr.crash(lead)
	h.release()
	tr.crash(2)
	tr.start(lead)
	alone.Store(false)
	if vs, err := tr.nodes[tr.leader()].voters(); err != nil || len(vs) != 2 {
		t.Fatalf("the voters are %v, %v: this tests nothing", vs, err)
	}
	return tr
}

// TestANodeThatWasLetInGetsItsVoteWithoutJoin opens a node without Join that has no vote yet.
func TestANodeThatWasLetInGetsItsVoteWithoutJoin(t *testing.T) {
	tr := halfIn(t)
	tr.opts[2].Join = nil
	n := tr.start(2)
	eventually(t, "the node has its vote", n.joined)
	update(t, n, "add a")
}

// TestANodeThatWasRemovedBeforeItHadItsVoteSaysSo removes it while it is down, and opens it as always.
func TestANodeThatWasRemovedBeforeItHadItsVoteSaysSo(t *testing.T) {
	concurrently(t)
	tr := halfIn(t)
	keep := tr.nodes[tr.leader()]
	if err := keep.Remove(within(t, time.Minute), tr.opts[2].ID); err != nil {
		t.Fatal(err)
	}
	n := tr.start(2)
	eventually(t, "the node hears that it was removed, or is a member again", func() bool {
		return errors.Is(n.Stats().Err, ErrRemoved) || n.joined()
	})
	if conf, _, err := keep.settledMembers(); err != nil || len(conf.Servers) != 2 {
		t.Errorf("the members are %v, %v", conf.Servers, err)
	}
}

// A crossing is an address that leads to another one of several nodes at each connection, up to the last.
type crossing struct {
	mu   sync.Mutex
	next []string
}

func (c *crossing) leadTo(addrs ...string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.next = addrs
}

func (c *crossing) take() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	addr := c.next[0]
	c.next = c.next[min(1, len(c.next)-1):]
	return addr
}

// run passes connections on until the test ends.
func (c *crossing) run(t *testing.T) (addr string) {
	ln := listens(t)
	var wg sync.WaitGroup
	wg.Go(func() {
		for {
			from, err := ln.Accept()
			if err != nil {
				return
			}
			to, err := net.Dial("tcp", c.take())
			if err != nil {
				_ = from.Close()
				continue
			}
			for _, way := range [][2]net.Conn{{from, to}, {to, from}} {
				wg.Go(func() {
					_, _ = io.Copy(way[0], way[1])
					_ = errors.Join(from.Close(), to.Close())
				})
			}
		}
	})
	t.Cleanup(wg.Wait)
	t.Cleanup(func() { _ = ln.Close() })
	return ln.Addr().String()
}

// TestAnAddressOfSeveralNodesIsDialedAnew has a node join, be rebuilt, and move, by an address that leads
// to a node first which was removed, and knows of no leader.
func TestAnAddressOfSeveralNodesIsDialedAnew(t *testing.T) {
	concurrently(t)
	var c crossing
	addr := c.run(t) // until the nodes are closed
	tr := newTrial(t, 4, nil)
	joining(tr)
	tr.opts[3].Join = []string{addr}
	for i := range 3 {
		tr.start(i)
		voters(t, tr.nodes[0], i+1)
	}
	if err := tr.nodes[0].Remove(within(t, time.Minute), tr.opts[1].ID); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the node knows that it was removed", func() bool { return errors.Is(tr.nodes[1].Stats().Err, ErrRemoved) })
	first := func() { c.leadTo(tr.addrs[1], tr.addrs[0]) }
	first()
	tr.start(3)
	voters(t, tr.nodes[0], 3)
	tr.stop(3)
	first()
	if _, err := Rejoin(within(t, time.Minute), tr.path(3), tr.opts[3]); err != nil {
		t.Fatal(err)
	}
	first()
	tr.start(3)
	voters(t, tr.nodes[0], 3)
	update(t, tr.nodes[3], "add x")
}

// TestTheAddressOfANodeItselfIsPassedOver calls whichever other node is at an address, which is this one.
func TestTheAddressOfANodeItselfIsPassedOver(t *testing.T) {
	for _, listen := range []string{"127.0.0.1:0", ":0"} {
		ln, err := net.Listen("tcp", listen)
		if err != nil {
			t.Fatal(err)
		}
		m := newMux(t.Context(), ln, &Options{Logger: quiet(t)}, &self{id: "a"}, func(net.Conn) {})
		t.Cleanup(m.close)
		_, port, err := net.SplitHostPort(ln.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		for _, addr := range []string{"localhost:" + port, "127.0.0.1:" + port} {
			if _, err := m.dialTo(t.Context(), connPeer, addr, ""); !errors.Is(err, errItself) {
				t.Errorf("%s calls %s: %v", listen, addr, err)
			}
		}
		for _, other := range []string{listens(t).Addr().String(), "198.51.100.1:" + port, "name:" + port} {
			if leadsTo(other, ln.Addr()) {
				t.Errorf("%s takes %s for itself", listen, other)
			}
		}
	}
}
