//go:build !plan9

package memfs

import "syscall"

// What an FS answers that not every system has a name for.
const (
	errBadFile     = syscall.EBADF
	errCrossDevice = syscall.EXDEV
	errFileTooBig  = syscall.EFBIG
	errDiskFull    = syscall.ENOSPC
)
