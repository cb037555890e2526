//go:build !plan9

package crashtest

import "syscall"

// The errors of a system that a fault may have, apart from those that all systems have.
const (
	diskFull     = syscall.ENOSPC
	quotaUsed    = syscall.EDQUOT
	fileTooBig   = syscall.EFBIG
	noSuchCall   = syscall.ENOSYS
	notSupported = syscall.EOPNOTSUPP
)
