//go:build amd64 || arm64

package kernel

import (
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// loopDevice connects the file at path to a free loop device with sectors of 512
// bytes. It returns the device's path and a descriptor of it. When the last user
// has closed the device, it is free again.
func loopDevice(path string) (device string, fd int, err error) {
	file, err := unix.Open(path, unix.O_RDWR|unix.O_CLOEXEC, 0)
	if err != nil {
		return "", -1, fmt.Errorf("opening %s: %w", path, err)
	}
	defer unix.Close(file) //nolint:errcheck // the device has a reference of its own
	control, err := unix.Open("/dev/loop-control", unix.O_RDWR|unix.O_CLOEXEC, 0)
	if err != nil {
		return "", -1, fmt.Errorf("opening /dev/loop-control: %w", err)
	}
	defer unix.Close(control) //nolint:errcheck // nothing was written
	config := unix.LoopConfig{Fd: uint32(file), Size: 512}
	config.Info.Flags = unix.LO_FLAGS_AUTOCLEAR
	for {
		number, err := unix.IoctlRetInt(control, unix.LOOP_CTL_GET_FREE)
		if err != nil {
			return "", -1, fmt.Errorf("finding a loop device: %w", err)
		}
		device, fd, err := openLoop(number)
		if err != nil {
			return "", -1, err
		}
		if err = unix.IoctlLoopConfigure(fd, &config); err == nil {
			return device, fd, nil
		}
		_ = unix.Close(fd)
		if !errors.Is(err, unix.EBUSY) { // somebody else was faster
			return "", -1, fmt.Errorf("connecting %s to %s: %w", device, path, err)
		}
	}
}

// openLoop opens the loop device of a number. In containers /dev may lack it: it
// is made in the scratch directory then.
func openLoop(number int) (device string, fd int, err error) {
	device = fmt.Sprintf("/dev/loop%d", number)
	fd, err = unix.Open(device, unix.O_RDWR|unix.O_CLOEXEC, 0)
	if errors.Is(err, unix.ENOENT) {
		device = filepath.Join(Scratch, fmt.Sprintf("loop%d", number))
		const major = 7
		err = unix.Mknod(device, unix.S_IFBLK|0o600, int(unix.Mkdev(major, uint32(number))))
		if err == nil || errors.Is(err, fs.ErrExist) {
			fd, err = unix.Open(device, unix.O_RDWR|unix.O_CLOEXEC, 0)
		}
	}
	if err != nil {
		return "", -1, fmt.Errorf("opening %s: %w", device, err)
	}
	return device, fd, nil
}
