package crashtest

import (
	"errors"
	"fmt"
	"syscall"
)

// The errors of a system that a fault may have, apart from those that all systems have.
var (
	diskFull     = syscall.NewError("file system full")
	quotaUsed    = syscall.NewError("file system full for this user")
	fileTooBig   = syscall.NewError("file too large")
	noSuchCall   = fmt.Errorf("no such call: %w", errors.ErrUnsupported)
	notSupported = fmt.Errorf("not supported here: %w", errors.ErrUnsupported)
)
