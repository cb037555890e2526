//go:build !unix

package main

import (
	"errors"
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

// syncDir does nothing: NTFS journals names.
func syncDir(string) error { return nil }
