package storefile

import (
	"bytes"
	"encoding/binary"

	"github.com/cespare/xxhash/v2"

	"github.com/stateio/stateio/internal/entry"
	"github.com/stateio/stateio/internal/record"
	"github.com/stateio/stateio/logio"
)

// A backup is a state file of three entries. Package stateio, and the original,
// read it as an epoch of one snapshot and one update:
//
//   - a snapshot of epoch 0: the header, of kind BackupKind. base is the index of
//     the last update in the state;
//   - a snapshot after epoch 0: the state;
//   - an update of that epoch: the end, which says that all of it is there.
//
// The header comes first, so that a backup which was cut after the state is not
// taken for a state file that is whole.

// A BackupEnd is the payload of the last entry of a backup.
//
//	magic [8]byte | version uint16 | 'E' | salt uint64 | index uint64 | bytes uint64 | digest uint64
type BackupEnd struct {
	salt   uint64 // of the header
	index  uint64 // likewise
	Bytes  uint64 // of the state
	digest uint64 // XXH64 of the state
}

const (
	backupEndSize = len(magic) + 2 + 1 + 4*8
	endKind       = 'E'
)

// EndOf returns the end of a backup with header h, of a state of so many bytes with that
// XXH64.
func EndOf(h Header, bytes int64, digest uint64) BackupEnd {
	return BackupEnd{h.Salt, h.Base, uint64(bytes), digest}
}

// Encode returns the payload of the last entry.
func (e BackupEnd) Encode() []byte {
	b := append(make([]byte, 0, backupEndSize), magic...)
	b = binary.LittleEndian.AppendUint16(b, version)
	b = append(b, endKind)
	for _, v := range []uint64{e.salt, e.index, e.Bytes, e.digest} {
		b = binary.LittleEndian.AppendUint64(b, v)
	}
	return b
}

// parseBackupEnd decodes the end of a backup.
func parseBackupEnd(b []byte) (e BackupEnd, ok bool) {
	if len(b) != backupEndSize || !IsBackupEnd(b) {
		return e, false
	}
	for i, v := range []*uint64{&e.salt, &e.index, &e.Bytes, &e.digest} {
		*v = binary.LittleEndian.Uint64(b[headerKind+1+8*i:])
	}
	return e, true
}

// IsBackupEnd reports whether an update is the end of a backup, of any version.
func IsBackupEnd(b []byte) bool {
	return len(b) > headerKind && bytes.HasPrefix(b, []byte(magic)) && b[headerKind] == endKind
}

// AppendBackupEntry appends one entry of a backup to w.
func AppendBackupEntry(w *logio.Writer, h entry.Head, payload []byte) error {
	var head [entry.HeadSize]byte
	h.Put(&head)
	return w.Append(append(head[:], payload...))
}

// EmptyBackup returns a backup with header h of a state without bytes: what a store begins
// with that is to go on at an index that no update of its own has led to.
func EmptyBackup(h Header) ([]byte, error) {
	var b bytes.Buffer
	w := logio.NewWriter(&b, 0)
	h.Kind = BackupKind
	err := AppendBackupEntry(w, entry.Head{Kind: entry.Snapshot}, h.Encode())
	at := record.Aligned(w.Tell())
	if err == nil {
		err = AppendBackupEntry(w, entry.Head{Kind: entry.Snapshot}, nil)
	}
	if err == nil {
		end := EndOf(h, 0, xxhash.Sum64(nil))
		err = AppendBackupEntry(w, entry.Head{Kind: entry.Update, Epoch: uint64(at)}, end.Encode())
	}
	return b.Bytes(), err
}
