package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"
)

func TestMain(m *testing.M) {
	if os.Getenv(nodeEnv) != "" {
		main()
		return
	}
	os.Exit(m.Run())
}

func TestNothingIsLostWhenTheLeaderIsKilled(t *testing.T) {
	if err := run([]string{"-kills", "2", "-heartbeat", "300ms", "-dir", t.TempDir()}); err != nil {
		t.Fatal(err)
	}
}

// The leader is killed as often as was asked for, and how long that took is told.
func TestKillsAreCounted(t *testing.T) {
	f, l := loadedFleet(t)
	var out bytes.Buffer
	if err := killLeaders(&out, f, l, 2); err != nil {
		t.Fatal(err)
	}
	if n := strings.Count(out.String(), ", is killed: the longest time"); n != 2 || !strings.Contains(out.String(), "\n2 kills of the leader: the longest time without an acknowledgement was ") {
		t.Errorf("it says\n%s", &out)
	}
}

// The nodes of a directory find each other again in the next run, which goes on with their
// sum.
func TestADirectoryServesManyRuns(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "new")
	var sums []int64
	for range 2 {
		f, err := startFleet(dir, 300*time.Millisecond)
		if err != nil {
			t.Fatal(err)
		}
		defer f.stop()
		before, err := f.settled(time.Minute)
		if err != nil {
			t.Fatal(err)
		}
		l := startLoad(f, 3, before)
		defer l.stop()
		if err := l.flows(20, time.Minute); err != nil {
			t.Fatal(err)
		}
		if err := l.check(io.Discard); err != nil {
			t.Fatal(err)
		}
		f.stop()
		sums = append(sums, before, before+l.acked.Load())
	}
	if sums[0] != 0 || sums[2] != sums[1] {
		t.Errorf("the sums at the beginnings and the ends of two runs are %d", sums)
	}
	if err := os.WriteFile(filepath.Join(dir, "addresses.json"), []byte("[]"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := startFleet(dir, time.Second); err == nil || !strings.Contains(err.Error(), "has 0 addresses, not 3") {
		t.Errorf("a directory whose addresses are lost: %v", err)
	}
}

// loadedFleet starts a fleet with a load, until the test ends, and waits until it is ready.
func loadedFleet(t *testing.T) (*fleet, *load) {
	t.Helper()
	f, err := startFleet(t.TempDir(), 300*time.Millisecond)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(f.stop)
	l := startLoad(f, 3, 0)
	t.Cleanup(l.stop)
	if err := f.ready(time.Minute); err != nil {
		t.Fatal(err)
	}
	return f, l
}

func TestKeysAreObeyed(t *testing.T) {
	f, l := loadedFleet(t)
	var out bytes.Buffer
	if err := obeyKeys(strings.NewReader("s\nk\nr1\nr2\nr3\nc2\nr2\np3\np3\nk9\nq\n"), &out, f, l, &dashboard{f: f, l: l, out: &out}); err != nil {
		t.Fatal(err)
	}
	if err := l.check(&out); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"is killed: the longest time", "n2 is closed: the longest time", "n3 goes on", "nothing that was acknowledged is lost"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("it does not say %q:\n%s", want, &out)
		}
	}
	if _, err := f.do(t.Context(), http.MethodDelete, 0, "/members/nobody"); err == nil || !strings.Contains(err.Error(), "there is no member nobody") {
		t.Errorf("removing nobody: %v", err)
	}
	page, err := f.get(t.Context(), 0, "/")
	if err != nil || !regexp.MustCompile(`<h1>Node n1</h1><p>\d+ updates a second\. Sum [1-9]\d*, `).Match(page) {
		t.Errorf("the page is %s, %v", page, err)
	}
}

// The rate of a counter is the same for all who look within half a second.
func TestTheRateIsThatOfTheLastWhile(t *testing.T) {
	began := time.Now()
	r := &rate{began: began}
	for i, look := range []struct {
		after time.Duration
		n     uint64
		want  float64
	}{
		{100 * time.Millisecond, 50, 0},
		{time.Second, 1000, 1000},
		{1100 * time.Millisecond, 9000, 1000},
		{1400 * time.Millisecond, 9100, 1000},
		{3 * time.Second, 2000, 500},
		{3400 * time.Millisecond, 2000, 500},
		{3 * time.Second, 2000, 500},
		{4 * time.Second, 2000, 0},
	} {
		if got := r.of(look.n, began.Add(look.after)); got != look.want {
			t.Errorf("look %d: %v, want %v", i, got, look.want)
		}
	}
}

