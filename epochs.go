package stateio

import (
	"errors"
	"fmt"
	"io"
	"iter"

	"github.com/stateio/stateio/internal/entry"
	"github.com/stateio/stateio/internal/record"
)

// An Epoch is a snapshot and the updates that follow it.
type Epoch struct {
	// Offset names the epoch: where its snapshot's entry starts, in bytes.
	Offset uint64
	// Previous is the epoch before, of all but the first; that is 0, as is the
	// Previous of an epoch whose snapshot is damaged.
	Previous uint64
	// StateSize is the length of the snapshot in bytes, and -1 if there is none.
	StateSize int64
	// End is where the epoch's entries end: the offset of the next epoch's
	// snapshot, or, in the last epoch, the end of its last whole entry.
	End int64

	known bool // Offset is
}

// Epochs returns the epochs in the first limit bytes of r, newest first, as far
// as they are reached; those whose space [Truncate] has given back are not. It
// reads what is needed for walking from one to the other, but not the updates.
//
// An epoch whose snapshot is damaged comes with a [*CorruptError], as does, with
// an Epoch of zeros but for a StateSize of -1, damage at the end of the file; the
// walk then goes on with the last epoch before that is found. An error of reading
// ends the walk.
func Epochs(r io.ReaderAt, limit int64) iter.Seq2[Epoch, error] {
	return func(yield func(Epoch, error) bool) {
		f, err := newFile(r, limit)
		if err != nil {
			yield(Epoch{}, err)
			return
		}
		f.epochs(yield)
	}
}

// epochs is the walk of Epochs.
func (f file) epochs(yield func(Epoch, error) bool) {
	last, err := f.end()
	if err != nil && (!yield(Epoch{StateSize: -1}, err) || !errors.Is(err, ErrCorrupt)) {
		return
	}
	at, end := last.epoch, last.last.End
	for more := last.found; more; {
		e, err := f.epoch(at, end)
		if err != nil && at != last.epoch && f.punched(int64(at)) {
			return
		}
		if !yield(e, err) || at == 0 || err != nil && !errors.Is(err, ErrCorrupt) {
			return
		}
		end = int64(at)
		if err == nil {
			at = e.Previous
			continue
		}
		at, more, err = f.before(end)
		if err != nil {
			yield(Epoch{StateSize: -1}, err)
			return
		}
	}
}

// before returns the epoch that the last whole entry before off belongs to.
func (f file) before(off int64) (epoch uint64, found bool, err error) {
	f.limit = off
	end, err := f.end()
	if errors.Is(err, ErrCorrupt) {
		err = nil // the walk has reported what lies after
	}
	return end.epoch, end.found, err
}

// epoch returns the epoch that starts at off and ends at end.
func (f file) epoch(off uint64, end int64) (Epoch, error) {
	e := Epoch{Offset: off, StateSize: -1, End: end, known: true}
	first, err := f.entryAt(int64(off), end)
	if err != nil {
		return e, err
	}
	h, err := f.head(first)
	switch {
	case err != nil:
		return e, err
	case h.Kind == entry.Update && off != 0:
		return e, f.corrupt(first.Start, "the snapshot of epoch %d should be here, but it is an update", off)
	case h.Kind == entry.Update:
		return e, nil
	case h.Epoch >= off && off != 0:
		return e, f.corrupt(first.Start, "the snapshot says that epoch %d, which lies after it, came before", h.Epoch)
	}
	e.Previous, e.StateSize = h.Epoch, first.Size-entry.HeadSize
	return e, nil
}

// punched reports whether the entry that should start at off was given back to
// the file system, as all before it was: what is lost by itself is damage.
func (f file) punched(off int64) bool {
	return f.zeroAt(off) && f.zeroAt(0)
}

// unlessFreed returns err, which is about an epoch whose start was there, or that [Truncate] has
// given the epoch back since, if that is so: what is missing then is no damage.
func (f file) unlessFreed(epoch uint64, err error) error {
	if err == nil || !f.punched(int64(epoch)) {
		return err
	}
	return f.reading(fmt.Errorf("%w: that at offset %d was given back to the file system while it was read, "+
		"since a later one has taken its place: read the file anew", ErrNoEpoch, epoch))
}

// zeroAt reports whether there are zeros in the place of a record's header.
func (f file) zeroAt(off int64) bool {
	var buf [record.HeaderSize]byte
	b, err := record.ReadAt(f.r, buf[:], off, f.limit)
	return err == nil && record.Zero(b)
}
