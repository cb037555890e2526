package main

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"
)

// asProgram in the environment makes the test binary the program. With the value
// "forgetful", its server has a new ledger each time. With "mortal", the first one is killed
// before it serves, and the second one as soon as it does.
const asProgram = "KILL9_TEST_AS_PROGRAM"

func TestMain(m *testing.M) {
	switch os.Getenv(asProgram) {
	case "":
		os.Exit(m.Run())
	case "forgetful":
		forget()
	case "mortal":
		die()
	}
	main()
}

// deathsFile in the environment is the file with a byte for each server that die has killed.
const deathsFile = "KILL9_TEST_DEATHS"

// die kills this process, if it is one of the first two.
func die() {
	f, err := os.OpenFile(os.Getenv(deathsFile), os.O_APPEND|os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		panic(err)
	}
	before, err := io.ReadAll(f)
	if err != nil {
		panic(err)
	}
	switch len(before) {
	case 1:
		fmt.Println(`{"url":"http://127.0.0.1:1"}`)
	case 2:
		return
	}
	self, err := os.FindProcess(os.Getpid())
	if _, werr := f.WriteString("x"); err == nil && werr == nil {
		_ = self.Kill()
	}
	select {}
}

// forget has a server serve a directory that is empty.
func forget() {
	for i, arg := range os.Args {
		if arg == "-dir" && os.Args[1] == "-serve" {
			dir, err := os.MkdirTemp(os.Args[i+1], "forgotten")
			if err != nil {
				panic(err)
			}
			os.Args[i+1] = dir
		}
	}
}

// program returns the command with these arguments, in a directory of its own.
func program(t *testing.T, mode string, args ...string) *exec.Cmd {
	t.Helper()
	path, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(path, args...) // the context of the test ends before what cleans up
	cmd.Dir = t.TempDir()
	cmd.Env = append(os.Environ(), asProgram+"="+mode)
	return cmd
}

// A process is the program, running, with its page.
type process struct {
	*exec.Cmd
	url   string
	pid   string // of the first server
	lines *lines
}

// lines are those that a process has written.
type lines struct {
	mu  sync.Mutex
	all strings.Builder
	end chan struct{} // closed when there will be no more
}

func (l *lines) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.all.String()
}

var (
	openLine = regexp.MustCompile(`open (http://127\.0\.0\.1:\d+)\n`)
	killLine = regexp.MustCompile(`\n  kill -9 (\d+) +#`)
)

// startParent starts the program, and waits until it has told how to use it. It ends
// when the test ends, if it has not by then.
func startParent(t *testing.T, stderr *os.File, args ...string) *process {
	t.Helper()
	cmd := program(t, "1", append([]string{"-listen", "127.0.0.1:0"}, args...)...)
	out, err := cmd.StdoutPipe()
	cmd.Stderr = stderr
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	p := &process{Cmd: cmd, lines: &lines{end: make(chan struct{})}}
	ready := make(chan struct{})
	go func() {
		defer close(p.lines.end)
		told := false
		for r := bufio.NewReader(out); ; {
			line, err := r.ReadString('\n')
			p.lines.mu.Lock()
			p.lines.all.WriteString(line)
			p.lines.mu.Unlock()
			if !told && (err != nil || strings.HasPrefix(line, "Ctrl-C")) {
				told = true
				close(ready)
			}
			if err != nil {
				return
			}
		}
	}()
	<-ready
	said := p.lines.String()
	address, pid := openLine.FindStringSubmatch(said), killLine.FindStringSubmatch(said)
	if address == nil || pid == nil {
		t.Fatalf("the program wrote\n%s\nand ended: %v", said, cmd.Wait())
	}
	p.url, p.pid = address[1], pid[1]
	t.Cleanup(func() {
		if p.ProcessState == nil {
			if p.Process.Signal(os.Interrupt) != nil { // as on Windows
				_ = p.Process.Kill()
			}
			<-p.lines.end
			_ = p.Wait() // some tests make it fail
		}
	})
	return p
}

// wait waits until the program has ended, and returns its exit status.
func (p *process) wait(t *testing.T) int {
	t.Helper()
	late := time.AfterFunc(time.Minute, func() { _ = p.Process.Kill() }) // else the test would hang
	defer late.Stop()
	<-p.lines.end
	return exitCode(t, p.Wait())
}

func exitCode(t *testing.T, err error) int {
	t.Helper()
	var exit *exec.ExitError
	switch {
	case err == nil:
		return 0
	case errors.As(err, &exit):
		return exit.ExitCode()
	}
	t.Fatal(err)
	return 0
}

// do makes a request and returns status and body.
func do(t *testing.T, method, url, body string) (int, string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, url, strings.NewReader(body))
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
	return resp.StatusCode, string(b)
}

// waitUntil waits until ok returns true.
func waitUntil(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(time.Minute); !ok(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("there were no %s in a minute", what)
		}
	}
}

