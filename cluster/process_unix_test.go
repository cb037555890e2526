//go:build unix

package cluster

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/stateio/stateio/cluster/testca"
	"github.com/stateio/stateio/store"
)

// These tests run each node in a process of its own, which is this test's binary
// again, so that it can be killed and paused. A process answers lines:
//
//	set KEY VALUE      ok FORMER
//	put KEY VALUE      ok
//	add NAME           ok SUM
//	get KEY            ok VALUE, by View
//	sum NAME           ok SUM, by View
//	local KEY          ok VALUE, by ViewLocal
//	state              ok JSON, by View
//	remove ID          ok, and there is no such member
//	isolate, heal      ok, and the others can't be reached, or can be again
//	slow MS            ok, and each write to the log takes so much longer
//	full, space        ok, and the disk has no space for the log, or has some again
//	transfer           ok, and another node leads
//	close              ok, and the node is closed
//	status             ok JSON
//	describe           ok, and whatever helps to see why a test has failed
//
// or "no ERROR" if nothing was done, or "unknown ERROR".

const childEnv = "STATEIO_CLUSTER_NODE"

// A childConfig says which node a process is to be.
type childConfig struct {
	Dir, ID, Listen, Serve string
	Members                []Member
	Join                   []string
	Heartbeat              time.Duration
	Small                  bool // logs and snapshots, so that nodes which were away need a snapshot
	Unverified             bool
	Early                  bool          // "put" is answered when this node has it in its log
	Twice                  bool          // updates that were forwarded are sent again, and applied again
	TLS                    *testca.Files // nil: none
	Within                 []string      // the command that runs it
}

// A childStatus is the answer to "status".
type childStatus struct {
	Leads    bool
	Voter    bool
	Index    uint64
	Restores uint64 // since it was opened
	Stats    Stats
}

func TestMain(m *testing.M) {
	if s := os.Getenv(childEnv); s != "" {
		if err := runChild(s); err != nil {
			fmt.Fprintln(os.Stderr, "node:", err)
			os.Exit(1)
		}
		return
	}
	if s := os.Getenv(importEnv); s != "" {
		if err := importUntil(s); err != nil {
			fmt.Fprintln(os.Stderr, "import:", err)
			os.Exit(1)
		}
		return
	}
	flag.Parse()
	if err := runAtOnce(4); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	status := m.Run()
	if left := leaked(); left != "" {
		fmt.Fprintf(os.Stderr, "goroutines are left by tests that ran concurrently:\n%s\n", left)
		status = max(status, 1)
	}
	os.Exit(status)
}

// runAtOnce lets n tests run at a time that run concurrently, unless -parallel was given:
// they wait most of their time, also on few processors.
func runAtOnce(n int) error {
	given := false
	flag.Visit(func(f *flag.Flag) { given = given || f.Name == "test.parallel" })
	if given {
		return nil
	}
	return flag.Set("test.parallel", strconv.Itoa(n))
}

func runChild(config string) error {
	var c childConfig
	if err := json.Unmarshal([]byte(config), &c); err != nil {
		return err
	}
	o := &Options{ID: c.ID, Listen: c.Listen, Members: c.Members, Join: c.Join, Heartbeat: c.Heartbeat, Logger: quiet(nil)}
	o.hooks.unverified, early = c.Unverified, c.Early
	if c.Twice {
		forgetful(0, o)
		o.hooks.again = true
	}
	o.hooks.store = func() error {
		time.Sleep(time.Duration(diskDelay.Load()))
		if diskFull.Load() {
			return syscall.ENOSPC
		}
		return nil
	}
	o.hooks.connect = func(byte, string) error {
		if isolated.Load() {
			return errIsolated
		}
		return nil
	}
	if c.Small {
		o.SegmentBytes, o.SnapshotBytes, o.hooks.keepLogs = 64<<10, 64<<10, 1
	}
	if c.TLS != nil {
		var err error
		if o.TLS, err = LoadTLS(c.TLS.Cert, c.TLS.Key, c.TLS.CA); err != nil {
			return err
		}
	}
	m := newLedger()
	n, err := Open(c.Dir, m, o)
	if err != nil {
		return err
	}
	opened := n.fsm.restores.Load()
	kind := networkOf(c.Serve)
	if kind == "unix" {
		_ = os.Remove(c.Serve) // what a process that was killed has left
	}
	ln, err := net.Listen(kind, c.Serve)
	if err != nil {
		return err
	}
	go func() { // the end of standard input is the end of the test
		_, _ = io.Copy(io.Discard, os.Stdin)
		os.Exit(3)
	}()
	for {
		conn, err := ln.Accept()
		if err != nil {
			return err
		}
		go serveLines(conn, n, m, opened)
	}
}

