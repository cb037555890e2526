//go:build unix

package osfile

import (
	"errors"
	"os"

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

func removed(f *os.File) (gone bool, err error) {
	err = control(f, func(fd uintptr) error {
		var st unix.Stat_t
		err := unix.Fstat(int(fd), &st)
		gone = st.Nlink == 0
		return err
	})
	return gone, err
}
