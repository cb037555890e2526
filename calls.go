package stateio

import (
	"os"

	"github.com/stateio/stateio/internal/fsys"
)

// What is asked of the operating system for an open file. Tests put in its place what fails, or
// what shows them the disk.
var (
	syncFile     = (*os.File).Sync
	truncateFile = (*os.File).Truncate
	lockFile     = fsys.LockFile
	canLock      = fsys.CanLock

	// forget is called for whole files, because any entry that is not acknowledged may have a hole
	// that the cache hides: a batch is synced as one. Such entries belong to the current epoch,
	// as a Writer whose sync has failed appends no snapshot, and the next Writer reads its epoch
	// from storage before it appends one. But which epoch is the current one would have to be
	// read from the cache, and Linux keeps a large folio that begins before the range it is to
	// drop. What lies before the current epoch is not read, so that dropping it costs no more.
	forget = fsys.Forget
)
