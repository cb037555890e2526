//go:build unix

package main

import (
	"os/exec"
	"syscall"
)

// together makes the processes that cmd starts end with it when its time is up.
func together(cmd *exec.Cmd) {
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
}
