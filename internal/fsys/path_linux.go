package fsys

import "golang.org/x/sys/unix"

// A pathID tells which file a path leads to. Unlike unix.Stat it does so without
// allocating: it keeps the path as the kernel wants it.
type pathID struct {
	path string
	c    *byte // the path, ended by a NUL; nil: statx is no use
	stx  *unix.Statx_t
}

func newPathID(path string) pathID {
	c, err := unix.BytePtrFromString(path)
	if err != nil {
		c = nil // a NUL in it: unix.Stat will say so
	}
	return pathID{path, c, new(unix.Statx_t)}
}

// look returns the identity of the file that the path leads to.
func (p *pathID) look() (FileID, error) {
	if p.c != nil {
		err := retry(p.statx)
		if err == nil {
			return idOf(p.stx), nil
		}
		if err != unix.ENOSYS && err != unix.EPERM {
			return FileID{}, err
		}
		p.c = nil // a sandbox or an old kernel, which won't change its mind
	}
	return idAt(p.path)
}

func (p *pathID) statx() error { return statx(unix.AT_FDCWD, p.c, 0, unix.STATX_INO, p.stx) }
