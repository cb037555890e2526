//go:build !unix

package child

import "os/exec"

// ownGroup does nothing: here there are no groups.
func ownGroup(*exec.Cmd) {}

// killGroup kills a command that was started.
func killGroup(c *exec.Cmd) error { return c.Process.Kill() }
