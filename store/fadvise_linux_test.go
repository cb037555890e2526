//go:build linux && !arm

package store_test

import "golang.org/x/sys/unix"

// sysFadvise is the number of posix_fadvise.
const sysFadvise = unix.SYS_FADVISE64
