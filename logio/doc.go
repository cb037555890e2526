// Package logio implements a record log: a file of entries, each a string of
// bytes, that can be appended to, read from either end, and read on after a
// damaged place.
//
// The package has the API of github.com/grailbio/base/logio; programs for that work
// after changing the import path, and the files are the same byte for byte. What they are
// told of damage differs in one respect, which docs/MIGRATING.md names.
//
// # Format
//
//	log    = block*                  // 32 KiB each; the last may be shorter
//	block  = record* padding
//	record = checksum uint32         // low 32 bits of the XXH64, seed 0, of all that follows
//	         type     uint8          // FULL=1, FIRST=2, MIDDLE=3, LAST=4
//	         length   uint16         // of data, in bytes
//	         offset   uint64         // from the start of the entry's first record to this one's
//	         data     [length]byte
//
// Integers are little endian. A record never crosses a block. If 15 bytes or
// fewer are left of a block, they are zeros and the next record starts the
// next block. An entry that fits the rest of its block is one FULL record.
// A longer one is a FIRST, any number of MIDDLE and a LAST record, of which
// all but the last extend to the end of their block. An empty entry is not
// written at all.
//
// # Recovery
//
// A [Reader] that finds a broken record reports [ErrCorrupted] and reads on at
// the next block, because inside of a block only the records themselves say
// where the next one is, and payloads may contain what looks like records.
// The zeros at the end of a preallocated file are a clean end.
//
// A crash may leave the end of the last entry out, or any part of it that was
// not synced. Cut the file to where the last whole entry ends before you
// append to it again; package stateio does that for its files.
package logio

import (
	"errors"

	"github.com/stateio/stateio/internal/record"
)

// Blocksz is the size of a block in bytes.
const Blocksz = record.BlockSize

// ErrCorrupted is what [Reader.Read] returns, as this very value, where the log
// is damaged. The reader can be read on: it continues at the next entry that
// it can be sure of.
var ErrCorrupted = errors.New("logio: corrupted log entry")

// ErrCorrupt is the same value as [ErrCorrupted].
var ErrCorrupt = ErrCorrupted

// ErrTooLong is what [Reader.Read] returns, as this very value, for an entry
// longer than the reader's limit; see [Reader.SetMaxEntry]. The reader can be
// read on: it continues at the next entry.
var ErrTooLong = errors.New("logio: entry longer than the reader's limit")

// Aligned returns the offset at which an entry written at offset off begins:
// off itself, or the start of the next block, when no record can begin at off.
// [Append], [Writer.Tell] and [Reader] agree with it at every offset.
func Aligned(off int64) int64 { return record.Aligned(off) }
