package storefile

import (
	"errors"
	"fmt"
	"io"

	"github.com/stateio/stateio/internal/fsys"
)

// A LogReader reads the updates of one log in order, and makes sure that they
// are those that were written there: none missing, none doubled, none foreign.
type LogReader struct {
	*entries
	Header Header
	Index  uint64 // of the last update read
	Sealed bool   // the log's seal was read
	// End is where the part of the log ends that was read and found right.
	End       int64
	EndDigest Digest
	// Back is how many updates of its commit are before the entry read last: 0 if a
	// commit begins with it.
	Back uint32
	// UnitStart and UnitEnd are the indexes of the first and the last update in the entry read
	// last, which are one atomic unit.
	UnitStart, UnitEnd uint64
	// State says that the update read last is a whole state, which replaces the one before.
	State   bool
	back    uint32 // updates in the current commit so far
	group   []byte // what is left of the group that Off is the entry of
	Time    int64  // of the current commit, in nanoseconds since 1970; at first that of update base
	Skipped bool   // some of the log, because it is damaged

	tracks  bool   // what is below is noted, for Track
	tracked Mark   // what it is to be held against
	content Digest // of all updates read
	since   Digest // of those after the base of tracked
	last    uint64 // of the update read last

	beforeSeal Mark   // of the last update, once the seal was read
	lastOff    int64  // where the entry read last begins
	lastSum    uint32 // the checksum of its first record

	file fsys.File // that is closed with it; nil: the caller closes it
}

// NewLogReader reads the header of the log in the first limit bytes of f.
func NewLogReader(f fsys.File, path string, base uint64, limit int64) (*LogReader, error) {
	r := &LogReader{entries: newEntries(f, path, 0, limit)}
	h, err := readHeader(r.entries, LogKind, base)
	if err != nil {
		r.Close()
		return nil, err
	}
	r.Header, r.Index, r.UnitEnd, r.Time = h, base, base, h.Time
	r.End, r.EndDigest = r.pos, r.digest
	return r, nil
}

// Resume continues at the end of what was read; the file may have grown.
func (r *LogReader) Resume(limit int64) {
	e := newEntries(r.f, r.Path, r.End, limit)
	e.digest, e.spill = r.EndDigest, r.spill
	r.entries.Close()
	r.entries = e
}

// Stat describes the file, as it is now, of a reader that [Dir.OpenLog] has returned.
func (r *LogReader) Stat() (fsys.Info, error) {
	info, err := r.file.Stat()
	if err != nil {
		return info, fmt.Errorf("store: %w", err)
	}
	return info, nil
}

// Allowed returns what limit says of that file now.
func (r *LogReader) Allowed(limit func(fsys.File) (int64, error)) (int64, error) {
	return limit(r.file)
}

// Close ends reading ahead, and closes the file if [Dir.OpenLog] has opened it. Updates
// returned before are no longer valid.
func (r *LogReader) Close() {
	r.entries.Close()
	if r.file != nil {
		_ = r.file.Close() // opened for reading
	}
}

// readHeader reads the header of a file whose name says its kind and base.
func readHeader(e *entries, k Kind, base uint64) (Header, error) {
	b, err := e.next()
	if err == io.EOF || errors.Is(err, ErrStop) {
		return Header{}, Corrupt(e.Path, 0, "the header is damaged or missing")
	}
	if err != nil {
		return Header{}, err
	}
	h, err := parseHeader(b)
	switch {
	case errors.Is(err, ErrVersion):
		return h, fmt.Errorf("store: %s: %w", e.Path, Bare(err))
	case err != nil:
		return h, Corrupt(e.Path, 0, "%w", err)
	case h.Kind != k && (h.Kind != ImportKind || k != LogKind || base != 0):
		return h, Corrupt(e.Path, 0, "it is a %v under the name of a %v", h.Kind, k)
	case h.Base != base:
		return h, Corrupt(e.Path, 0, "it is the %v of index %d under the name of another", h.Kind, h.Base)
	}
	return h, nil
}

// Next returns the next update, which is valid until the next call; its index
// is r.index. The error is io.EOF after the seal, and ErrStop where what follows
// is not the next entry: the log's end, or damage. Then only resume goes on. There is
// no error before UnitEnd.
func (r *LogReader) Next() ([]byte, error) {
	if len(r.group) > 0 {
		update, rest, _ := cutGroup(r.group)
		r.group = rest
		r.Index++
		r.track(update)
		return update, nil
	}
	update, err := r.step()
	if err == io.EOF {
		return nil, r.stop(r.pos, "the end of the file")
	}
	if err != nil {
		return nil, err
	}
	r.End, r.EndDigest = r.pos, r.digest
	if r.Sealed {
		return nil, io.EOF
	}
	r.lastOff, r.lastSum = r.Off, r.sum
	r.track(update)
	return update, nil
}

// step reads one entry and checks that it is the one that should be there. It
// returns the update, or nil for a seal.
func (r *LogReader) step() ([]byte, error) {
	before := r.digest
	b, err := r.next()
	if err != nil {
		return nil, err
	}
	var t Tag
	payload, err := parseFramed(&t, b, r.Header.Salt, r.span)
	if err != nil {
		return nil, r.stop(r.Off, "%v", err)
	}
	if t.Index != r.Index+1 {
		return nil, r.stop(r.Off, "an entry that is not the one of update %d", r.Index+1)
	}
	if t.Control {
		return nil, r.control(payload, before)
	}
	switch {
	case t.Back != 0 && t.Back != r.back, t.Timed != (t.Back == 0):
		return nil, r.stop(r.Off, "an entry of another commit")
	case t.Timed && t.Time < r.Time:
		// It is whole, so no crash has torn it.
		return nil, Corrupt(r.Path, r.Off, "the commit of update %d is older than the one before", t.Index)
	case t.Timed:
		r.Time = t.Time
	}
	if t.State && t.Grouped {
		return nil, Corrupt(r.Path, r.Off, "the entry of update %d is a state and a group of updates, which no program writes", t.Index)
	}
	r.Back, r.State = t.Back, t.State
	r.Index++
	r.UnitStart, r.UnitEnd = r.Index, r.Index
	if !t.Grouped {
		r.back = t.Back + 1
		return payload, nil
	}
	n, ok := countGroup(payload)
	if !ok {
		return nil, Corrupt(r.Path, r.Off, "an entry that should be a group of updates, and is none")
	}
	r.back, r.UnitEnd = t.Back+n, r.Index+uint64(n)-1
	update, rest, _ := cutGroup(payload)
	r.group = rest
	return update, nil
}

// control takes note of a control entry, which is a seal. What else is whole was not
// torn by a crash, so it is never cut off.
func (r *LogReader) control(payload []byte, before Digest) error {
	c, ok := parseControl(payload, Seal)
	switch {
	case !ok:
		return unknownControl(r.Path, r.Off, payload)
	case c.Count != r.Index-r.Header.Base || c.Digest != uint64(before) && !r.Skipped:
		// It is whole, so no crash has torn it.
		return Corrupt(r.Path, r.Off, "the seal is that of other updates than the %d that are there", r.Index-r.Header.Base)
	}
	r.beforeSeal = r.Mark()
	r.Sealed = true
	return nil
}

// Damage returns the error that says that the log can't be read on.
func (r *LogReader) Damage(format string, args ...any) *CorruptError {
	return &CorruptError{Path: r.Path, Offset: r.Bad, Err: fmt.Errorf("%s, where update %d should be: %s", r.Reason, r.Index+1, fmt.Sprintf(format, args...))}
}
