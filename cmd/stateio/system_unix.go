//go:build unix

package main

import (
	"errors"
	"os"
	"os/signal"
	"syscall"
)

// ignoreSignals makes an error of what would end the process: writing to a pipe
// that nobody reads any more.
func ignoreSignals() { signal.Ignore(syscall.SIGPIPE) }

// isBrokenPipe reports whether err is that of writing to a pipe that nobody
// reads any more.
func isBrokenPipe(err error) bool { return errors.Is(err, syscall.EPIPE) }

// noFollow makes opening a symbolic link an error.
const noFollow = syscall.O_NOFOLLOW

// syncDir makes the names in a directory durable.
func syncDir(path string) error {
	dir, err := os.Open(path)
	if err != nil {
		return err
	}
	defer dir.Close()
	return dir.Sync()
}
