package fsys

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

func punch(fd uintptr, n int64) error {
	return unix.Fallocate(int(fd), unix.FALLOC_FL_PUNCH_HOLE|unix.FALLOC_FL_KEEP_SIZE, 0, n)
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
