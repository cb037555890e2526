//go:build amd64 || arm64

package kernel

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"sync"

	"github.com/hanwen/go-fuse/v2/fuse"
	"golang.org/x/sys/unix"
)

// A Disk is what a Server shows as a file. Flush makes durable what was written
// before it was called.
type Disk interface {
	Size() int64
	ReadAt(p []byte, off int64) (int, error)
	WriteAt(p []byte, off int64) (int, error)
	Flush()
}

// A Server shows disks as files. Each read, write and fsync of a file
// comes to its Disk before the call returns: nothing is cached in between.
type Server struct {
	dir    string
	server *fuse.Server
	disks  *disks
}

// maxRequest is how many bytes the kernel reads or writes at once.
const maxRequest = 1 << 20

// Serve mounts a Server on dir.
//
// It opens the connection and mounts it itself, for no child may inherit it: when
// this process has ended, the kernel must know that nobody serves any more, or who
// waits for a disk does so for ever, and can't be killed.
func Serve(dir string) (*Server, error) {
	fd, err := unix.Open("/dev/fuse", unix.O_RDWR|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("opening /dev/fuse: %w", err)
	}
	options := fmt.Sprintf("fd=%d,rootmode=%o,user_id=%d,group_id=%d,max_read=%d",
		fd, unix.S_IFDIR, os.Geteuid(), os.Getegid(), maxRequest)
	if err := unix.Mount("stateio-lab", dir, "fuse.stateio-lab", unix.MS_NOSUID|unix.MS_NODEV, options); err != nil {
		_ = unix.Close(fd)
		return nil, fmt.Errorf("mounting through FUSE: %w", err)
	}
	d := &disks{RawFileSystem: fuse.NewDefaultRawFileSystem(), byID: make(map[uint64]Disk)}
	server, err := fuse.NewServer(d, fmt.Sprintf("/dev/fd/%d", fd), &fuse.MountOptions{
		MaxWrite: maxRequest, DisableXAttrs: true,
	})
	if err != nil {
		_ = unix.Unmount(dir, unix.MNT_DETACH)
		return nil, fmt.Errorf("serving through FUSE: %w", err)
	}
	go server.Serve()
	return &Server{dir, server, d}, nil
}

// Close unmounts. No disk may be in use.
func (s *Server) Close() error {
	if err := unix.Unmount(s.dir, 0); err != nil {
		_ = unix.Unmount(s.dir, unix.MNT_DETACH)
		return fmt.Errorf("unmounting FUSE: %w", err)
	}
	s.server.Wait()
	return nil
}

// Show makes a file of a disk and returns its path. Hide ends that.
func (s *Server) Show(disk Disk) (path string) {
	id := s.disks.add(disk)
	return filepath.Join(s.dir, strconv.FormatUint(id, 10))
}

// Hide takes away a file that Show made.
func (s *Server) Hide(path string) {
	id, _ := strconv.ParseUint(filepath.Base(path), 10, 64) // as Show made it
	s.disks.remove(id)
}

// disks is a directory of files named by number. The number is the node's, too.
type disks struct {
	fuse.RawFileSystem

	mu   sync.Mutex // guards all below
	byID map[uint64]Disk
	last uint64
}

func (d *disks) add(disk Disk) uint64 {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.last = max(d.last, fuse.FUSE_ROOT_ID) + 1
	d.byID[d.last] = disk
	return d.last
}

func (d *disks) remove(id uint64) {
	d.mu.Lock()
	defer d.mu.Unlock()
	delete(d.byID, id)
}

func (d *disks) get(id uint64) Disk {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.byID[id]
}

// forALongTime is how many seconds the kernel may remember what it was told: a
// number is never given to another disk.
const forALongTime = 3600

func (d *disks) attr(id uint64, out *fuse.Attr) fuse.Status {
	out.Ino, out.Nlink = id, 1
	if id == fuse.FUSE_ROOT_ID {
		out.Mode = fuse.S_IFDIR | 0o700
		return fuse.OK
	}
	disk := d.get(id)
	if disk == nil {
		return fuse.ENOENT
	}
	out.Mode, out.Size = fuse.S_IFREG|0o600, uint64(disk.Size())
	return fuse.OK
}

// Lookup implements fuse.RawFileSystem.
func (d *disks) Lookup(_ <-chan struct{}, _ *fuse.InHeader, name string, out *fuse.EntryOut) fuse.Status {
	id, err := strconv.ParseUint(name, 10, 64)
	if err != nil || id == fuse.FUSE_ROOT_ID {
		return fuse.ENOENT
	}
	out.NodeId, out.EntryValid, out.AttrValid = id, forALongTime, forALongTime
	return d.attr(id, &out.Attr)
}

// GetAttr implements fuse.RawFileSystem.
func (d *disks) GetAttr(_ <-chan struct{}, in *fuse.GetAttrIn, out *fuse.AttrOut) fuse.Status {
	out.AttrValid = forALongTime
	return d.attr(in.NodeId, &out.Attr)
}

// Open implements fuse.RawFileSystem.
func (d *disks) Open(_ <-chan struct{}, _ *fuse.OpenIn, out *fuse.OpenOut) fuse.Status {
	out.OpenFlags = fuse.FOPEN_DIRECT_IO
	return fuse.OK
}

// Read implements fuse.RawFileSystem.
func (d *disks) Read(_ <-chan struct{}, in *fuse.ReadIn, buf []byte) (fuse.ReadResult, fuse.Status) {
	disk := d.get(in.NodeId)
	if disk == nil {
		return nil, fuse.EIO
	}
	n, err := disk.ReadAt(buf[:min(len(buf), int(in.Size))], int64(in.Offset))
	if err != nil && n == 0 && int64(in.Offset) < disk.Size() {
		return nil, fuse.EIO
	}
	return fuse.ReadResultData(buf[:n]), fuse.OK
}

// Write implements fuse.RawFileSystem.
func (d *disks) Write(_ <-chan struct{}, in *fuse.WriteIn, data []byte) (uint32, fuse.Status) {
	disk := d.get(in.NodeId)
	if disk == nil {
		return 0, fuse.EIO
	}
	n, err := disk.WriteAt(data, int64(in.Offset))
	if err != nil {
		fmt.Fprintln(os.Stderr, "lab:", err)
		return 0, fuse.EIO
	}
	return uint32(n), fuse.OK
}

// Fsync implements fuse.RawFileSystem. It is what a loop device makes of a
// request to flush.
func (d *disks) Fsync(_ <-chan struct{}, in *fuse.FsyncIn) fuse.Status {
	disk := d.get(in.NodeId)
	if disk == nil {
		return fuse.EIO
	}
	disk.Flush()
	return fuse.OK
}

// Flush implements fuse.RawFileSystem. It is about closing, and makes nothing durable.
func (d *disks) Flush(<-chan struct{}, *fuse.FlushIn) fuse.Status { return fuse.OK }