// networkOf says how to get to where a process answers: addr may be a path.
func networkOf(addr string) string {
	if filepath.IsAbs(addr) {
		return "unix"
	}
	return "tcp"
}

var (
	isolated    atomic.Bool // this process is cut off from the other nodes, and not from clients
	errIsolated = errors.New("cut off")
	diskDelay   atomic.Int64 // how long each write to the log takes, besides what it takes
	diskFull    atomic.Bool
	early       bool // childConfig.Early
)

// isolate cuts this process off from the other nodes.
func isolate(n *Node) {
	isolated.Store(true)
	n.mux.mu.Lock()
	defer n.mux.mu.Unlock()
	for conn := range n.mux.conns {
		go hangUp(conn)
	}
}

func serveLines(conn net.Conn, n *Node, m *ledger, opened uint64) {
	defer conn.Close()
	for lines := bufio.NewScanner(conn); lines.Scan(); {
		ctx, cancel := context.WithTimeout(context.Background(), 4*time.Second)
		answer, err := answerLine(ctx, lines.Text(), n, m, opened)
		cancel()
		switch {
		case errors.Is(err, store.ErrUnknown):
			answer = "unknown " + err.Error()
		case err != nil:
			answer = "no " + err.Error()
		default:
			answer = "ok " + answer
		}
		if _, err := fmt.Fprintln(conn, strings.ReplaceAll(answer, "\n", " ")); err != nil {
			return
		}
	}
}

func answerLine(ctx context.Context, line string, n *Node, m *ledger, opened uint64) (answer string, err error) {
	f := strings.Fields(line)
	switch f[0] {
	case "set", "add":
		r, err := n.Update(ctx, []byte(line))
		return fmt.Sprint(r), err
	case "put":
		return "", put(ctx, n, "set"+strings.TrimPrefix(line, "put"))
	case "get":
		err = n.View(ctx, func() error { answer = m.Values[f[1]]; return nil })
	case "sum":
		err = n.View(ctx, func() error { answer = fmt.Sprint(m.Sums[f[1]]); return nil })
	case "local":
		err = n.ViewLocal(func() error { answer = m.Values[f[1]]; return nil })
	case "state":
		err = n.View(ctx, func() error {
			b, err := json.Marshal(m)
			answer = string(b)
			return err
		})
	case "remove":
		err = n.Remove(ctx, f[1])
	case "isolate":
		isolate(n)
	case "heal":
		isolated.Store(false)
	case "slow":
		ms, err := strconv.Atoi(f[1])
		diskDelay.Store(int64(ms) * int64(time.Millisecond))
		return "", err
	case "full", "space":
		diskFull.Store(f[0] == "full")
	case "transfer":
		err = n.Transfer(ctx)
	case "close":
		err = n.Close()
	case "describe":
		answer = fmt.Sprintf("%+v, stats %+v, raft %v", n.Status(), n.Stats(), n.raft.Stats())
	case "status":
		_, leads := n.leads()
		b, err := json.Marshal(childStatus{Leads: leads, Voter: n.joined(), Index: n.Index(), Restores: n.fsm.restores.Load() - opened, Stats: n.Stats()})
		return string(b), err
	}
	return answer, err
}

// put makes an update whose result nobody wants. If that is to be early, it returns when the log
// of this node has grown, however many other nodes have the entry.
func put(ctx context.Context, n *Node, update string) error {
	if !early {
		_, err := n.Update(ctx, []byte(update))
		return err
	}
	was := n.raft.LastIndex()
	ticket, err := n.Submit([]byte(update))
	if err != nil {
		return err
	}
	tick := time.NewTicker(100 * time.Microsecond)
	defer tick.Stop()
	for n.raft.LastIndex() == was {
		select {
		case <-tick.C:
		case <-ticket.Done():
			return ticket.Wait(ctx)
		case <-ctx.Done():
			return ticket.Wait(ctx)
		}
	}
	return nil
}

// A fleet is a cluster of processes.
type fleet struct {
	t       *testing.T
	configs []childConfig

	mu    sync.Mutex
	procs []*exec.Cmd
	stdin []io.Closer
}

func startFleet(t *testing.T, n int, change func(*childConfig)) *fleet {
	t.Helper()
	if testing.Short() {
		t.Skip("processes take a while")
	}
	addrs := freeAddrs(t, 2*n)
	f := &fleet{t: t, procs: make([]*exec.Cmd, n), stdin: make([]io.Closer, n)}
	var members []Member
	for i := range n {
		members = append(members, Member{fmt.Sprintf("n%d", i), addrs[i]})
	}
	for i := range n {
		c := childConfig{
			Dir: t.TempDir(), ID: members[i].ID, Listen: addrs[i], Serve: addrs[n+i], Members: members,
			Heartbeat: 250 * time.Millisecond, Small: true,
		}
		if change != nil {
			change(&c)
		}
		f.configs = append(f.configs, c)
	}
	t.Cleanup(func() {
		for i := range n {
			f.kill(i)
		}
	})
	for i := range n {
		f.start(i)
	}
	return f
}

