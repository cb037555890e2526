//go:build unix && !linux

package osfile

import "golang.org/x/sys/unix"

// A statPath looks at what a path leads to.
type statPath string

func newStatPath(path string) statPath { return statPath(path) }

// stat returns the device and the inode number that the path leads to.
func (p statPath) stat() (major, minor uint32, ino uint64, err error) {
	var st unix.Stat_t
	if err := retry(func() error { return unix.Stat(string(p), &st) }); err != nil {
		return 0, 0, 0, err
	}
	dev := uint64(st.Dev)
	return unix.Major(dev), unix.Minor(dev), uint64(st.Ino), nil
}
