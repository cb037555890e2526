package inspect

import (
	"bytes"
	"fmt"
	"io"
	"time"
)

// A Content says what a part of a file holds.
type Content uint8

// The contents of parts.
const (
	ContentHeader   Content = 1 + iota // what a file of a store begins with
	ContentUpdate                      // an update, or a group of them
	ContentState                       // a snapshot in a state file, or a piece of one in a store
	ContentEnd                         // the seal of a log, or the end of a snapshot
	ContentFree                        // zeros at the end: space set aside
	ContentHole                        // the front of a state file, given back to the file system
	ContentTorn                        // what a crash left of a write that was not acknowledged
	ContentDamage                      // what was durable, and is broken
	ContentStranded                    // after damage, so that it can't be told what it is
)

// String returns the name of the constant without its prefix, in small letters: "header",
// "update" and so on. These words do not change.
func (c Content) String() string {
	names := [...]string{"", "header", "update", "state", "end", "free", "hole", "torn", "damage", "stranded"}
	if c == 0 || int(c) >= len(names) {
		return fmt.Sprintf("unknown content %d", uint8(c))
	}
	return names[c]
}

// A Part is a range of a file and what it holds. The parts of a file come in order and
// leave out nothing but padding, of up to 15 bytes; only the updates of a group have the
// same range. Offsets and sizes are in bytes.
type Part struct {
	Offset, End int64
	Content     Content

	// Index is that of an update in a store. Nth is 0, or which of the updates of a group
	// it is, counted from 0. Begins says that a commit begins with it.
	Index  uint64
	Nth    int
	Begins bool
	// State says that the update is a whole state, which has replaced the one before: that
	// of the store's Replace.
	State bool
	// Time is that of the commit, in a store: the zero time where it is not known. With
	// damage it is that of the commit before.
	Time time.Time

	Epoch uint64 // of an entry of a state file

	Size int64 // of the payload of an update or state
	// Prefix holds the first bytes of the payload, up to PrefixSize. It is valid for its
	// turn of the loop only.
	Prefix []byte

	// Place and Reason say what damage it is. LostFirst and LostLast are the indexes of
	// the updates that it cost, if that is known of a store: else LostFirst is 0. For a
	// log that goes on LostLast may be 0: then all from LostFirst on are lost.
	Place               Place
	Reason              string
	LostFirst, LostLast uint64

	data  []byte // of an update of a store
	entry *Entry // of a state file
	first uint64 // index of the first update of the commit
}

// Payload returns a reader of the payload of an update or a state, for its turn of the
// loop. Errors are those of [Entry.Payload].
func (p Part) Payload() io.Reader {
	if p.entry != nil {
		return p.entry.Payload()
	}
	return bytes.NewReader(p.data)
}

// A Mark is a place in a file at which a walk can begin. The zero Mark is the start.
type Mark struct {
	offset       int64
	index, first uint64
	time         time.Time
	epoch        uint64
}

// Offset returns where in the file the mark is, in bytes.
func (m Mark) Offset() int64 { return m.offset }

// Mark returns a mark at p, and reports false if no walk can begin there: it can at an
// update, unless it is one of a group after the first, and in a state file at a snapshot.
func (p Part) Mark() (Mark, bool) {
	ok := p.Nth == 0 && (p.Content == ContentUpdate || p.entry != nil)
	return Mark{p.Offset, p.Index, p.first, p.Time, p.Epoch}, ok
}

// prefix returns the first bytes of b.
func prefix(b []byte) []byte { return b[:min(len(b), PrefixSize)] }
