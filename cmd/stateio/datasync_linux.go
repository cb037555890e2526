package main

import (
	"os"

	"golang.org/x/sys/unix"
)

// datasync makes durable what was written to f, as a store does.
func datasync(f *os.File) error { return unix.Fdatasync(int(f.Fd())) }

// syncFileSystem makes durable all that is in the file system of a file.
func syncFileSystem(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	return os.NewSyscallError("syncfs", unix.Syncfs(int(f.Fd())))
}
