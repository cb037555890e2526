package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/stateio/stateio/cluster"
	"github.com/stateio/stateio/store"
)

// What does not pass by itself is not tried again for ever: the exit status is the one that
// docs/OPERATING.md has systemd stop at.
func TestTheExitStatusSaysWhetherToStartAgain(t *testing.T) {
	const stop = "3"
	b, err := os.ReadFile("../../docs/OPERATING.md")
	if !errors.Is(err, fs.ErrNotExist) { // the module by itself has no docs
		says := regexp.MustCompile(`RestartPreventExitStatus=(\d+)`).FindSubmatch(b)
		if err != nil || says == nil || string(says[1]) != stop {
			t.Fatalf("the unit says %q of when not to start again, not %s (%v)", says, stop, err)
		}
	}
	for err, stops := range map[error]bool{
		store.ErrCorrupt: true, store.ErrVersion: true, store.ErrUpdateVersion: true, &store.ReplayError{Err: fs.ErrInvalid}: true,
		cluster.ErrRemoved: true, cluster.ErrIdentity: true, cluster.ErrOtherCluster: true, cluster.ErrUnfinished: true,
		store.ErrLocked: false, store.ErrFailed: false, os.ErrPermission: false,
	} {
		for _, node := range []bool{false, true} {
			stops := stops || node && errors.Is(err, store.ErrFailed) // its directory is gone
			if code := fmt.Sprint(exitCode(fmt.Errorf("opening: %w", err), node)); (code == stop) != stops || code == "0" {
				t.Errorf("%v, of a node (%v): the exit status is %s", err, node, code)
			}
		}
	}
	if got := exitCode(fmt.Errorf("%w: %w", errEnded, context.Canceled), true); got != 0 {
		t.Errorf("after a signal the exit status is %d", got)
	}
}

// What an error demands can be done with the program, and it says how.
func TestWhatAnErrorDemandsCanBeDone(t *testing.T) {
	for _, err := range []error{cluster.ErrRemoved, store.ErrCorrupt} {
		if got := hint(err, true); !strings.Contains(got, "-rejoin") || !strings.Contains(got, "/members/ID") {
			t.Errorf("%v: %s", err, got)
		}
		if got := hint(err, false); strings.Contains(got, "ejoin") || strings.Contains(got, "stateio verify") != errors.Is(err, store.ErrCorrupt) {
			t.Errorf("%v, of a store: %s", err, got)
		}
	}
	if got := hint(cluster.ErrNoQuorum, true); !strings.Contains(got, "-from") {
		t.Errorf("without a majority: %s", got)
	}
	for args, good := range map[string]bool{
		"-id a -raft 127.0.0.1:1 -rejoin":                                      false,
		"-id a -raft 127.0.0.1:1 -rejoin -join 127.0.0.1:2":                    true,
		"-id a -raft 127.0.0.1:1 -advertise 127.0.0.1:3 -join 127.0.0.1:2":     true,
		"-advertise 127.0.0.1:3":                                               false,
		"-id a -raft 127.0.0.1:1 -rejoin -join 127.0.0.1:2 -from kv-something": false,
	} {
		if _, err := parse(strings.Fields(args)); (err == nil) != good {
			t.Errorf("%s: %v", args, err)
		}
	}
}

// A node is removed by a request, ends with status 3 from then on, and is a member again after
// -rejoin.
func TestANodeIsRemovedAndRejoins(t *testing.T) {
	c := startTrio(t)
	lead := c.leader(t)
	gone, other := (lead+1)%3, (lead+2)%3
	if status, body := do(t, "PUT", c.nodes[lead].url+"/kv/a", "x"); status/100 != 2 {
		t.Fatal(status, body)
	}
	if status, body := do(t, "DELETE", c.nodes[other].url+"/members/nobody", ""); status != http.StatusConflict {
		t.Errorf("removing nobody: %d %s", status, body)
	}
	if status, body := do(t, "DELETE", c.nodes[other].url+"/members/"+c.name(gone), ""); status != http.StatusNoContent {
		t.Fatal(status, body)
	}
	soon(t, "the node knows, and has noted it", func() bool {
		_, err := os.Stat(filepath.Join(c.dir, c.name(gone), "REMOVED"))
		return err == nil
	})
	c.nodes[gone].kill(t)
	run := func(more ...string) (string, int) {
		cmd := exec.CommandContext(t.Context(), os.Args[0], append([]string{
			"-dir", filepath.Join(c.dir, c.name(gone)), "-listen", "127.0.0.1:0",
			"-id", c.name(gone), "-raft", c.raft[gone], "-token", c.token, "-join", c.raft[lead],
		}, more...)...)
		cmd.Env = append(os.Environ(), asProgram+"=1")
		out, err := cmd.CombinedOutput()
		var exit *exec.ExitError
		if err != nil && !errors.As(err, &exit) {
			t.Fatal(err)
		}
		return string(out), cmd.ProcessState.ExitCode()
	}
	if out, code := run(); code != 3 || !strings.Contains(out, "kv -rejoin") {
		t.Errorf("a node that was removed ends with %d:\n%s", code, out)
	}
	if out, code := run("-rejoin"); code != 0 {
		t.Fatalf("-rejoin ends with %d:\n%s", code, out)
	}
	c.start(t, gone)
	soon(t, "it has the data", func() bool {
		_, body := do(t, "GET", c.nodes[gone].url+"/kv/a", "")
		return body == "x"
	})
	for _, n := range c.nodes {
		n.kill(t)
	}
}

