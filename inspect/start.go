package inspect

import (
	"fmt"
	"io"

	"github.com/stateio/stateio/internal/entry"
	"github.com/stateio/stateio/internal/record"
)

// HasEntry reports whether there is a whole entry in the first limit bytes of r. It
// reads backwards from there and stops at the first that it finds. The error is one
// of reading.
func HasEntry(r io.ReaderAt, limit int64) (bool, error) {
	f, err := newFile(r, limit)
	if err != nil {
		return false, err
	}
	tail, err := record.FindTail(f.r, f.limit)
	if err != nil {
		return false, f.fail(err, 0)
	}
	return tail.Found, nil
}

// BelongsToStore reports whether r begins as the files of package store do, also
// where that header is damaged or cut after its first bytes. Only that package may
// write to such a file. The error is one of reading.
func BelongsToStore(r io.ReaderAt) (bool, error) {
	const size = record.HeaderSize + entry.HeadSize + len(entry.StoreMagic)
	b, err := record.ReadAt(r, make([]byte, size), 0, int64(size))
	if err != nil {
		return false, fmt.Errorf("inspect: %w", err)
	}
	if len(b) < record.HeaderSize {
		return false, nil
	}
	h := record.Decode(b)
	return h.Type.Starts() && h.Offset == 0 && entry.IsStoreHeader(b[record.HeaderSize:]), nil
}