// A sum that lacks what was acknowledged, or has more than was made, is noticed while clients go on.
func TestALossIsNoticedWhileClientsGoOn(t *testing.T) {
	_, l := loadedFleet(t)
	if err := l.flows(50, time.Minute); err != nil {
		t.Fatal(err)
	}
	if err := l.holds(); err != nil {
		t.Error(err)
	}
	for _, by := range []int64{1, -1} {
		l.before += by * 1_000_000
		if err := l.holds(); err == nil || !strings.Contains(err.Error(), "additions were made") {
			t.Errorf("with a sum that differs by a million: %v", err)
		}
		l.before -= by * 1_000_000
	}
}

// TestKeysAreObeyedWithoutAMajority types on when two nodes are down.
func TestKeysAreObeyedWithoutAMajority(t *testing.T) {
	f, l := loadedFleet(t)
	var out bytes.Buffer
	if err := obeyKeys(strings.NewReader("k1\nk2\nr1\nr2\nq\n"), &out, f, l, &dashboard{f: f, l: l, out: &out}); err != nil {
		t.Fatal(err)
	}
	if err := l.check(&out); err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(out.String(), "n2 is killed: 1 of 3 nodes are up") || strings.Contains(out.String(), "no addition was acknowledged") {
		t.Errorf("it says\n%s", &out)
	}
}

// TestThePageShowsAndKillsNodes presses buttons, two of them while no majority is up.
func TestThePageShowsAndKillsNodes(t *testing.T) {
	f, l := loadedFleet(t)
	d := &dashboard{f: f, l: l, out: io.Discard}
	url, closePage, err := d.open("127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer closePage()
	states := func(want ...string) {
		t.Helper()
		slices.Sort(want)
		var got []string
		tick := time.NewTicker(20 * time.Millisecond)
		defer tick.Stop()
		for end := time.Now().Add(time.Minute); time.Now().Before(end); <-tick.C {
			var s fleetStatus
			if err := json.Unmarshal(fetch(t, url+"fleet"), &s); err != nil {
				t.Fatal(err)
			}
			got = nil
			for _, n := range s.Nodes {
				got = append(got, n.State)
			}
			if slices.Sort(got); slices.Equal(got, want) {
				return
			}
		}
		t.Fatalf("the nodes are %v, and should be %v", got, want)
	}
	press := func(key, origin string) int {
		t.Helper()
		req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, url+"do", strings.NewReader("key="+key))
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		req.Header.Set("Origin", origin)
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		return resp.StatusCode
	}
	own := strings.TrimSuffix(url, "/")
	if got := press("k1", "http://elsewhere.example"); got != http.StatusForbidden {
		t.Errorf("another page's button is answered with %d", got)
	}
	states("leads", "follows", "follows")
	press("k1", own)
	states("leads", "follows", "down")
	press("k2", own)
	states("alone", "down", "down")
	press("r1", own)
	press("r2", own)
	states("leads", "follows", "follows")
	if err := l.check(io.Discard); err != nil {
		t.Error(err)
	}
	if page := fetch(t, url); !bytes.Contains(page, []byte("kill -9")) {
		t.Errorf("the page is %s", page)
	}
}

