//go:build !unix

package main

import (
	"errors"
	"io"
	"os"
	"syscall"
)

// ignoreSignals does nothing: there are none of the kind.
func ignoreSignals() {}

// isBrokenPipe reports whether err is that of a write to a pipe that nobody
// reads any more. 109 and 232 are Windows' ERROR_BROKEN_PIPE and ERROR_NO_DATA.
func isBrokenPipe(err error) bool {
	return errors.Is(err, syscall.Errno(109)) || errors.Is(err, syscall.Errno(232))
}

// noFollow makes opening a symbolic link an error, where there is a way to.
const noFollow = 0

// noReader knows no pipes.
func noReader(io.Writer) bool { return false }

// descriptor knows no paths of descriptors.
func descriptor(string) (fd uintptr, ok bool) { return 0, false }

// inherited knows none.
func inherited(uintptr) bool { return false }

// keepAttributes does nothing: a file has those of its directory.
func keepAttributes(*os.File, string) []string { return nil }

// links returns how many names an open file has, as far as that is known: one.
func links(*os.File) (uint64, error) { return 1, nil }
