//go:build unix

package main

import (
	"io"
	"path"
	"strconv"

	"golang.org/x/sys/unix"
)

// descriptor returns the descriptor that a path of the kind /dev/fd/3 means: what is
// written there goes on where its owner left off. A shell's process substitution
// is such a path.
func descriptor(name string) (fd uintptr, ok bool) {
	switch name = path.Clean(name); name {
	case "/dev/stdout":
		return 1, true
	case "/dev/stderr":
		return 2, true
	}
	dir, base := path.Split(name)
	if dir != "/dev/fd/" && dir != "/proc/self/fd/" {
		return 0, false
	}
	n, err := strconv.ParseUint(base, 10, 31)
	return uintptr(n), err == nil
}

// inherited reports whether a descriptor is open, and may be one that the process was started
// with: of those that it has opened none would be passed on.
func inherited(fd uintptr) bool {
	flags, err := unix.FcntlInt(fd, unix.F_GETFD, 0)
	return err == nil && flags&unix.FD_CLOEXEC == 0
}

// noReader reports whether w is standard output, and that a pipe that nobody reads any more.
func noReader(w io.Writer) bool {
	out, ok := w.(*standardOutput)
	if !ok {
		return false
	}
	p := []unix.PollFd{{Fd: int32(out.file.Fd())}}
	n, err := unix.Poll(p, 0)
	return err == nil && n == 1 && p[0].Revents&(unix.POLLERR|unix.POLLHUP) != 0
}
