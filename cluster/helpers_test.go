package cluster

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"math/rand/v2"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

var errRefused = errors.New("refused by the machine")

// A ledger is the machine of these tests: registers and counters by name. Its
// updates are "set NAME VALUE", which returns the former value, "add NAME", which
// returns the sum, and "refuse".
type ledger struct {
	Values map[string]string
	Sums   map[string]int
}

func newLedger() *ledger { return &ledger{Values: map[string]string{}, Sums: map[string]int{}} }

func (l *ledger) Apply(update []byte) (any, error) {
	f := strings.SplitN(string(update), " ", 3)
	switch {
	case f[0] == "set" && len(f) == 3:
		was := l.Values[f[1]]
		l.Values[f[1]] = f[2]
		return was, nil
	case f[0] == "add" && len(f) >= 2:
		l.Sums[f[1]]++
		return l.Sums[f[1]], nil
	}
	return nil, errRefused
}

func (l *ledger) Snapshot() (io.WriterTo, error) {
	c := &ledger{Values: maps.Clone(l.Values), Sums: maps.Clone(l.Sums)}
	return writerTo(func(w io.Writer) error { return json.NewEncoder(w).Encode(c) }), nil
}

func (l *ledger) Restore(r io.Reader) error {
	c := newLedger()
	if err := json.NewDecoder(r).Decode(c); err != nil {
		return err
	}
	l.Values, l.Sums = c.Values, c.Sums
	return nil
}

type writerTo func(io.Writer) error

func (f writerTo) WriteTo(w io.Writer) (int64, error) {
	c := &countingWriter{w: w}
	err := f(c)
	return c.n, err
}

type countingWriter struct {
	w io.Writer
	n int64
}

func (c *countingWriter) Write(p []byte) (int, error) {
	n, err := c.w.Write(p)
	c.n += int64(n)
	return n, err
}

// A trial is a cluster in this process.
type trial struct {
	t     testing.TB
	dir   string
	addrs []string
	opts  []*Options

	mu       sync.Mutex
	nodes    []*Node
	machines []*ledger

	open func(i int) (*Node, error) // with another machine; nil: with a ledger
}

// newTrial prepares a cluster of n nodes, which begins with all of them.
func newTrial(t testing.TB, n int, change func(i int, o *Options)) *trial {
	t.Helper()
	tr := &trial{t: t, dir: t.TempDir(), addrs: freeAddrs(t, n), opts: make([]*Options, n), nodes: make([]*Node, n), machines: make([]*ledger, n)}
	var members []Member
	for i, a := range tr.addrs {
		members = append(members, Member{fmt.Sprintf("n%d", i), a})
	}
	for i := range n {
		tr.opts[i] = &Options{
			ID: members[i].ID, Listen: members[i].Addr, Members: members, Heartbeat: 250 * time.Millisecond,
			Logger: quiet(t),
		}
		if change != nil {
			change(i, tr.opts[i])
		}
	}
	t.Cleanup(tr.close)
	return tr
}

// steady has whoever leads stay the leader, also on a busy machine, unless the test ends that.
func steady(_ int, o *Options) { o.Heartbeat = time.Second }

// startTrial is newTrial, and starts all nodes.
func startTrial(t testing.TB, n int, change func(i int, o *Options)) *trial {
	t.Helper()
	tr := newTrial(t, n, change)
	for i := range n {
		tr.start(i)
	}
	return tr
}

// start starts a node that is not running.
func (tr *trial) start(i int) *Node {
	tr.t.Helper()
	m := newLedger()
	open := tr.open
	if open == nil {
		open = func(i int) (*Node, error) { return Open(tr.path(i), m, tr.opts[i]) }
	}
	n, err := open(i)
	if err != nil {
		tr.t.Fatalf("node %d: %v", i, err)
	}
	tr.mu.Lock()
	defer tr.mu.Unlock()
	tr.nodes[i], tr.machines[i] = n, m
	return n
}

func (tr *trial) path(i int) string { return filepath.Join(tr.dir, fmt.Sprint(i)) }

// stop closes a node.
func (tr *trial) stop(i int) {
	tr.t.Helper()
	tr.mu.Lock()
	n := tr.nodes[i]
	tr.nodes[i] = nil
	tr.mu.Unlock()
	if err := n.Close(); err != nil {
		tr.t.Errorf("closing node %d: %v", i, err)
	}
}

// crash ends a node as if its process had died, as far as the others can see.
func (tr *trial) crash(i int) {
	tr.t.Helper()
	tr.mu.Lock()
	n := tr.nodes[i]
	tr.nodes[i] = nil
	tr.mu.Unlock()
	n.closeOnce.Do(func() {
		n.closing.Store(true)
		n.mux.cut(true)
		n.closeErr = n.shutDown()
		close(n.closed)
	})
}

func (tr *trial) close() {
	for i, n := range tr.nodes {
		if n != nil {
			tr.stop(i)
		}
	}
}

