package store

import (
	"errors"
	"fmt"
	"sync/atomic"

	"github.com/stateio/stateio/internal/storefile"
)

// A logFile is the log that updates are written to.
type logFile struct {
	f    *ownFile
	path string
	hdr  storefile.Header

	size    atomic.Int64 // bytes of disk space set aside; changed with spaceMu locked
	piece   int64        // how much to set aside next, if there is that much; guarded by spaceMu
	most    int64        // the largest piece
	next    int64        // where the next entry goes; guarded by batchMu
	durable int64        // up to here everything is on the disk; guarded by mu

	end    int64            // of what was written; guarded by commit
	digest storefile.Digest // of the records before end; guarded by commit
}

// intact makes sure that nobody has removed the log, or cut it to less than size.
func (log *logFile) intact(size int64) error {
	info, err := log.f.Stat()
	switch {
	case err != nil:
		return err
	case info.Links == 0:
		return errors.New("somebody has removed the file")
	case info.Size < size:
		return fmt.Errorf("somebody has cut the file from %d bytes to %d", size, info.Size)
	}
	return nil
}

// appendControl writes a control entry after all that was written. The
// caller holds commit and knows that no update is in a batch.
//
// In a copy with hard links, made before the next log was there, a seal would
// miss that one: so this is the moment to look for other names.
func (log *logFile) appendControl(c storefile.Control, index uint64) error {
	if err := log.f.becomeOwn(); err != nil {
		return err
	}
	b := storefile.AppendEntry(nil, log.end, log.hdr.Salt, storefile.Tag{Index: index + 1, Control: true}, c.Encode())
	if _, err := log.f.WriteAt(b, log.end); err != nil {
		return err
	}
	if err := log.f.Datasync(); err != nil {
		return err
	}
	log.digest = log.digest.AddAll(b, log.end)
	log.end += int64(len(b))
	return nil
}