func (f *fleet) start(i int) {
	f.t.Helper()
	config, err := json.Marshal(f.configs[i])
	if err != nil {
		f.t.Fatal(err)
	}
	args := append(slices.Clone(f.configs[i].Within), os.Args[0])
	cmd := exec.Command(args[0], args[1:]...)
	cmd.Env = append(os.Environ(), childEnv+"="+string(config))
	cmd.Stderr = os.Stderr
	stdin, err := cmd.StdinPipe()
	if err != nil {
		f.t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		f.t.Fatal(err)
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.procs[i], f.stdin[i] = cmd, stdin
}

// kill kills a process, if it runs, and waits for its end.
func (f *fleet) kill(i int) {
	f.mu.Lock()
	cmd := f.procs[i]
	f.procs[i] = nil
	f.mu.Unlock()
	if cmd == nil {
		return
	}
	_ = cmd.Process.Kill() // it may have ended, which Wait tells
	_ = cmd.Wait()         // killed, always
	_ = f.stdin[i].Close()
}

// signal sends a signal to a process.
func (f *fleet) signal(i int, sig syscall.Signal) {
	f.t.Helper()
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.procs[i] == nil {
		return
	}
	if err := f.procs[i].Process.Signal(sig); err != nil {
		f.t.Errorf("signal %v to node %d: %v", sig, i, err)
	}
}

// errNothing says that an operation did not happen.
var errNothing = errors.New("nothing was done")

// A caller talks to one node, on one connection at a time.
type caller struct {
	addr string
	conn net.Conn
	r    *bufio.Reader
}

// do sends a line and returns the answer. The error is errNothing if the node did
// nothing, and another one if that is not known.
func (c *caller) do(line string, timeout time.Duration) (string, error) {
	if c.conn == nil {
		conn, err := net.DialTimeout(networkOf(c.addr), c.addr, timeout)
		if err != nil {
			return "", errNothing
		}
		c.conn, c.r = conn, bufio.NewReader(conn)
	}
	_ = c.conn.SetDeadline(time.Now().Add(timeout))
	_, err := fmt.Fprintln(c.conn, line)
	var answer string
	if err == nil {
		answer, err = c.r.ReadString('\n')
	}
	if err != nil {
		_ = c.conn.Close()
		c.conn = nil
		return "", err
	}
	kind, rest, _ := strings.Cut(strings.TrimSuffix(answer, "\n"), " ")
	switch kind {
	case "ok":
		return rest, nil
	case "no":
		return "", fmt.Errorf("%w: %s", errNothing, rest)
	}
	return "", errors.New(rest)
}

// ask has a process answer a line, on a connection of its own.
func (f *fleet) ask(i int, line string, timeout time.Duration) (string, error) {
	c := &caller{addr: f.configs[i].Serve}
	answer, err := c.do(line, timeout)
	if c.conn != nil {
		_ = c.conn.Close()
	}
	return answer, err
}

// tell has a process do something, if it can be reached.
func (f *fleet) tell(i int, line string) error {
	_, err := f.ask(i, line, time.Minute)
	return err
}

// status asks a process for its status.
func (f *fleet) status(i int) (s childStatus, err error) {
	answer, err := f.ask(i, "status", 300*time.Millisecond)
	if err != nil {
		return s, err
	}
	return s, json.Unmarshal([]byte(answer), &s)
}

// sure is status of a process that runs, which may be busy.
func (f *fleet) sure(i int) (s childStatus) {
	f.t.Helper()
	eventually(f.t, "a process tells its status", func() bool {
		var err error
		s, err = f.status(i)
		return err == nil
	})
	return s
}

// describe logs how the processes are.
func (f *fleet) describe() {
	for i := range f.configs {
		answer, err := f.ask(i, "describe", 5*time.Second)
		f.t.Logf("node %d: %s, %v", i, answer, err)
	}
}

// listens returns where the processes listen for each other.
func (f *fleet) listens() (addrs []string) {
	for _, c := range f.configs {
		addrs = append(addrs, c.Listen)
	}
	return addrs
}

// leader returns a process that leads, once there is one.
func (f *fleet) leader() (found int) {
	f.t.Helper()
	eventually(f.t, "a process leads", func() bool {
		for i := range f.configs {
			if s, err := f.status(i); err == nil && s.Leads {
				found = i
				return true
			}
		}
		return false
	})
	return found
}

// wait waits for d, or until stop is closed.
func wait(d time.Duration, stop <-chan struct{}) {
	select {
	case <-time.After(d):
	case <-stop:
	}
}
