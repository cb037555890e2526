package stateio

import (
	"io"
	"os"
	"testing"
)

// SetSync has a writer of a file call s in place of the file's Sync.
func (w *Writer) SetSync(s Syncer) { w.sync = s }

// SetForget has show called, until the test ends, when a file is to be read from its disk from
// an offset on: it may put there what the cache does not show.
func SetForget(t *testing.T, show func(osf *os.File, off int64)) {
	old := forget
	forget = show
	t.Cleanup(func() { forget = old })
}

// SetOut has a writer write to what wrap makes of its output.
func (w *Writer) SetOut(wrap func(out io.Writer) io.Writer) { w.w = wrap(w.w) }

// SetSyncFile has sync called, until the test ends, in place of the Sync of files, but for that
// of entries.
func SetSyncFile(t *testing.T, sync func(osf *os.File) error) {
	old := syncFile
	syncFile = sync
	t.Cleanup(func() { syncFile = old })
}

// SetTruncateFile has truncate called, until the test ends, in place of the Truncate of files.
func SetTruncateFile(t *testing.T, truncate func(osf *os.File, size int64) error) {
	old := truncateFile
	truncateFile = truncate
	t.Cleanup(func() { truncateFile = old })
}

// SetLocks has lock called, until the test ends, in place of the lock of files, or, if it is
// nil, the platform have no locks.
func SetLocks(t *testing.T, lock func(osf *os.File) error) {
	oldLock, oldCan := lockFile, canLock
	lockFile, canLock = lock, lock != nil
	t.Cleanup(func() { lockFile, canLock = oldLock, oldCan })
}