func fetch(t *testing.T, url string) []byte {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// TestANodeThatSomebodyElseKillsCanBeStarted kills a process, as from another shell.
func TestANodeThatSomebodyElseKillsCanBeStarted(t *testing.T) {
	f, err := startFleet(t.TempDir(), 300*time.Millisecond)
	if err != nil {
		t.Fatal(err)
	}
	defer f.stop()
	f.mu.Lock()
	p := f.procs[1]
	f.mu.Unlock()
	if err := errors.Join(f.ready(time.Minute), p.cmd.Process.Kill()); err != nil {
		t.Fatal(err)
	}
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for end := time.Now().Add(time.Minute); ; <-tick.C {
		if err = f.start(1); err == nil || time.Now().After(end) {
			break
		}
	}
	if err != nil {
		t.Fatal(err)
	}
	if err := f.caughtUp(1, time.Minute); err != nil {
		t.Error(err)
	}
}

// TestADamagedNodeEndsAndRejoins takes a node's log away: it must end with the status
// for that, and come back with -rejoin.
func TestADamagedNodeEndsAndRejoins(t *testing.T) {
	f, err := startFleet(t.TempDir(), 300*time.Millisecond)
	if err != nil {
		t.Fatal(err)
	}
	defer f.stop()
	l := startLoad(f, 3, 0)
	defer l.stop()
	if err := errors.Join(f.ready(time.Minute), l.flows(100, time.Minute)); err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(f.kill(0), os.RemoveAll(filepath.Join(f.dir, name(0), "wal"))); err != nil {
		t.Fatal(err)
	}
	status := func(flags ...string) (code int, stderr string) {
		t.Helper()
		cmd, err := f.command(0, flags...)
		if err != nil {
			t.Fatal(err)
		}
		var buf bytes.Buffer
		cmd.Stderr = &buf
		_ = cmd.Run() // which the status tells
		return cmd.ProcessState.ExitCode(), buf.String()
	}
	if code, stderr := status(); code != 3 || !strings.Contains(stderr, "Rejoin") {
		t.Errorf("the damaged node ends with status %d and says %q", code, stderr)
	}
	if code, stderr := status("-rejoin"); code != 0 {
		t.Fatalf("-rejoin ends with status %d and says %q", code, stderr)
	}
	if err := f.start(0); err != nil {
		t.Fatal(err)
	}
	d := &dashboard{f: f, l: l}
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for end := time.Now().Add(time.Minute); d.row(0).State != "follows"; <-tick.C {
		if time.Now().After(end) {
			t.Fatal("the node does not follow within a minute")
		}
	}
	if err := l.check(io.Discard); err != nil {
		t.Error(err)
	}
	if _, err := f.do(t.Context(), http.MethodDelete, 1, "/members/"+name(0)); err != nil {
		t.Fatal(err)
	}
	if err := f.caughtUp(1, time.Minute); err != nil {
		t.Fatal(err)
	}
	if s, err := f.status(1); err != nil || len(s.Members) != nodes-1 {
		t.Errorf("after one was removed, the members are %v, %v", s.Members, err)
	}
}

func TestAnAdditionCountsOnce(t *testing.T) {
	c := newCounter()
	for _, u := range []string{"a 1", "a 1", "b 1", "a 2", "a 1", "b 1"} {
		if _, err := c.Apply([]byte(u)); err != nil {
			t.Fatal(err)
		}
	}
	for _, u := range []string{"", "a", "a b", " 1"} {
		if _, err := c.Apply([]byte(u)); err == nil {
			t.Errorf("%q is taken", u)
		}
	}
	w, err := c.Snapshot()
	if err != nil {
		t.Fatal(err)
	}
	var buf bytes.Buffer
	if _, err := w.WriteTo(&buf); err != nil {
		t.Fatal(err)
	}
	again := newCounter()
	if err := again.Restore(&buf); err != nil {
		t.Fatal(err)
	}
	if got, err := again.Apply([]byte("a 2")); err != nil || got != uint64(3) {
		t.Errorf("the counter is %v, %v", got, err)
	}
}

// TestWrongFlagsAreToldOnce starts the program with -help, and with flags that are wrong.
func TestWrongFlagsAreToldOnce(t *testing.T) {
	program, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	for args, want := range map[string]struct {
		code int
		once string
	}{
		"-help":                          {0, "-kills"},
		"node -help":                     {0, "-rejoin"},
		"-no-such-flag":                  {2, "not defined: -no-such-flag"},
		"node -no-such-flag":             {2, "not defined: -no-such-flag"},
		"nodes -id a":                    {1, `unexpected argument "nodes": cluster node begins one node`},
		"-kills -1":                      {1, "-kills is -1"},
		"-clients -1":                    {1, "-clients -1"},
		"-kills 2 -clients 0":            {1, "-clients is 0"},
		"node -id a -listen 127.0.0.1:0": {1, "-page is empty"},
		"node -id a -listen 127.0.0.1:0 -page 127.0.0.1:0 -ca none -key none": {1, "cluster: reading the authorities"},
	} {
		cmd := exec.CommandContext(t.Context(), program, strings.Fields(args)...)
		cmd.Env, cmd.Dir = append(os.Environ(), nodeEnv+"=1"), t.TempDir()
		out, _ := cmd.CombinedOutput() // which the status tells
		if cmd.ProcessState.ExitCode() != want.code || strings.Count(string(out), want.once) != 1 {
			t.Errorf("%s: status %d\n%s", args, cmd.ProcessState.ExitCode(), out)
		}
	}
}

// TestAListWithoutAddressesBeginsNoCluster gives a node lists as scripts make them.
func TestAListWithoutAddressesBeginsNoCluster(t *testing.T) {
	for args, want := range map[string]string{
		"-join|127.0.0.1:1, 127.0.0.1:2,":       "[] [127.0.0.1:1 127.0.0.1:2]",
		"-members|a=127.0.0.1:1, b=127.0.0.1:2": "[{a 127.0.0.1:1} {b 127.0.0.1:2}] []",
		"-join|":                                "has no address",
		"-members|,":                            "has no address",
		"-members|a":                            "is not ID=ADDR",
	} {
		c, err := parseNode(strings.Split(args, "|"))
		got := fmt.Sprint(err)
		if err == nil {
			got = fmt.Sprint(c.Members, c.Join)
		}
		if !strings.Contains(got, want) {
			t.Errorf("%s: %s", args, got)
		}
	}
}
