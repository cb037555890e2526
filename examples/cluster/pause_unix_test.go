//go:build unix

package main

import (
	"bufio"
	"context"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// A node that is paused can be closed, and starts again.
func TestAPausedNodeCloses(t *testing.T) {
	f, err := startFleet(t.TempDir(), 300*time.Millisecond)
	if err != nil {
		t.Fatal(err)
	}
	defer f.stop()
	if err := f.ready(time.Minute); err != nil {
		t.Fatal(err)
	}
	if paused, err := f.pause(0); !paused || err != nil {
		t.Fatalf("it is paused: %v, %v", paused, err)
	}
	process := f.procs[0].cmd.Process
	stuck := time.AfterFunc(time.Minute, func() { _ = process.Kill() })
	if err := f.close(0); err != nil {
		t.Error(err)
	}
	if !stuck.Stop() {
		t.Fatal("it did not end within a minute")
	}
	if err := f.start(0); err != nil {
		t.Fatal(err)
	}
	if err := f.caughtUp(0, time.Minute); err != nil {
		t.Error(err)
	}
}

// A signal ends the program with all of its nodes, and what they have written: one that is
// paused, too.
func TestASignalLeavesNoNodeAndNoFile(t *testing.T) {
	program, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	tmp := t.TempDir()
	cmd := exec.CommandContext(ctx, program, "-heartbeat", "300ms", "-clients", "3")
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) } // with all nodes
	cmd.Dir = tmp
	cmd.Env = append(os.Environ(), nodeEnv+"=1", "TMPDIR="+filepath.Join(tmp, "none"))
	errs, write, err := os.Pipe() // which the nodes hold as well
	if err != nil {
		t.Fatal(err)
	}
	defer errs.Close()
	cmd.Stderr = write
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	defer in.Close()
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	_ = write.Close()
	if _, err := io.WriteString(in, "p1\n"); err != nil {
		t.Fatal(err)
	}
	for lines := bufio.NewScanner(out); ; {
		if !lines.Scan() {
			t.Fatalf("it has ended: %v", lines.Err())
		}
		if strings.HasPrefix(lines.Text(), "n1 is paused") {
			break
		}
	}
	if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	said, err := io.ReadAll(errs) // until the last node has ended
	if err != nil || !strings.HasSuffix(string(said), "cluster: interrupted: nothing was checked\n") {
		t.Errorf("it says %s, %v", said, err)
	}
	_ = cmd.Wait() // which tells that it was interrupted
	if left, err := os.ReadDir(tmp); len(left) != 0 {
		t.Errorf("it has left %v, %v", left, err)
	}
}
