package main

import (
	"os"

	"golang.org/x/sys/unix"
)

// datasync makes durable what was written to f, as a store does.
func datasync(f *os.File) error { return unix.Fdatasync(int(f.Fd())) }