// A node that can't restore a snapshot yet goes on, and answers that. One whose directory is taken away
// ends by itself, with the status for that.
func TestOnlyANodeThatCanNotGoOnEnds(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("Windows moves no directory whose files are open")
	}
	dir := t.TempDir()
	k, err := openNode(filepath.Join(dir, "node"), &cluster.Options{ID: "a", Listen: "127.0.0.1:0", Heartbeat: 100 * time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	s := &server{keys: k, ending: ctx, stop: cancel}
	w := httptest.NewRecorder()
	s.fail(w, fmt.Errorf("a snapshot could not be restored: %w", store.ErrFailed))
	if w.Code != http.StatusServiceUnavailable || ctx.Err() != nil {
		t.Errorf("it is answered with %d, and the server ends (%v)", w.Code, ctx.Err())
	}
	if err := k.Close(); err != nil {
		t.Error(err)
	}

	c := &trio{dir: dir, token: filepath.Join(dir, "token")}
	c.raft[0] = freeAddr(t)
	if err := os.WriteFile(c.token, []byte("secret\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	c.start(t, 0)
	p := c.nodes[0]
	stuck := time.AfterFunc(time.Minute, func() { _ = p.Process.Kill() })
	if err := os.Rename(filepath.Join(dir, "a"), filepath.Join(dir, "b")); err != nil {
		t.Fatal(err)
	}
	_ = p.Wait() // which the status tells
	if !stuck.Stop() || p.ProcessState.ExitCode() != 3 {
		t.Errorf("a node whose directory is gone ends with %d:\n%s", p.ProcessState.ExitCode(), p.log)
	}
}

// A signal ends the program while it opens the data, or makes a copy of it.
func TestASignalEndsTheOpening(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	begun, release := make(chan struct{}), make(chan struct{})
	defer close(release)
	ended := make(chan error, 1)
	go func() {
		_, err := openUntil(ctx, func() (keys, error) { close(begun); <-release; return keys{}, nil })
		ended <- err
	}()
	<-begun
	cancel()
	if err := <-ended; !errors.Is(err, context.Canceled) {
		t.Errorf("opening: %v", err)
	}
	dir := t.TempDir()
	k, err := open(filepath.Join(dir, "st"), store.Options{})
	if err == nil {
		err = k.Close()
	}
	if err != nil {
		t.Fatal(err)
	}
	c, err := parse([]string{"-id", "a", "-raft", "127.0.0.1:0", "-from", filepath.Join(dir, "st"), "-dir", filepath.Join(dir, "node")})
	if err != nil {
		t.Fatal(err)
	}
	if err := run(ctx, c); !errors.Is(err, errEnded) || exitCode(err, true) != 0 {
		t.Errorf("-from: %v", err)
	}
	if left, err := filepath.Glob(filepath.Join(dir, "kv-backup-*")); len(left) > 0 || err != nil {
		t.Errorf("it has left %v, %v", left, err)
	}
	if _, err := os.Stat(filepath.Join(dir, "node", "NODE")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("there is a node: %v", err)
	}
}

// -from with the directory of the node itself would open that, and begin nothing.
func TestANodeDoesNotBeginFromItself(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "node")
	args := []string{"-id", "a", "-raft", "127.0.0.1:0", "-dir", dir}
	start := func(more ...string) error {
		c, err := parse(append(args[:len(args):len(args)], more...))
		if err != nil {
			return err
		}
		c.node.Heartbeat = 100 * time.Millisecond
		k, err := c.open(t.Context())
		if err == nil {
			err = k.Close()
		}
		return err
	}
	if err := start(); err != nil {
		t.Fatal(err)
	}
	if err := start("-from", dir+"/../node"); err == nil || !strings.Contains(err.Error(), "-dir is that directory, too") {
		t.Errorf("-from and -dir are one directory: %v", err)
	}
	if err := start(); err != nil {
		t.Error(err)
	}
}
