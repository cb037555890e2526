package stateio

import (
	"errors"
	"io"
	"iter"

	"github.com/stateio/stateio/internal/entry"
	"github.com/stateio/stateio/internal/record"
	"github.com/stateio/stateio/logio"
)

// A Reader reads the updates of one epoch, in order. It is not safe for
// concurrent use. A nil *Reader has no updates.
type Reader struct {
	file  file
	epoch uint64
	end   int64         // where the epoch's last entry ends, but for padding
	log   *logio.Reader // nil: there are no updates
	begin int64         // where the first update starts, but for padding
	at    int64         // where the update last returned starts; the epoch, if none was
	size  int           // of that update, in bytes; -1: none was
	err   error         // final

	behind error // damage after end, to be reported there; nil: there is none
}

// Read returns the next update. The slice is the reader's, and valid until the
// next call; copy it to keep it.
//
// At the end of the epoch, Read returns io.EOF, for good. Damage is reported by
// a [*CorruptError], for good too: updates after a gap must not be applied. So is an error
// that wraps [ErrNoEpoch], which says that [Truncate] has given back the epoch meanwhile. Any
// other error is one of reading, and the next call tries again.
func (r *Reader) Read() ([]byte, error) {
	if r == nil || r.log == nil {
		return nil, io.EOF
	}
	if r.err != nil {
		return nil, r.err
	}
	b, err := r.log.Read()
	if err != nil {
		return nil, r.fail(err)
	}
	h, update, ok := entry.Split(b)
	if ok && h.Kind == entry.Update && h.Epoch == r.epoch {
		r.at, r.size = r.log.Offset(), len(update)
		return update, nil
	}
	at := r.log.Offset()
	switch {
	case !ok:
		r.err = r.file.noEntry(at, b)
	case h.Kind == entry.Update:
		r.err = r.file.corrupt(at, "an update of epoch %d is among those of epoch %d", h.Epoch, r.epoch)
	default:
		r.err = r.file.corrupt(at, "a snapshot is among the updates of epoch %d", r.epoch)
	}
	r.err = r.file.unlessFreed(r.epoch, r.err)
	return nil, r.err
}

// fail returns what Read returns for error err of the log.
func (r *Reader) fail(err error) error {
	at := r.log.Offset()
	switch {
	case err == io.EOF && record.Aligned(at) < r.end:
		r.err = r.file.unlessFreed(r.epoch, r.file.corrupt(at, "there are zeros from here on, but the epoch ends at offset %d", r.end))
	case err == io.EOF && r.behind != nil:
		r.err = r.behind
	case err == io.EOF:
		r.err = err
	case errors.Is(err, logio.ErrCorrupted):
		r.err = r.file.unlessFreed(r.epoch, r.file.convert(err, at))
	default:
		return r.file.reading(err)
	}
	return r.err
}

// Offset returns where the entry of the update last returned starts, or where
// the damage is that was reported: the offset of its first record.
func (r *Reader) Offset() int64 {
	if r == nil || r.log == nil {
		return 0
	}
	var corrupt *CorruptError
	if errors.As(r.err, &corrupt) {
		return corrupt.Offset
	}
	return r.at // the log's reader is past that after an error of reading
}

// Progress returns how many bytes of the epoch lie before what the next Read returns, and
// how many there are: what a progress bar shows. The snapshot counts as read. At the end
// both are the same.
func (r *Reader) Progress() (done, total int64) {
	if r == nil || r.log == nil {
		return 0, 0
	}
	epoch := int64(r.epoch)
	total = r.end - epoch
	switch {
	case r.err == io.EOF || r.err != nil && r.err == r.behind:
		return total, total
	case r.size < 0:
		return r.begin - epoch, total
	case r.err != nil:
		return r.Offset() - epoch, total
	}
	return r.at - epoch + record.EntrySize(r.at, int64(r.size)+entry.HeadSize), total
}

// All returns the updates that are left, as [Reader.Read] does: each slice is
// valid for its turn of the loop only. An error is the last thing that comes;
// the end of the epoch is none.
func (r *Reader) All() iter.Seq2[[]byte, error] {
	return func(yield func([]byte, error) bool) {
		for {
			update, err := r.Read()
			if err == io.EOF {
				return
			}
			if !yield(update, err) || err != nil {
				return
			}
		}
	}
}
