package store

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/stateio/stateio/internal/storefile"
)

// BackupInfo says what a backup holds.
type BackupInfo struct {
	Store [16]byte // identity of the store that it was made of
	Index uint64   // of the last update in the state
	Bytes int64    // size of the state
	// Time is that of the commit of update Index; the zero time if it is not known.
	Time time.Time
}

// IsBackup reports whether the file in the first limit bytes of r begins as a backup
// does. It reads the first block. Errors are those of reading, and ErrVersion.
func IsBackup(r io.ReaderAt, limit int64) (bool, error) {
	h, err := storefile.HeaderOf(r, limit)
	if errors.Is(err, storefile.ErrNoHeader) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("store: reading %s: %w", storefile.NameOf(r), err)
	}
	return h.Kind == storefile.BackupKind, nil
}

// VerifyBackup reads the backup in the first limit bytes of r, as [Store.Backup]
// has written it, and makes sure that it is whole: nothing is missing, damaged, or
// of another backup. It holds no more than some blocks in memory.
//
// Errors are of type [*CorruptError] for a file that is not a whole backup;
// [ErrVersion], if a newer version of this package wrote it; that of ctx, and of
// reading.
func VerifyBackup(ctx context.Context, r io.ReaderAt, limit int64) (BackupInfo, error) {
	return RestoreBackup(ctx, io.Discard, r, limit)
}

// RestoreBackup is [VerifyBackup], and writes the state to w. What was written
// before an error is not to be used. The errors are also those of w.
func RestoreBackup(ctx context.Context, w io.Writer, r io.ReaderAt, limit int64) (BackupInfo, error) {
	b, err := storefile.OpenBackup(r, limit)
	if err != nil {
		return BackupInfo{}, err
	}
	_, err = b.WriteTo(contextWriter{ctx, w})
	return BackupInfo{Store: b.Header.Store, Index: b.Header.Base, Bytes: int64(b.End.Bytes), Time: moment(b.Header.Time)}, err
}
