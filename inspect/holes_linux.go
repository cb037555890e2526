package inspect

import (
	"errors"
	"fmt"
	"io"
	"os"

	"golang.org/x/sys/unix"
)

// firstData returns an offset of f before which there is nothing but a hole, on
// an open file of its own so that the position of f stays.
func firstData(f *os.File) (off int64) {
	conn, err := f.SyscallConn()
	if err != nil {
		return 0
	}
	_ = conn.Control(func(fd uintptr) {
		g, err := os.Open(fmt.Sprintf("/proc/self/fd/%d", fd))
		if err != nil {
			return
		}
		defer g.Close()
		at, err := g.Seek(0, unix.SEEK_DATA)
		if errors.Is(err, unix.ENXIO) {
			at, err = g.Seek(0, io.SeekEnd)
		}
		if err == nil {
			off = at
		}
	})
	return off
}
