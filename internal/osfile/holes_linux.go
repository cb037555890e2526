package osfile

import (
	"errors"
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// dataEnd looks for the last data by bisection with SEEK_DATA, on an open file
// of its own so that the position of f stays.
func dataEnd(f *os.File, limit int64) int64 {
	end := limit
	_ = control(f, func(fd uintptr) error {
		g, err := os.Open(fmt.Sprintf("/proc/self/fd/%d", fd))
		if err != nil {
			return err
		}
		defer g.Close()
		// There is data at low or after it, or low is 0, and none from end on.
		for low := int64(0); end-low > 1<<20; {
			mid := low + (end-low)/2
			at, err := g.Seek(mid, unix.SEEK_DATA)
			switch {
			case errors.Is(err, unix.ENXIO) || err == nil && at >= end:
				end = mid
			case err != nil:
				return err
			default:
				low = mid
				if hole, err := g.Seek(at, unix.SEEK_HOLE); err == nil && hole > at {
					low = max(low, min(hole, end)-1)
				}
			}
		}
		return nil
	})
	return end
}

func punch(f *os.File, n int64) error {
	err := control(f, func(fd uintptr) error {
		return unix.Fallocate(int(fd), unix.FALLOC_FL_PUNCH_HOLE|unix.FALLOC_FL_KEEP_SIZE, 0, n)
	})
	switch err {
	case unix.EOPNOTSUPP, unix.ENOSYS, unix.EINVAL, unix.EPERM, unix.EACCES:
		return fmt.Errorf("%w: %w", errors.ErrUnsupported, err)
	}
	return err
}

func allocated(f *os.File) (n int64, err error) {
	err = control(f, func(fd uintptr) error {
		var st unix.Stat_t
		err := unix.Fstat(int(fd), &st)
		n = st.Blocks * 512
		return err
	})
	return n, err
}

func forget(f *os.File, off int64) {
	off -= off % int64(os.Getpagesize())
	_ = control(f, func(fd uintptr) error { return unix.Fadvise(int(fd), off, 0, unix.FADV_DONTNEED) })
}

// syncAll syncs the file system of the file at path, and thereby its name. A
// sandbox that forbids that is no obstacle.
func syncAll(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return nil // it may not be read; there is no other way
	}
	err = control(f, func(fd uintptr) error { return unix.Syncfs(int(fd)) })
	_ = f.Close() // nothing was written through it
	if noDirSync(err) {
		return nil
	}
	return err
}
