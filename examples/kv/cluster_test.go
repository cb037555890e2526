package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// A trio is three processes that are a cluster.
type trio struct {
	dir   string
	token string
	raft  [3]string
	nodes [3]*process
}

// nodeLine does not say how many keys there are: a node that was restarted does not know yet.
var nodeLine = regexp.MustCompile(`^kv: serving .*, as node [abc], at (http://127\.0\.0\.1:\d+)$`)

func (c *trio) name(i int) string { return string(rune('a' + i)) }

// start starts a node and waits until it listens.
func (c *trio) start(t *testing.T, i int) {
	t.Helper()
	path, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	args := []string{"-dir", filepath.Join(c.dir, c.name(i)), "-listen", "127.0.0.1:0", "-id", c.name(i), "-raft", c.raft[i], "-token", c.token}
	if i > 0 {
		args = append(args, "-join", c.raft[0])
	}
	cmd := exec.CommandContext(t.Context(), path, args...)
	cmd.Env = append(os.Environ(), asProgram+"=1")
	log := &strings.Builder{}
	cmd.Stderr = log
	out, err := cmd.StdoutPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	line, err := bufio.NewReader(out).ReadString('\n')
	m := nodeLine.FindStringSubmatch(strings.TrimSpace(line))
	if m == nil {
		_ = cmd.Process.Kill() // it may have ended already
		t.Fatalf("node %s wrote %q, error %v, and ended: %v\n%s", c.name(i), line, err, cmd.Wait(), log.String())
	}
	c.nodes[i] = &process{cmd, m[1], log}
}

// freeAddr returns an address that nobody listens on, and that it has not returned before, of a port that
// the system gives to nobody: else another process could get it until it is used.
func freeAddr(t *testing.T) string {
	t.Helper()
	for tries := 0; ; tries++ {
		addr := fmt.Sprintf("127.0.0.1:%d", 27_000+rand.IntN(3_000))
		l, err := net.Listen("tcp", addr)
		if err == nil {
			err = l.Close()
		}
		if _, given := givenAddrs.LoadOrStore(addr, true); err == nil && !given {
			return addr
		}
		if tries == 1000 {
			t.Fatal(err)
		}
	}
}

var givenAddrs sync.Map

