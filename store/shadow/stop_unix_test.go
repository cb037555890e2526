//go:build unix

package shadow_test

import (
	"os"
	"syscall"
	"testing"
)

// stop has a process do nothing from now on.
func stop(t *testing.T, p *os.Process) {
	t.Helper()
	check(t, p.Signal(syscall.SIGSTOP))
}
