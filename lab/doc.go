// Package lab holds the tests that crash stores and state files on real
// kernels, where internal/crashtest uses a model in memory. The judge is the
// same: what is found must be an exact prefix of the updates, with all that
// were acknowledged, and it must open. There are four engines:
//
//   - Power cuts: ext4 and XFS are mounted on loop devices and shut down in the
//     midst of work, before a drawn operation or during it, by the ioctl
//     FS_IOC_SHUTDOWN. The kernel forgets what it has not written; mounting
//     again replays its journal.
//   - Blocks: ext4, XFS and btrfs are mounted on a disk in memory that records
//     each write and each flush (package disk), served through FUSE. What
//     a disk may be left with at any moment is built from the record: all that
//     was flushed, and any part of what was written since. Kernel and store
//     recover from it; that is recorded, too, and cut again.
//   - System calls: strace fails, delays or kills those of a process.
//   - RLIMIT_FSIZE: the kernel refuses to let files grow, with short writes.
//
// They run as TestCrash..., and take STATEIO_CRASH_TIME, STATEIO_CRASH_COUNT
// and STATEIO_CRASH_SEED as the tests of internal/crashtest do: the count is
// each test's own, the time is shared out among them. A kernel is not
// deterministic: a seed repeats what was drawn, and not always the failure.
// STATEIO_CRASH_KEEP names a directory, which must not be in /dev/shm, for the disk
// images on which something failed.
//
// Other tests use a store where people put one: below a parent that may not be read,
// or on squashfs, on an overlay, through two names of a directory, and where
// directories can't be synced.
//
// One takes a block of a state file from the disk that the page cache still holds.
//
// All need Linux on amd64 or arm64, where the FUSE library builds; the first two
// and the last root, and the mkfs of the file system; the third strace; the places root, mksquashfs
// and strace. A test that lacks what it needs is skipped, and says what it was.
// Nothing is left, however the tests end: mounts and images live
// in a mount namespace of the process, which package kernel makes.
package lab
