//go:build amd64 || arm64

package kernel

import (
	"errors"
	"fmt"
	"unsafe"

	"golang.org/x/sys/unix"
)

// forgetBtrfs makes the kernel forget that a btrfs was on the device. It refuses
// an older state of the same file system on another device otherwise.
func forgetBtrfs(device string) error {
	control, err := unix.Open("/dev/btrfs-control", unix.O_RDWR|unix.O_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("opening /dev/btrfs-control: %w", err)
	}
	defer unix.Close(control) //nolint:errcheck // nothing was written
	var args struct {         // struct btrfs_ioctl_vol_args
		fd   int64
		name [4088]byte
	}
	copy(args.name[:], device)
	const forgetDev = 0x50009405 // BTRFS_IOC_FORGET_DEV
	_, _, errno := unix.Syscall(unix.SYS_IOCTL, uintptr(control), forgetDev, uintptr(unsafe.Pointer(&args)))
	if errno != 0 && !errors.Is(errno, unix.ENOENT) {
		return fmt.Errorf("making btrfs forget %s: %w", device, errno)
	}
	return nil
}
