package inspect

import (
	"io"
	"iter"

	"github.com/stateio/stateio/internal/entry"
	"github.com/stateio/stateio/logio"
)

// PrefixSize is how many bytes of its payload an [Entry] comes with, at most.
const PrefixSize = 256

// A Kind says what an entry holds.
type Kind uint8

// The kinds of entries, with the numbers they have in the format.
const (
	Update   = Kind(entry.Update)
	Snapshot = Kind(entry.Snapshot)
)

// String returns "update" or "snapshot"; these words do not change.
func (k Kind) String() string { return entry.Kind(k).String() }

// An Entry is one update or snapshot of a state file, every record of which was
// checked.
type Entry struct {
	Offset int64 // of its first record
	End    int64 // of its last record
	Kind   Kind
	// Epoch is the epoch that the entry belongs to; a snapshot's is its Offset.
	Epoch uint64
	// Previous is the epoch before that of a snapshot. It is 0 for an update.
	Previous uint64
	Size     int64 // of the payload, in bytes
	// Prefix holds the first bytes of the payload, up to PrefixSize. It is
	// valid for its turn of the loop only.
	Prefix []byte

	file file
}

// Payload returns a reader of the entry's payload. It reads from the file, and
// can be used for as long as that is open. It needs memory for 256 KiB at most,
// and checks what it reads again: its errors are those of reading, and a
// [stateio.CorruptError] where the entry is no longer as it was.
func (e Entry) Payload() io.Reader { return &payload{entry: e} }

// A payload reads one entry, from its first Read on.
type payload struct {
	entry Entry
	log   *logio.Reader // nil: not begun
	data  io.Reader     // of log
	err   error         // final
}

// Read implements io.Reader.
func (p *payload) Read(b []byte) (n int, err error) {
	if p.log == nil {
		p.err = p.open()
	}
	if p.err != nil {
		return 0, p.err
	}
	n, err = p.data.Read(b)
	if err != nil && err != io.EOF {
		err = p.entry.file.fail(err, p.log.Offset())
	}
	return n, err
}

// open reads the entry up to its payload.
func (p *payload) open() (err error) {
	e := p.entry
	p.log = logio.NewReader(io.NewSectionReader(e.file.r, e.Offset, e.End-e.Offset), e.Offset)
	if p.data, err = p.log.Stream(); err == nil {
		_, err = io.CopyN(io.Discard, p.data, entry.HeadSize)
	}
	if err == io.EOF {
		err = logio.ErrCorrupted
	}
	if err != nil {
		return e.file.fail(err, p.log.Offset())
	}
	return nil
}

// Entries returns every intact entry in the first limit bytes of r, in order.
// Damage comes as an error of type [*Damage], at its place among the entries,
// and the walk goes on after it; a torn tail is the last that comes. Any other
// error says why reading failed, and ends the walk; it wraps [stateio.ErrNoEpoch] if
// [stateio.Truncate] gives back meanwhile what was there at the beginning.
//
// r may be appended to meanwhile. It is read once, in pieces of 256 KiB, but
// for where the log ends and where the current epoch starts, which is found out
// first.
func Entries(r io.ReaderAt, limit int64) iter.Seq2[Entry, error] {
	return func(yield func(Entry, error) bool) {
		s, err := newScan(r, limit, 0)
		if err != nil {
			yield(Entry{}, err)
			return
		}
		s.found = func(e *Entry) bool { return yield(*e, nil) }
		s.broken = func(d Damage) bool { return yield(Entry{}, &d) }
		if err := s.run(); err != nil {
			yield(Entry{}, err)
		}
	}
}
