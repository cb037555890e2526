//go:build unix

package main

import (
	"bufio"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// A terminal that is closed ends a command as an interrupt does: what it was told
// before is durable, nothing is left lying about, and the exit status says why.
func TestAHangUpEndsACommandInOrder(t *testing.T) {
	if signal.Ignored(syscall.SIGHUP) {
		t.Skip("these tests run under nohup, and so would the command")
	}
	path := filepath.Join(t.TempDir(), "app.state")
	cmd := exec.Command("stateio", "append", "--ack", path)
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	var errs strings.Builder
	cmd.Stderr = &errs
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	if _, err := in.Write([]byte("one\n")); err != nil {
		t.Fatal(err)
	}
	if _, err := bufio.NewReader(out).ReadString('\n'); err != nil {
		t.Fatal(err)
	}
	if err := cmd.Process.Signal(syscall.SIGHUP); err != nil {
		t.Fatal(err)
	}
	err = cmd.Wait()
	if status, _ := exitStatus(err); status != 129 || !strings.Contains(errs.String(), "1 update of this run are durable") {
		t.Fatal(err, errs.String())
	}
}

// What a shell runs in the background ignores an interrupt and a quit, which the terminal sends
// to it as well, and a request to terminate ends it.
func TestACommandInTheBackgroundHeedsNoInterrupt(t *testing.T) {
	if _, err := exec.LookPath("sh"); err != nil {
		t.Skip("there is no sh")
	}
	path := filepath.Join(t.TempDir(), "app.state")
	fifo := filepath.Join(t.TempDir(), "fifo")
	if err := unix.Mkfifo(fifo, 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("sh", "-c", `stateio append --ack "$0" < "$1" & echo $!; wait $!; echo $?`, path, fifo)
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	in, err := os.OpenFile(fifo, os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer in.Close()
	lines := bufio.NewScanner(out)
	next := func() string {
		lines.Scan()
		return lines.Text()
	}
	pid, err := strconv.Atoi(next())
	if err != nil {
		t.Fatal(err)
	}
	for i, s := range []syscall.Signal{0, syscall.SIGINT, syscall.SIGQUIT} {
		if err := syscall.Kill(pid, s); err != nil {
			t.Fatal(err)
		}
		if _, err := in.WriteString("line\n"); err != nil {
			t.Fatal(err)
		}
		if got := next(); got != strconv.Itoa(i+1) {
			t.Fatalf("after %v it has acknowledged %q", s, got)
		}
	}
	if err := syscall.Kill(pid, syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if got := next(); got != "143" {
		t.Errorf("exit status %s", got)
	}
	if err := cmd.Wait(); err != nil {
		t.Fatal(err)
	}
}

// A quit ends a command at once, says what it was doing, and is no wrong command line.
func TestAQuitIsNoWrongCommandLine(t *testing.T) {
	heed(t, os.Interrupt)
	cmd := exec.Command("stateio", "append", "--ack", filepath.Join(t.TempDir(), "app.state"))
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	var errs strings.Builder
	cmd.Stderr = &errs
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	if _, err := in.Write([]byte("one\n")); err != nil {
		t.Fatal(err)
	}
	if _, err := bufio.NewReader(out).ReadString('\n'); err != nil {
		t.Fatal(err)
	}
	if err := cmd.Process.Signal(syscall.SIGQUIT); err != nil {
		t.Fatal(err)
	}
	if status, _ := exitStatus(cmd.Wait()); status != 131 || !strings.Contains(errs.String(), ".appendAll(") {
		t.Errorf("exit status %d: %s", status, errs.String())
	}
}

// A file that is replaced, by compact or restore --force, stays that of its owner.
func TestAFileThatIsReplacedKeepsItsOwnerAndMode(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("only root can make a file of somebody else's")
	}
	dir := t.TempDir()
	path, out := filepath.Join(dir, "app.state"), filepath.Join(dir, "out")
	runStateio(t, 0, strings.NewReader("one\ntwo\n"), "append", path)
	if err := os.WriteFile(out, []byte("old"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{path, out} {
		if err := os.Chown(name, 65534, 4); err != nil {
			t.Fatal(err)
		}
		if err := os.Chmod(name, 0o640); err != nil {
			t.Fatal(err)
		}
		setAttribute(t, name)
	}
	for _, args := range [][]string{{"compact", path}, {"restore", path, "--updates", out, "--force"}} {
		if _, errs := runStateio(t, 0, nil, args...); errs != "" {
			t.Errorf("%q: %s", args, errs)
		}
	}
	for _, name := range []string{path, out} {
		var st unix.Stat_t
		if err := unix.Stat(name, &st); err != nil {
			t.Fatal(err)
		}
		if st.Uid != 65534 || st.Gid != 4 || st.Mode&0o777 != 0o640 {
			t.Errorf("%s: owner %d, group %d, mode %o", name, st.Uid, st.Gid, st.Mode)
		}
		checkAttribute(t, name)
	}
}
