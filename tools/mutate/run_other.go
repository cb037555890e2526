//go:build !unix

package main

import "os/exec"

// together is for systems with process groups. Mutants need one: their
// switches map a file.
func together(*exec.Cmd) {}
