//go:build unix

package main

import (
	"os"
	"syscall"
)

// pauseProcess pauses a process, or lets it go on.
func pauseProcess(p *os.Process, pause bool) error {
	if pause {
		return p.Signal(syscall.SIGSTOP)
	}
	return p.Signal(syscall.SIGCONT)
}
