//go:build unix

package shadow_test

import (
	"bufio"
	"io"
	"os"
	"syscall"
	"testing"
	"time"
)

// A process ends after the one that has started it, though its machine does not return.
func TestAProcessEndsAfterItsParent(t *testing.T) {
	parent := child("parent", new(int))()
	r, w, err := os.Pipe()
	check(t, err)
	defer r.Close()
	parent.Stderr = w // and so of its child
	check(t, parent.Start())
	check(t, w.Close())
	check(t, r.SetReadDeadline(time.Now().Add(time.Minute)))
	out := bufio.NewReader(r)
	line, err := out.ReadString('\n')
	if check(t, err); line != "stuck\n" {
		t.Errorf("the process says %q", line)
	}
	check(t, parent.Process.Kill())
	_ = parent.Wait()
	_, err = io.Copy(io.Discard, out) // up to the end, when nobody holds the pipe any more
	check(t, err)
}

// stop has a process do nothing from now on.
func stop(t *testing.T, p *os.Process) {
	t.Helper()
	check(t, p.Signal(syscall.SIGSTOP))
}
