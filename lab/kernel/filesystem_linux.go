//go:build amd64 || arm64

package kernel

import (
	"fmt"
	"os"
	"os/exec"
	"strconv"

	"golang.org/x/sys/unix"
)

// A FileSystem is a kind of file system.
type FileSystem struct {
	Name string   // as mount knows it
	Mkfs []string // makes one in the file whose name is appended
	Size int64    // bytes of its disk
	// Units are the sizes in bytes of what it takes a disk to write whole or not at
	// all: a larger write may be torn between two of them.
	Units []int
	// Super are the offsets of its superblocks, pages of 4 KiB that it takes a disk
	// not to tear in any case.
	Super []int64
	// Options is what it may be mounted with, one at a time.
	Options []string
}

// The kinds of file systems that are tested. Each is as small as it can be
// without being special.
//
// None of them mounts when certain writes of an aligned 4 KiB were torn, which disks
// do not do, if they can help it. With ext4 and btrfs it is the superblock; btrfs
// has copies, and does not go to them by itself. With XFS it is any block of
// metadata: its journal is not replayed on a block whose first sector says that it
// is newer, whatever the other sectors hold, and the checksum is wrong for good
// ("bad message"). It was seen of a directory's block, once in 2000 states.
var (
	Ext4 = FileSystem{
		Name: "ext4", Size: 48 << 20, Units: []int{512, 4096}, Super: []int64{0},
		Mkfs:    []string{"mkfs.ext4", "-q", "-F", "-b", "4096", "-E", "lazy_itable_init=0,lazy_journal_init=0"},
		Options: []string{"", "", "data=writeback", "data=journal", "nodelalloc"},
	}
	XFS = FileSystem{
		Name: "xfs", Size: 320 << 20, Units: []int{4096},
		Mkfs:    []string{"mkfs.xfs", "-q", "-f"},
		Options: []string{""},
	}
	Btrfs = FileSystem{
		Name: "btrfs", Size: 128 << 20, Units: []int{512, 4096}, Super: []int64{64 << 10, 64 << 20},
		Mkfs:    []string{"mkfs.btrfs", "-q", "-f"},
		Options: []string{"", "notreelog", "nodatacow", "flushoncommit"},
	}
)

// Make makes an empty file system in a new file at path. The error wraps
// exec.ErrNotFound when there is no mkfs.
func (k FileSystem) Make(path string) error {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	err = f.Truncate(k.Size)
	if cerr := f.Close(); err == nil {
		err = cerr
	}
	if err != nil {
		return err
	}
	cmd := exec.Command(k.Mkfs[0], append(k.Mkfs[1:len(k.Mkfs):len(k.Mkfs)], path)...)
	cmd.Env = append(os.Environ(), "PATH="+os.Getenv("PATH")+":/usr/sbin:/sbin")
	if cmd.Err != nil {
		if at, err := exec.LookPath("/usr/sbin/" + k.Mkfs[0]); err == nil {
			cmd.Path, cmd.Err = at, nil
		}
	}
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("%s: %w\n%s", k.Mkfs[0], err, out)
	}
	return nil
}

// A Mounted is a file system that is mounted.
type Mounted struct {
	Dir    string
	device string
	kind   string
	root   int // descriptor of Dir
}

// Mount mounts the disk in the file at path on the directory dir.
func (k FileSystem) Mount(path, dir, options string) (*Mounted, error) {
	device, fd, err := loopDevice(path)
	if err != nil {
		return nil, err
	}
	err = unix.Mount(device, dir, k.Name, 0, options)
	_ = unix.Close(fd) // the mount keeps the device, or it is not wanted
	if err != nil {
		return nil, fmt.Errorf("mounting %s with options %s: %w", k.Name, strconv.Quote(options), err)
	}
	root, err := unix.Open(dir, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		_ = unix.Unmount(dir, unix.MNT_DETACH)
		return nil, fmt.Errorf("opening the root of %s: %w", k.Name, err)
	}
	return &Mounted{Dir: dir, device: device, kind: k.Name, root: root}, nil
}

// Unmount unmounts. An error says that a file there is still open, above all.
func (m *Mounted) Unmount() error {
	_ = unix.Close(m.root) // nothing was written
	err := unix.Unmount(m.Dir, 0)
	if err != nil {
		_ = unix.Unmount(m.Dir, unix.MNT_DETACH)
		return fmt.Errorf("unmounting %s: %w", m.kind, err)
	}
	if m.kind == Btrfs.Name {
		return forgetBtrfs(m.device)
	}
	return nil
}

// Sync writes all that is not on the disk yet.
func (m *Mounted) Sync() error { return unix.Syncfs(m.root) }

// A Cut says what a file system still does when its power is cut.
type Cut int

// The kinds of power cuts, as XFS and ext4 number them.
const (
	FlushAll Cut = 0 // writes everything
	FlushLog Cut = 1 // writes the journal out, not data
	FlushNot Cut = 2 // nothing
)

// CutPower makes the file system forget what it has not written, and fail
// everything from now on.
func (m *Mounted) CutPower(c Cut) error {
	const shutdown = 0x8004587d // FS_IOC_SHUTDOWN
	if err := unix.IoctlSetPointerInt(m.root, shutdown, int(c)); err != nil {
		return fmt.Errorf("shutting down %s: %w", m.kind, err)
	}
	return nil
}
