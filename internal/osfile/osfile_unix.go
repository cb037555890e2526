//go:build unix

package osfile

import (
	"errors"

	"golang.org/x/sys/unix"
)

const canSyncDir = true

// retry calls op again while a signal interrupts it.
func retry(op func() error) error {
	for {
		if err := op(); !errors.Is(err, unix.EINTR) {
			return err
		}
	}
}
