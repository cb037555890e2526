package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptrace"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

// asProgram in the environment makes the test binary the program.
const asProgram = "KV_TEST_AS_PROGRAM"

func TestMain(m *testing.M) {
	if os.Getenv(asProgram) != "" {
		main()
		return
	}
	os.Exit(m.Run())
}

// program returns the command that serves dir.
func program(t *testing.T, dir string) *exec.Cmd {
	t.Helper()
	path, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), path, "-dir", dir, "-listen", "127.0.0.1:0")
	cmd.Env = append(os.Environ(), asProgram+"=1")
	return cmd
}

// A process is the program, running.
type process struct {
	*exec.Cmd
	url string
	log *strings.Builder // what it wrote to standard error, once it has ended
}

var startLine = regexp.MustCompile(`^kv: serving .* at (http://127\.0\.0\.1:\d+)$`)

// start starts the program and waits until it serves dir.
func start(t *testing.T, dir string) *process {
	t.Helper()
	cmd := program(t, dir)
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
	m := startLine.FindStringSubmatch(strings.TrimSpace(line))
	if m == nil {
		t.Fatalf("the program wrote %q, error %v, and ended: %v\n%s", line, err, cmd.Wait(), log.String())
	}
	return &process{cmd, m[1], log}
}

// A writer puts the numbers 1, 2, 3, ... under its own key.
type writer struct {
	key   string
	tried int // the last number that was sent
	acked int // the last one that was answered
}

// write goes on until the program no longer answers, and calls answered after
// each answer.
func (w *writer) write(ctx context.Context, url string, answered func()) error {
	for {
		w.tried++
		body := strings.NewReader(fmt.Sprint(w.tried))
		req, err := http.NewRequestWithContext(ctx, "PUT", url+"/kv/"+w.key, body)
		if err != nil {
			return err
		}
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			return nil //nolint:nilerr // it was killed
		}
		resp.Body.Close()
		if resp.StatusCode/100 != 2 {
			return fmt.Errorf("putting %d under %s: %s", w.tried, w.key, resp.Status)
		}
		w.acked = w.tried
		answered()
	}
}

// check makes sure that the program has what it acknowledged.
func (w *writer) check(t *testing.T, url string) {
	t.Helper()
	status, body := do(t, "GET", url+"/kv/"+w.key, "")
	var has int
	if status == http.StatusOK {
		if _, err := fmt.Sscan(body, &has); err != nil {
			t.Fatalf("%s is %q", w.key, body)
		}
	}
	if has < w.acked || has > w.tried {
		t.Fatalf("%s is %d: %d was acknowledged, %d sent", w.key, has, w.acked, w.tried)
	}
	w.tried, w.acked = has, has
}

// Every PUT that was answered is there after kill -9, round after round.
func TestKill(t *testing.T) {
	rounds, answers := 20, 200
	if testing.Short() {
		rounds = 5
	}
	dir := filepath.Join(t.TempDir(), "data")
	writers := make([]*writer, 8)
	for i := range writers {
		writers[i] = &writer{key: fmt.Sprint("writer", i)}
	}
	for round := range rounds {
		p := start(t, dir)
		for _, w := range writers {
			w.check(t, p.url)
		}
		killDuring(t, p, writers, answers+round)
	}
	p := start(t, dir)
	for _, w := range writers {
		w.check(t, p.url)
		if w.acked < rounds {
			t.Errorf("%s made %d updates in %d rounds", w.key, w.acked, rounds)
		}
	}
	p.kill(t)
}

// killDuring lets the writers write, and kills the program in the middle of
// that, after the given number of answers.
func killDuring(t *testing.T, p *process, writers []*writer, answers int) {
	t.Helper()
	var answered atomic.Int64
	enough := make(chan struct{})
	var wg sync.WaitGroup
	for _, w := range writers {
		wg.Go(func() {
			err := w.write(t.Context(), p.url, func() {
				if answered.Add(1) == int64(answers) {
					close(enough)
				}
			})
			if err != nil {
				t.Error(err)
			}
		})
	}
	ended := make(chan struct{})
	go func() { wg.Wait(); close(ended) }()
	select {
	case <-enough:
	case <-ended:
		t.Errorf("the program ended after %d answers", answered.Load())
	}
	p.kill(t)
	<-ended
}

// kill ends the program as kill -9 does.
func (p *process) kill(t *testing.T) {
	t.Helper()
	if err := p.Process.Kill(); err != nil {
		t.Error(err)
	}
	_ = p.Wait() // the error is that it was killed
}

