package fsys

import "golang.org/x/sys/unix"

// EBADMSG and EUCLEAN are what ext4, XFS and btrfs say of a checksum of theirs that
// does not fit.
var unreadable = []error{unix.EIO, unix.EREMOTEIO, unix.EBADMSG, unix.EUCLEAN}
