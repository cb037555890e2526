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

// links returns how many names an open file has.
func links(file *os.File) (uint64, error) {
	info, err := file.Stat()
	if err != nil {
		return 0, err
	}
	if st, ok := info.Sys().(*syscall.Stat_t); ok {
		return uint64(st.Nlink), nil //nolint:unconvert // its type depends on the system
	}
	return 1, nil
}