// -demo kills and counts by itself, and leaves nothing.
func TestDemo(t *testing.T) {
	cmd := program(t, "1", "-demo", "-kills", "2", "-writers", "8")
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	if !regexp.MustCompile(`(?s)^kill9: 8 writers .*(\nkill -9 \d+: acknowledged [\d,]+, lost 0, recovered in [\d.]+m?s .*){2}\n2 kills: acknowledged [\d,]+, lost 0, recovered in `).Match(out) {
		t.Errorf("it said\n%s", out)
	}
	left, err := os.ReadDir(cmd.Dir)
	if err != nil || len(left) > 0 {
		t.Errorf("it left %v, %v", left, err)
	}
}

// A server that forgets is found out: the exit status is 1.
func TestDemoOfAForgetfulServer(t *testing.T) {
	out, err := program(t, "forgetful", "-demo", "-kills", "1").CombinedOutput()
	if code := exitCode(t, err); code != 1 || !regexp.MustCompile(`entries [1-9]\d* were LOST`).Match(out) {
		t.Errorf("exit status %d\n%s", code, out)
	}
}

// Ctrl-C ends the program, and leaves no server and no directory.
func TestCtrlCLeavesNothing(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("Windows sends no interrupt to a process")
	}
	stderr, ended := held(t)
	p := startParent(t, stderr)
	do(t, "POST", p.url+"/kill", "")
	if err := p.Process.Signal(os.Interrupt); err != nil {
		t.Fatal(err)
	}
	if code := p.wait(t); code != 0 {
		t.Errorf("exit status %d", code)
	}
	ended()
	left, err := os.ReadDir(p.Dir)
	if err != nil || len(left) > 0 {
		t.Errorf("it left %v, %v", left, err)
	}
}

// A program that is killed itself leaves no server either.
func TestAServerEndsWithItsParent(t *testing.T) {
	stderr, ended := held(t)
	p := startParent(t, stderr)
	if err := p.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	p.wait(t)
	ended()
}

// held returns a file to be standard error, and a function that waits until no process
// holds it any more.
func held(t *testing.T) (w *os.File, ended func()) {
	t.Helper()
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { r.Close() })
	return w, func() {
		t.Helper()
		w.Close()
		if err := r.SetReadDeadline(time.Now().Add(time.Minute)); err != nil {
			t.Skipf("this system can't wait for a pipe: %v", err)
		}
		if said, err := io.ReadAll(r); err != nil {
			t.Errorf("a process is left: %v, it said %q", err, said)
		}
	}
}

// A server whose store fails ends, and so does the program, with exit status 1.
func TestAStoreThatFailsEndsTheProgram(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("Windows removes no file that is open")
	}
	dir := t.TempDir()
	stderr, ended := held(t)
	p := startParent(t, stderr, "-dir", dir)
	logs, err := filepath.Glob(filepath.Join(dir, "*.log"))
	if err != nil || len(logs) == 0 {
		t.Fatalf("logs %q, %v", logs, err)
	}
	for _, log := range logs {
		if err := os.Remove(log); err != nil && !errors.Is(err, os.ErrNotExist) { // it may have been superfluous
			t.Fatal(err)
		}
	}
	if code := p.wait(t); code != 1 {
		t.Errorf("exit status %d", code)
	}
	ended()
}

// The default port may be taken, by another kill9 or anything else.
func TestTheDefaultPortMayBeTaken(t *testing.T) {
	if l, err := net.Listen("tcp", defaultAddress); err == nil { // else something has it already
		defer l.Close()
	}
	l, err := listenAt(defaultAddress)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	if l.Addr().String() == defaultAddress {
		t.Errorf("listening at %v, which is taken", l.Addr())
	}
	if again, err := listenAt(l.Addr().String()); err == nil {
		again.Close()
		t.Error("an address that was asked for and is taken is no error")
	}
}

// Wrong arguments are refused.
func TestWrongArguments(t *testing.T) {
	for _, c := range []struct {
		args string
		code int
		says string
	}{
		{"elsewhere", 2, `unexpected argument "elsewhere"`},
		{"-writers 1000", 1, "-writers is from 0 to 256"},
		{"-demo -kills 0", 1, "-kills at least 1"},
		{"-kills 3", 2, "-kills is of no use here"},
		{"-demo -listen 127.0.0.1:0", 2, "-listen is of no use here"},
		{"-listen 127.0.0.1:x", 1, "unknown port"},
	} {
		out, err := program(t, "1", strings.Fields(c.args)...).CombinedOutput()
		if code := exitCode(t, err); code != c.code || !strings.Contains(string(out), c.says) {
			t.Errorf("%s: exit status %d\n%s", c.args, code, out)
		}
	}
}

// Two on the same directory: the second one is refused, and tells why.
func TestADirectoryInUse(t *testing.T) {
	dir := t.TempDir()
	startParent(t, os.Stderr, "-dir", dir)
	out, err := program(t, "1", "-dir", dir, "-demo").CombinedOutput()
	if code := exitCode(t, err); code != 1 || !strings.Contains(string(out), dir+" is open elsewhere") {
		t.Errorf("exit status %d\n%s", code, out)
	}
}
