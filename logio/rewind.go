package logio

import (
	"fmt"
	"io"

	"github.com/stateio/stateio/internal/record"
)

// Rewind returns the offset of the last whole entry that ends at or before
// limit: the offset of its first record. Given that offset as the next limit it
// goes through a log backwards. If r is also an [io.Seeker], Rewind leaves it
// at the returned offset, ready for [NewReader].
//
// Every record of the entry is verified, and so is that it is an entry of the
// log, not the payload of another. Rewind passes over what is torn or damaged;
// a [Reader] tells about it. It reads the last block before limit, and more
// only where the last entry needs it.
//
// The error is io.EOF when there is no whole entry before limit, and that of r
// when reading fails.
func Rewind(r io.ReaderAt, limit int64) (off int64, err error) {
	if limit < 0 {
		return 0, fmt.Errorf("logio: rewinding from offset %d: %w", limit, errNegative)
	}
	tail, err := record.FindTail(r, limit)
	if err != nil {
		return 0, fmt.Errorf("logio: rewinding: %w", err)
	}
	if !tail.Found {
		return 0, io.EOF
	}
	if s, ok := r.(io.Seeker); ok {
		if _, err := s.Seek(tail.Last.Start, io.SeekStart); err != nil {
			return 0, fmt.Errorf("logio: rewinding to offset %d: %w", tail.Last.Start, err)
		}
	}
	return tail.Last.Start, nil
}
