package memfs

import "syscall"

// What an FS answers that this system has no name for: there, an error is a text.
var (
	errBadFile     = syscall.NewError("bad file descriptor")
	errCrossDevice = syscall.NewError("invalid cross-device link")
	errFileTooBig  = syscall.NewError("file too large")
	errDiskFull    = syscall.NewError("no space left on device")
)
