//go:build !plan9

package fsys

import "syscall"

// What a Mem answers that not every system has a name for.
const (
	errBadFile     = syscall.EBADF
	errCrossDevice = syscall.EXDEV
	errFileTooBig  = syscall.EFBIG
	errDiskFull    = syscall.ENOSPC
)
