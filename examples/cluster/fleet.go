package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
)

const nodes = 3

// A fleet is the processes of the nodes.
type fleet struct {
	dir       string
	heartbeat time.Duration
	addrs     []string // for each other
	pages     []string // for clients
	client    *http.Client

	mu     sync.Mutex
	procs  [nodes]*proc // nil: it does not run
	paused [nodes]bool
	ended  bool // no node starts any more
}

type proc struct {
	cmd   *exec.Cmd
	stdin io.Closer     // its end ends the node in good order
	ended chan struct{} // closed when it has, however
}

// startFleet starts all nodes.
func startFleet(dir string, heartbeat time.Duration) (*fleet, error) {
	f := &fleet{dir: dir, heartbeat: heartbeat, client: &http.Client{Timeout: 5 * time.Second}}
	var err error
	if f.addrs, err = addrsOf(dir); err != nil {
		return nil, err
	}
	if f.pages, err = freeAddrs(nodes, f.addrs...); err != nil {
		return nil, err
	}
	for i := range nodes {
		if err := f.start(i); err != nil {
			f.stop()
			return nil, err
		}
	}
	return f, nil
}

// addrsOf returns the addresses by which the nodes in dir know each other: those of the run
// that has made them, which a file there has, or new ones.
func addrsOf(dir string) (addrs []string, err error) {
	path := filepath.Join(dir, "addresses.json")
	b, err := os.ReadFile(path)
	if err == nil {
		if err = json.Unmarshal(b, &addrs); err == nil && len(addrs) != nodes {
			err = fmt.Errorf("it has %d addresses, not %d", len(addrs), nodes)
		}
		if err != nil {
			return nil, fmt.Errorf("%s is not what this program has written: %w", path, err)
		}
		return addrs, nil
	}
	if !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	if addrs, err = freeAddrs(nodes); err != nil {
		return nil, err
	}
	if b, err = json.Marshal(addrs); err != nil {
		return nil, err
	}
	return addrs, errors.Join(os.MkdirAll(dir, 0o755), os.WriteFile(path, b, 0o644))
}

// freeAddrs returns addresses that nobody listens on, of ports that the system gives to nobody: else
// another program could get one while its node does not run. None is one of those that are given
// already.
func freeAddrs(n int, given ...string) (addrs []string, err error) {
	for tries := 0; len(addrs) < n; tries++ {
		addr := fmt.Sprintf("127.0.0.1:%d", 20_000+rand.IntN(5_000))
		ln, err := net.Listen("tcp", addr)
		if err != nil && tries < 1000 {
			continue
		}
		if err != nil {
			return nil, err
		}
		defer ln.Close()
		if !slices.Contains(given, addr) {
			addrs = append(addrs, addr)
		}
	}
	return addrs, nil
}

func name(i int) string { return fmt.Sprintf("n%d", i+1) }

// start starts a node that does not run.
func (f *fleet) start(i int) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	switch {
	case f.ended:
		return errors.New("the program ends")
	case f.procs[i] != nil:
		return fmt.Errorf("%s runs already", name(i))
	}
	cmd, err := f.command(i, "-until-eof")
	if err != nil {
		return err
	}
	stdin, err := cmd.StdinPipe()
	if err != nil {
		return err
	}
	if err := cmd.Start(); err != nil {
		return err
	}
	p := &proc{cmd, stdin, make(chan struct{})}
	f.procs[i] = p
	go f.await(i, p)
	return nil
}

// await waits for the end of a process, which may come by itself, or by whoever knows its number: the
// node can be started again then.
func (f *fleet) await(i int, p *proc) {
	_ = p.cmd.Wait() // killed, mostly
	_ = p.stdin.Close()
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.procs[i] == p {
		f.procs[i], f.paused[i] = nil, false
	}
	close(p.ended)
}

// command is a node as a command, with further flags.
func (f *fleet) command(i int, flags ...string) (*exec.Cmd, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	var members []string
	for i, a := range f.addrs {
		members = append(members, name(i)+"="+a)
	}
	args := []string{
		nodeCommand, "-id", name(i), "-dir", filepath.Join(f.dir, name(i)), "-listen", f.addrs[i],
		"-page", f.pages[i], "-members", strings.Join(members, ","), "-heartbeat", f.heartbeat.String(),
	}
	cmd := exec.Command(self, append(args, flags...)...)
	cmd.Env = append(os.Environ(), nodeEnv+"=1")
	cmd.Stderr = os.Stderr
	return cmd, nil
}

// nodeEnv tells tests that they are a node.
const nodeEnv = "STATEIO_EXAMPLE_NODE"