// A signal ends the program cleanly: watches end, a request under way is still
// done, and the data is there afterwards.
func TestTerminate(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("Windows has no SIGTERM")
	}
	dir := filepath.Join(t.TempDir(), "data")
	p := start(t, dir)
	w := startWatch(t, p.url+"/watch")
	do(t, "PUT", p.url+"/kv/a", "x")
	w.expect(t, `{"index":1,"op":"put","key":"a","value":"eA=="}`)
	finish := startPut(t, p.url+"/kv/b")
	if err := p.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	w.expectEnd(t)
	finish("y")
	if err := p.Wait(); err != nil {
		t.Fatalf("the program ended with %v after SIGTERM", err)
	}
	p = start(t, dir)
	for key, want := range map[string]string{"a": "x", "b": "y"} {
		if _, body := do(t, "GET", p.url+"/kv/"+key, ""); body != want {
			t.Errorf("after a restart %s is %q, not %q", key, body, want)
		}
	}
	p.kill(t)
}

// startPut starts a PUT and returns, when it is under way, a function that
// sends the value and waits for the answer.
func startPut(t *testing.T, url string) (finish func(value string)) {
	t.Helper()
	begun := make(chan struct{})
	ctx := httptrace.WithClientTrace(t.Context(), &httptrace.ClientTrace{Got100Continue: func() { close(begun) }})
	body, value := io.Pipe()
	req, err := http.NewRequestWithContext(ctx, "PUT", url, body)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Expect", "100-continue")
	answer := make(chan error, 1)
	go func() {
		resp, err := (&http.Client{Transport: &http.Transport{ExpectContinueTimeout: time.Hour}}).Do(req)
		if err == nil && resp.StatusCode != http.StatusCreated {
			err = errors.New(resp.Status)
		}
		answer <- err
	}()
	select {
	case <-begun:
	case err := <-answer:
		t.Fatalf("a PUT was answered before its end: %v", err)
	}
	return func(s string) {
		t.Helper()
		_, err := io.WriteString(value, s)
		if err := errors.Join(err, value.Close(), <-answer); err != nil {
			t.Errorf("a PUT under way: %v", err)
		}
	}
}

// A second process on the same data is refused, and tells why.
func TestLocked(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "data")
	p := start(t, dir)
	out, err := program(t, dir).CombinedOutput()
	var exit *exec.ExitError
	if !errors.As(err, &exit) || exit.ExitCode() != 1 || !strings.Contains(string(out), dir+" is open elsewhere") {
		t.Errorf("a second process: %v\n%s", err, out)
	}
	p.kill(t)
}

// When the store has failed the program answers what is under way, ends watches,
// and ends with an error that tells why: a supervisor starts it again. Before, it
// stayed, and answered every change with 503.
func TestAStoreThatFailsEndsTheProgram(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("Windows removes no file that is open")
	}
	dir := filepath.Join(t.TempDir(), "data")
	p := start(t, dir)
	defer time.AfterFunc(time.Minute, func() { _ = p.Process.Kill() }).Stop() // else the test would hang
	do(t, "PUT", p.url+"/kv/a", "x")
	w := startWatch(t, p.url+"/watch?prefix=none")
	logs, err := filepath.Glob(filepath.Join(dir, "*.log"))
	if err != nil || len(logs) == 0 {
		t.Fatalf("logs %q, %v", logs, err)
	}
	for _, log := range logs {
		if err := os.Remove(log); err != nil {
			t.Fatal(err)
		}
	}
	if status, body := do(t, "PUT", p.url+"/kv/a", "y"); status != http.StatusServiceUnavailable || !strings.Contains(body, "has failed") {
		t.Errorf("a PUT after the log was removed: %d %q", status, body)
	}
	for w.Scan() {
		if !strings.Contains(w.Text(), "error") { // the last line may tell why
			t.Errorf("the watch showed %s", w.Text())
		}
	}
	err = p.Wait()
	var exit *exec.ExitError
	if !errors.As(err, &exit) || exit.ExitCode() != 1 || !strings.Contains(p.log.String(), "kv: store: "+dir+" has failed") {
		t.Errorf("the program ended with %v\n%s", err, p.log.String())
	}
}

// What is given without a flag is refused: it may be meant as the directory.
func TestStrayArgumentsAreRefused(t *testing.T) {
	cmd := program(t, filepath.Join(t.TempDir(), "data"))
	cmd.Args = append(cmd.Args, "elsewhere")
	out, err := cmd.CombinedOutput()
	var exit *exec.ExitError
	if !errors.As(err, &exit) || exit.ExitCode() != 2 || !strings.Contains(string(out), `kv: unexpected argument "elsewhere"`) {
		t.Errorf("a stray argument: %v\n%s", err, out)
	}
}