// startTrio starts three nodes, and waits until all of them have a vote.
func startTrio(t *testing.T) *trio {
	t.Helper()
	c := &trio{dir: t.TempDir()}
	c.token = filepath.Join(c.dir, "token")
	if err := os.WriteFile(c.token, []byte("secret\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for i := range c.raft {
		c.raft[i] = freeAddr(t)
	}
	for i := range c.nodes {
		c.start(t, i)
	}
	soon(t, "all three have a vote", func() bool {
		voters := 0
		for _, m := range c.status(t, 0).Members {
			if m.Voter && m.Up {
				voters++
			}
		}
		return voters == 3
	})
	return c
}

func (c *trio) status(t *testing.T, i int) (s nodeStatus) {
	t.Helper()
	_, body := do(t, "GET", c.nodes[i].url+"/stats", "")
	if err := json.Unmarshal([]byte(body), &s); err != nil {
		t.Fatalf("%v in %s", err, body)
	}
	return s
}

// leader returns the node that leads.
func (c *trio) leader(t *testing.T) (leader int) {
	t.Helper()
	soon(t, "a node leads", func() bool {
		for i, n := range c.nodes {
			if n == nil {
				continue
			}
			for j := range c.nodes {
				if c.status(t, i).Leader == c.name(j) && c.nodes[j] != nil {
					leader = j
					return true
				}
			}
		}
		return false
	})
	return leader
}

// soon waits until what holds.
func soon(t *testing.T, what string, holds func() bool) {
	t.Helper()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for end := time.Now().Add(time.Minute); time.Now().Before(end); <-tick.C {
		if holds() {
			return
		}
	}
	t.Fatalf("not within a minute: %s", what)
}

// A clusterWriter puts the numbers 1, 2, 3, ... under its own key, at whichever node
// answers.
type clusterWriter struct {
	writer
	urls []string
}

// write goes on until ctx ends. A number that was not answered with success is sent again.
func (w *clusterWriter) write(ctx context.Context, answered func()) error {
	client := &http.Client{Timeout: 5 * time.Second}
	at := 0
	for w.tried = 1; ctx.Err() == nil; {
		url := w.urls[at%len(w.urls)]
		req, err := http.NewRequestWithContext(ctx, "PUT", url+"/kv/"+w.key, strings.NewReader(fmt.Sprint(w.tried)))
		if err != nil {
			return err
		}
		resp, err := client.Do(req)
		if err != nil {
			at++ // it was killed, or the test ends
			continue
		}
		resp.Body.Close()
		switch {
		case resp.StatusCode/100 == 2:
			w.acked = w.tried
			w.tried++
			answered()
		case resp.StatusCode == http.StatusServiceUnavailable:
			at++
		default:
			return errors.New(resp.Status)
		}
	}
	return nil
}

// Three processes are a cluster: the leader is killed while clients write to all of them,
// and the others have everything that was answered, and so has the killed one when it is
// back.
func TestThreeNodesLoseTheirLeaderAndNothingElse(t *testing.T) {
	c := startTrio(t)
	lead := c.leader(t)
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	var answered atomic.Int64
	kill, enough := make(chan struct{}), make(chan struct{})
	var wg sync.WaitGroup
	writers := make([]*clusterWriter, 6)
	for i := range writers {
		w := &clusterWriter{writer: writer{key: fmt.Sprint("writer", i)}}
		for j := range c.nodes {
			w.urls = append(w.urls, c.nodes[(i+j)%3].url)
		}
		writers[i] = w
		wg.Go(func() {
			err := w.write(ctx, func() {
				switch answered.Add(1) {
				case 100:
					close(kill)
				case 300:
					close(enough)
				}
			})
			if err != nil {
				t.Error(err)
			}
		})
	}
	wait := func(what string, done <-chan struct{}) {
		select {
		case <-done:
		case <-ctx.Done():
			t.Errorf("not %s: %d answers", what, answered.Load())
		}
	}
	wait("enough to kill the leader", kill)
	c.nodes[lead].kill(t)
	c.nodes[lead] = nil
	wait("enough after that", enough)
	cancel()
	wg.Wait()

	check := func() {
		t.Helper()
		for i, n := range c.nodes {
			if n == nil {
				continue
			}
			for _, w := range writers {
				status, body := do(t, "GET", n.url+"/kv/"+w.key, "")
				var has int
				if _, err := fmt.Sscan(body, &has); err != nil || status != http.StatusOK {
					t.Fatalf("node %s, %s: %d %q", c.name(i), w.key, status, body)
				}
				if has < w.acked || has > w.tried {
					t.Errorf("node %s has %s at %d: %d was acknowledged, %d sent", c.name(i), w.key, has, w.acked, w.tried)
				}
			}
		}
	}
	check()
	c.start(t, lead)
	check()

	// What is written on one is read on the others, and watched there.
	for i := range c.nodes {
		w := startWatch(t, c.nodes[(i+1)%3].url+"/watch?prefix=last")
		want := fmt.Sprint("from ", c.name(i))
		if status, body := do(t, "PUT", c.nodes[i].url+"/kv/last", want); status/100 != 2 {
			t.Fatalf("putting at node %s: %d %s", c.name(i), status, body)
		}
		if _, body := do(t, "GET", c.nodes[(i+2)%3].url+"/kv/last", ""); body != want {
			t.Errorf("another node has %q, not %q", body, want)
		}
		if !w.Scan() || !strings.Contains(w.Text(), `"key":"last"`) {
			t.Errorf("a watch at another node shows %q", w.Text())
		}
		soon(t, "the health of node "+c.name(i)+" is good", func() bool { // it has 2 s to answer
			_, body := do(t, "GET", c.nodes[i].url+"/healthz", "")
			return body == "ok\n"
		})
		c.checkMetrics(t, i)
		if status, body := do(t, "GET", c.nodes[i].url+"/node/", ""); status != http.StatusOK || !strings.Contains(body, "<title>Node</title>") {
			t.Errorf("the page of node %s: %d %q", c.name(i), status, body)
		}
	}
	for _, n := range c.nodes {
		n.kill(t)
	}
}

// checkMetrics looks at the metrics of a node, which are those of a good cluster.
func (c *trio) checkMetrics(t *testing.T, i int) {
	t.Helper()
	soon(t, "the metrics of node "+c.name(i)+" are those of a good cluster", func() bool { // others have half a second to answer
		_, body := do(t, "GET", c.nodes[i].url+"/metrics", "")
		for _, line := range []string{
			`down{node="kv"} 0`, `stalled{node="kv"} 0`, `has_leader{node="kv"} 1`, `snapshot_failed{node="kv"} 0`, `snapshot_failures_total{node="kv"} 0`,
			`member_up{member="a",node="kv"} 1`, `member_up{member="b",node="kv"} 1`, `member_up{member="c",node="kv"} 1`, `member_voter{member="` + c.name(i) + `",node="kv"} 1`,
		} {
			if !strings.Contains(body, "\nstateio_node_"+line+"\n") {
				return false
			}
		}
		return true
	})
}

// Flags of a node without -id, or without an address, are refused: the data would be in a
// store that no other node has.
func TestFlagsOfANodeNeedItsName(t *testing.T) {
	for args, want := range map[string]string{
		"-join 127.0.0.1:7001":                "-join is for a node of a cluster, which needs -id",
		"-raft 127.0.0.1:7001":                "-raft is for a node of a cluster, which needs -id",
		"-id a":                               "needs -raft",
		"-id a -raft 127.0.0.1:7001 kv-other": `unexpected argument "kv-other"`,
	} {
		if _, err := parse(strings.Fields(args)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", args, err)
		}
	}
	for _, flag := range []string{"-join", "-from", "-token", "-advertise", "-cert", "-key", "-ca"} { // "$X", not set
		if _, err := parse([]string{"-id", "a", "-raft", "127.0.0.1:7001", flag, ""}); err == nil || !strings.Contains(err.Error(), flag+" is empty") {
			t.Errorf("%s without a value: %v", flag, err)
		}
	}
	for list, want := range map[string]string{
		"127.0.0.1:1,127.0.0.1:2": "127.0.0.1:1 127.0.0.1:2", " 127.0.0.1:1, 127.0.0.1:2,\n": "127.0.0.1:1 127.0.0.1:2",
		",": "has no address", " ": "has no address",
	} {
		c, err := parse([]string{"-id", "a", "-raft", "127.0.0.1:7001", "-join", list})
		got := fmt.Sprint(err)
		if err == nil {
			o, err := c.options()
			if err != nil {
				t.Fatal(err)
			}
			got = strings.Join(o.Join, " ")
		}
		if !strings.HasSuffix(got, want) {
			t.Errorf("-join %q: %s", list, got)
		}
	}
	token := filepath.Join(t.TempDir(), "token")
	c, err := parse([]string{"-id", "a", "-raft", "127.0.0.1:0", "-token", token})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.options(); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("a token that is not there: %v", err)
	}
	if err := os.WriteFile(token, []byte("\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := c.options(); err == nil || !strings.Contains(err.Error(), token+" is empty") {
		t.Errorf("a token that is empty: %v", err)
	}
}
