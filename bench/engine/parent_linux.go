//go:build !nopeers

package engine

import (
	"os/exec"
	"syscall"
)

// dieWithParent lets the kernel kill a process when this one is no more.
func dieWithParent(c *exec.Cmd) { c.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL} }
