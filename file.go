package stateio

import (
	"errors"
	"fmt"
	"io"
	"os"
	"runtime"

	"github.com/stateio/stateio/internal/ahead"
	"github.com/stateio/stateio/internal/entry"
	"github.com/stateio/stateio/internal/fsys"
	"github.com/stateio/stateio/internal/record"
	"github.com/stateio/stateio/logio"
)

// A file is the log of a state file, to be read up to limit.
type file struct {
	r     io.ReaderAt
	limit int64
	path  string // for errors; empty when not known
}

// newFile returns the state file in the first limit bytes of r.
func newFile(r io.ReaderAt, limit int64) (file, error) {
	f := file{r: r, limit: limit}
	if limit < 0 {
		return f, fmt.Errorf("stateio: the limit %d is negative", limit)
	}
	f.path, f.limit = fsys.Describe(r, limit)
	return f, nil
}

// corrupt returns the error that reports damage at offset off.
func (f file) corrupt(off int64, format string, args ...any) error {
	return &CorruptError{Path: f.path, Offset: off, Err: fmt.Errorf(format, args...)}
}

// reading returns the error that says that reading failed.
func (f file) reading(err error) error {
	if f.path == "" {
		return fmt.Errorf("stateio: %w", err)
	}
	return fmt.Errorf("stateio: %s: %w", f.path, err)
}

// An end is where a state file ends.
type end struct {
	last  record.Entry // the last whole entry; zero if there is none
	epoch uint64       // the current one
	found bool
}

// tail finds where the log ends.
func (f file) tail() (record.Tail, error) {
	tail, err := record.FindTail(f.r, f.limit)
	if err != nil {
		return tail, f.reading(err)
	}
	return tail, nil
}

// end finds the last whole entry, and with it the current epoch. With a
// [*CorruptError] that reports damage after that entry, it is valid, too.
func (f file) end() (end, error) {
	tail, err := f.tail()
	if err != nil {
		return end{}, err
	}
	e := end{last: tail.Last, found: tail.Found}
	if e.found {
		if e.epoch, err = f.epochOf(e.last); err != nil {
			return end{}, err
		}
	}
	switch {
	case tail.Damaged:
		return e, f.corrupt(tail.Break, "what begins here is broken, and the valid record at offset %d "+
			"shows that it was once whole: acknowledged data is lost. Nothing was changed; "+
			"keep a copy, and salvage what is intact with Epochs and RestoreEpoch (stateio epochs, stateio restore --epoch)", tail.Proof)
	case !e.found && tail.Torn:
		return e, f.checkTornStart()
	}
	return e, nil
}

// epochOf returns the epoch that entry e belongs to.
func (f file) epochOf(e record.Entry) (uint64, error) {
	h, _, err := f.open(e, min(e.End, e.Start+2*record.BlockSize)) // where the head is
	switch {
	case err != nil:
		return 0, err
	case h.Kind == entry.Snapshot:
		return uint64(e.Start), nil
	case h.Epoch >= uint64(e.Start) && h.Epoch != 0:
		return 0, f.corrupt(e.Start, "the update says that it belongs to epoch %d, which lies after it", h.Epoch)
	}
	return h.Epoch, nil
}

// entryAt returns the entry that starts at off and ends at or before end.
func (f file) entryAt(off, end int64) (record.Entry, error) {
	e, bad, ok, err := record.FindEntry(f.r, off, end)
	if err != nil {
		return e, f.reading(err)
	}
	if !ok {
		return e, f.corrupt(bad, "the entry that starts at offset %d is broken here", off)
	}
	covered, err := record.Covered(f.r, off, end)
	if err != nil {
		return e, f.reading(err)
	}
	if covered {
		return e, f.corrupt(off, "an entry should start here, but the offset lies within another one")
	}
	return e, nil
}

// open reads entry e: it returns the head, and a reader of the log up to limit
// with the entry's payload as its stream.
func (f file) open(e record.Entry, limit int64) (h entry.Head, p payload, err error) {
	p.log = f.log(e.Start, limit)
	if p.Reader, err = p.log.Stream(); err != nil {
		return h, p, f.convert(err, p.log.Offset())
	}
	p.size = max(0, e.Size-entry.HeadSize)
	b := make([]byte, e.Size-p.size)
	if _, err := io.ReadFull(p, b); err != nil {
		return h, p, f.convert(err, p.log.Offset())
	}
	h, _, ok := entry.Split(b)
	if !ok {
		return h, p, f.noEntry(e.Start, b)
	}
	return h, p, nil
}

// head reads the head of entry e, which was checked, and no more than that if it is
// in the first record, as almost all are: a reader of the log for each entry of many
// would be slow.
func (f file) head(e record.Entry) (entry.Head, error) {
	var buf [record.HeaderSize + entry.HeadSize]byte
	b, err := record.ReadAt(f.r, buf[:], e.Start, e.End)
	if err != nil {
		return entry.Head{}, f.reading(err)
	}
	if len(b) == len(buf) && record.Decode(b).Length >= entry.HeadSize {
		if h, _, ok := entry.Split(b[record.HeaderSize:]); ok {
			return h, nil
		}
	}
	h, _, err := f.open(e, min(e.End, e.Start+2*record.BlockSize))
	return h, err
}

// aheadFrom is the length in bytes of a log from which on it is worth to read
// ahead. That is done with files only: they can be closed meanwhile.
const aheadFrom = 1 << 20

// canReadAhead is false on Windows. There, reads of one file wait for each other, so
// there is little to gain; and in Go 1.26, when several wait while the file is closed,
// Close may never return.
const canReadAhead = runtime.GOOS != "windows"

// log returns a reader of the log from start to end.
func (f file) log(start, end int64) *logio.Reader {
	var src io.Reader = io.NewSectionReader(f.r, start, end-start)
	if f.isFile() && end-start >= aheadFrom && canReadAhead {
		src = ahead.New(f.r, start, end)
	}
	r := logio.NewReader(src, start)
	r.SetMaxEntry(0) // the file holds what it holds
	return r
}

// isFile reports whether f is read from a file.
func (f file) isFile() bool {
	switch f.r.(type) {
	case *os.File, *watchedFile:
		return true
	}
	return false
}

// A payload is that of an entry which is being read.
type payload struct {
	io.Reader
	size int64         // bytes
	log  *logio.Reader // after Reader; goes on after the entry
}

// noEntry returns the error for log entry b, which is no entry of a state file.
func (f file) noEntry(off int64, b []byte) error {
	if len(b) < entry.HeadSize {
		return f.corrupt(off, "the entry has %d bytes, fewer than the %d of its head: this is a log, but not a state file", len(b), entry.HeadSize)
	}
	return f.corrupt(off, "the entry is of %v: the file is damaged, no state file, or one of a later version", entry.Kind(b[0]))
}

// convert turns an error of a log reader, about offset off, into one of ours.
func (f file) convert(err error, off int64) error {
	if errors.Is(err, logio.ErrCorrupted) {
		return &CorruptError{Path: f.path, Offset: off, Err: err}
	}
	return f.reading(err)
}

// checkTornStart reports an error if the file, which has no whole entry, can't be
// what a crash leaves of a first one. That keeps writers from cutting off what
// somebody else wrote.
func (f file) checkTornStart() error {
	torn, err := record.MayBeTorn(f.r, f.limit)
	if err != nil {
		return f.reading(err)
	}
	if torn {
		return nil
	}
	return f.corrupt(0, "this is no state file: it holds no entry, and is not what a crash leaves of a first one")
}