// kill kills a node, as kill -9 does.
func (f *fleet) kill(i int) error { return f.end(i, func(p *proc) { _ = p.cmd.Process.Kill() }) } // ended already, else

// close lets a node hand over and end.
func (f *fleet) close(i int) error { return f.end(i, func(p *proc) { _ = p.stdin.Close() }) } // likewise

func (f *fleet) end(i int, how func(*proc)) error {
	f.mu.Lock()
	p, paused := f.procs[i], f.paused[i]
	f.procs[i], f.paused[i] = nil, false
	f.mu.Unlock()
	if p == nil {
		return fmt.Errorf("%s does not run", name(i))
	}
	how(p)
	if paused { // it could not notice
		_ = pauseProcess(p.cmd.Process, false) // killed, else
	}
	<-p.ended
	return nil
}

// pause pauses a node, or lets one go on that is paused.
func (f *fleet) pause(i int) (paused bool, err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.procs[i] == nil {
		return false, fmt.Errorf("%s does not run", name(i))
	}
	if err := pauseProcess(f.procs[i].cmd.Process, !f.paused[i]); err != nil {
		return f.paused[i], err
	}
	f.paused[i] = !f.paused[i]
	return f.paused[i], nil
}

// up returns how many nodes run, and are not paused.
func (f *fleet) up() (n int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for i, p := range f.procs {
		if p != nil && !f.paused[i] {
			n++
		}
	}
	return n
}

// stop kills all nodes, for good.
func (f *fleet) stop() {
	f.mu.Lock()
	f.ended = true
	f.mu.Unlock()
	for i := range nodes {
		_ = f.kill(i) // it may not run
	}
}

// get gets a path of a node.
func (f *fleet) get(ctx context.Context, i int, path string) ([]byte, error) {
	return f.do(ctx, http.MethodGet, i, path)
}

func (f *fleet) do(ctx context.Context, method string, i int, path string) ([]byte, error) {
	req, err := http.NewRequestWithContext(ctx, method, "http://"+f.pages[i]+path, nil)
	if err != nil {
		return nil, err
	}
	resp, err := f.client.Do(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err == nil && resp.StatusCode != http.StatusOK {
		err = errors.New(strings.TrimSpace(string(b)))
	}
	return b, err
}

// status asks a node how it is.
func (f *fleet) status(i int) (s nodeStatus, err error) {
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
	defer cancel()
	b, err := f.get(ctx, i, "/status")
	if err != nil {
		return s, err
	}
	return s, json.Unmarshal(b, &s)
}

var errNoLeader = errors.New("no node leads")

// leader returns the node that leads, as that node says.
func (f *fleet) leader() (int, error) {
	for i := range nodes {
		if s, err := f.status(i); err == nil && s.Leader == s.ID {
			return i, nil
		}
	}
	return -1, errNoLeader
}

// sum returns the sum of all additions so far, as the node says.
func (f *fleet) sum(ctx context.Context, i int) (int64, error) {
	b, err := f.get(ctx, i, "/sum")
	if err != nil {
		return 0, err
	}
	return strconv.ParseInt(strings.TrimSpace(string(b)), 10, 64)
}

// ready waits until a node leads.
func (f *fleet) ready(most time.Duration) error {
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for end := time.Now().Add(most); time.Now().Before(end); <-tick.C {
		if _, err := f.leader(); err == nil {
			return nil
		}
	}
	return fmt.Errorf("%w after %v", errNoLeader, most)
}

// settled waits until a node leads, and returns the sum then.
func (f *fleet) settled(most time.Duration) (sum int64, err error) {
	end := time.Now().Add(most)
	for err = errNoLeader; err != nil && time.Now().Before(end); {
		if err = f.ready(time.Until(end)); err != nil {
			return 0, err
		}
		sum, err = f.sum(context.Background(), 0) // by the leader, which may be another one by now
	}
	return sum, err
}

// caughtUp waits until a node has all that was acknowledged.
func (f *fleet) caughtUp(i int, most time.Duration) error {
	ctx, cancel := context.WithTimeout(context.Background(), most)
	defer cancel()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	var last error
	for ; ; <-tick.C {
		_, err := f.get(ctx, i, "/ready")
		switch {
		case err == nil:
			return nil
		case ctx.Err() == nil:
			last = err
		default:
			return fmt.Errorf("%s has not caught up after %v: %w", name(i), most, errors.Join(last, ctx.Err()))
		}
	}
}

func (f *fleet) printPages(w io.Writer) {
	for i, p := range f.pages {
		say(w, "%s  http://%s/\n", name(i), p)
	}
}