// leader returns the number of the node that leads and is ready, once there is one.
func (tr *trial) leader() int {
	tr.t.Helper()
	found := -1
	eventually(tr.t, "there is a leader", func() bool {
		for i, n := range tr.nodes {
			if n == nil {
				continue
			}
			if term, ok := n.leads(); ok && n.fsm.term.Load() == term {
				found = i
			}
		}
		return found >= 0
	})
	return found
}

// follower returns the number of a node that runs and does not lead.
func (tr *trial) follower() int {
	tr.t.Helper()
	lead := tr.leader()
	for i, n := range tr.nodes {
		if n != nil && i != lead {
			return i
		}
	}
	tr.t.Fatal("no follower runs")
	return -1
}

// update makes an update that must succeed.
func update(t testing.TB, n *Node, u string) any {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	r, err := n.Update(ctx, []byte(u))
	if err != nil {
		t.Fatalf("%s: update %.40q: %v", n.opts.ID, u, err)
	}
	return r
}

// sum reads a sum, as View has it.
func sum(t testing.TB, tr *trial, i int, name string) (s int) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	if err := tr.nodes[i].View(ctx, func() error { s = tr.machines[i].Sums[name]; return nil }); err != nil {
		t.Fatalf("node %d: View: %v", i, err)
	}
	return s
}

// equalStates fails unless all machines become equal: updates that were given up may
// be on their way still.
func equalStates(t testing.TB, tr *trial) {
	t.Helper()
	eventually(t, "all machines have the same state", func() bool {
		states := map[string]bool{}
		for i, n := range tr.nodes {
			if n != nil {
				states[string(state(t, n, tr.machines[i]))] = true
			}
		}
		return len(states) == 1
	})
}

// state returns the state of a machine, with every update that was acknowledged.
func state(t testing.TB, n *Node, m *ledger) (b []byte) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	if err := n.View(ctx, func() (err error) { b, err = json.Marshal(m); return err }); err != nil {
		t.Fatalf("%s: %v", n.opts.ID, err)
	}
	return b
}

// eventually waits until what holds, and fails if it does not within a minute.
func eventually(t testing.TB, what string, holds func() bool) {
	t.Helper()
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	for end := time.Now().Add(time.Minute); time.Now().Before(end); <-tick.C {
		if holds() {
			return
		}
	}
	t.Fatalf("not within a minute: %s\n%s", what, stacks())
}

func stacks() []byte {
	buf := make([]byte, 1<<20)
	return buf[:runtime.Stack(buf, true)]
}

// freeAddrs returns addresses that nobody listens on, and that it has not returned before: a
// node that is stopped finds its own free when it starts again, whatever other tests begin.
func freeAddrs(t testing.TB, n int) (addrs []string) {
	t.Helper()
	for tries := 0; len(addrs) < n; tries++ {
		// Of the ports that the system gives away, somebody may have got it until it is used.
		addr := fmt.Sprintf("127.0.0.1:%d", 10_000+rand.IntN(10_000))
		ln, err := net.Listen("tcp", addr)
		if err != nil && tries < 1000 {
			continue
		}
		if err != nil {
			t.Fatal(err)
		}
		defer ln.Close()
		if _, given := givenAddrs.LoadOrStore(addr, true); !given {
			addrs = append(addrs, addr)
		}
	}
	return addrs
}

var givenAddrs sync.Map

// quiet returns a logger that the tests have, with -v and STATEIO_LOG set.
func quiet(t testing.TB) *slog.Logger {
	if os.Getenv("STATEIO_LOG") == "" {
		return slog.New(slog.DiscardHandler)
	}
	return slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelDebug - 8}))
}

// noLeaks fails the test if goroutines of this package, or of raft, are left at its
// end. It is called before nodes are opened. TestMain looks for those of tests that run
// concurrently.
func noLeaks(t *testing.T) {
	t.Helper()
	t.Cleanup(func() {
		if left := leaked(); left != "" {
			t.Errorf("goroutines are left:\n%s", left)
		}
	})
}

func leaked() string {
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for end := time.Now().Add(10 * time.Second); ; <-tick.C {
		var left []string
		for stack := range strings.SplitSeq(string(stacks()), "\n\n") {
			test := strings.Contains(stack, "testing.tRunner") || strings.Contains(stack, "cluster.TestMain")
			if !test && (strings.Contains(stack, "stateio/cluster.") || strings.Contains(stack, "hashicorp/raft")) {
				left = append(left, stack)
			}
		}
		if len(left) == 0 || time.Now().After(end) {
			return strings.Join(left, "\n\n")
		}
	}
}

// glob returns at least so many files, those with short names first.
func glob(t *testing.T, least int, path ...string) []string {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(path...))
	if err != nil || len(files) < least {
		t.Fatalf("%s has the files %v: %v", filepath.Join(path...), files, err)
	}
	slices.SortFunc(files, func(a, b string) int { return cmp.Or(cmp.Compare(len(a), len(b)), cmp.Compare(a, b)) })
	return files
}

func mkdir(t testing.TB, dir string) string {
	t.Helper()
	if err := os.MkdirAll(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	return dir
}
