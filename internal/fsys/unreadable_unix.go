//go:build unix && !linux

package fsys

import "golang.org/x/sys/unix"

var unreadable = []error{unix.EIO}
