package stateio

import (
	"fmt"
	"io"
	"os"

	"github.com/stateio/stateio/internal/entry"
	"github.com/stateio/stateio/internal/osfile"
	"github.com/stateio/stateio/internal/record"
)

// keepScratch is the largest buffer, in bytes, that a Writer keeps.
const keepScratch = 8 << 20

// A Syncer makes durable what was written to it.
type Syncer interface {
	Sync() error
}

// A Writer appends updates and snapshots to a state file. It is not safe for
// concurrent use.
//
// The first error of a write or of Sync is final: what was written may be on
// disk or not, or in part, and whether a later Sync would tell is not certain
// (https://www.usenix.org/conference/atc20/presentation/rebello). Every later
// call returns that error and writes nothing. Restore the state and open the
// file anew to go on; the entry that failed may then be there or not.
type Writer struct {
	w       io.Writer
	sync    Syncer        // nil: w can't sync
	file    *os.File      // of NewFileWriter, with:
	watch   *osfile.Watch // whether it is still there
	stale   int64         // bytes in it that are no entry, to be cut off before the first
	path    string        // for errors
	off     int64         // where w is
	epoch   uint64
	scratch []byte
	err     error // the first one, final
}

// NewWriter returns a writer of entries to w, which is at offset off of the state
// file, in the given epoch. Off and epoch come from [Restore], of a file without
// a torn tail, or are 0 for a new file.
//
// If w is a [Syncer], every entry is synced before it is acknowledged.
// [NewFileWriter] is the safer way to write to a file.
func NewWriter(w io.Writer, off int64, epoch uint64) *Writer {
	wr := &Writer{w: w, off: off, epoch: epoch}
	wr.sync, _ = w.(Syncer)
	if off < 0 {
		wr.err = fmt.Errorf("stateio: writing at offset %d: the offset is negative", off)
	}
	return wr
}

// Update appends an update to the current epoch with one write, and syncs it. A
// nil error means that it is durable, if the Writer syncs at all. It does not
// keep the slice, and allocates nothing in the steady state.
func (w *Writer) Update(update []byte) error {
	return w.append(entry.Head{Kind: entry.Update, Epoch: w.epoch}, update)
}

// Snapshot appends a snapshot of the state with one write, and syncs it. It
// begins a new epoch, to which the updates that follow belong. A nil error means
// that it is durable, if the Writer syncs at all. It does not keep the slice.
func (w *Writer) Snapshot(state []byte) error {
	epoch := uint64(record.Aligned(w.off))
	if err := w.append(entry.Head{Kind: entry.Snapshot, Epoch: w.epoch}, state); err != nil {
		return err
	}
	w.epoch = epoch
	return nil
}

// append writes one entry and syncs it.
func (w *Writer) append(h entry.Head, payload []byte) error {
	if w.err != nil {
		return w.err
	}
	var head [entry.HeadSize]byte
	h.Put(&head)
	if need := record.Room(len(head) + len(payload)); cap(w.scratch) < need {
		w.scratch = make([]byte, 0, need)
	}
	b := record.AppendEntry(w.scratch[:0], w.off, head[:], payload)
	if cap(w.scratch) > keepScratch {
		w.scratch = nil
	}
	if err := w.write(b); err != nil {
		w.err = fmt.Errorf("stateio: appending the %v at offset %d%s: %w; this writer is finished: restore the state and open the file anew",
			h.Kind, record.Aligned(w.off), w.path, err)
		return w.err
	}
	w.off += int64(len(b))
	return nil
}

// write writes the bytes of an entry at the writer's offset, and syncs them.
func (w *Writer) write(b []byte) error {
	if w.file != nil {
		if err := w.prepare(); err != nil {
			return err
		}
	}
	n, err := w.w.Write(b)
	if err == nil && n != len(b) {
		err = io.ErrShortWrite
	}
	if err == nil && w.sync != nil {
		err = w.sync.Sync()
	}
	if err == nil && w.file != nil {
		err = w.watch.Check(w.off + int64(len(b)))
	}
	return err
}

// prepare makes the file ready for an entry at the writer's offset, where it must
// end.
func (w *Writer) prepare() error {
	if err := w.watch.Size(max(w.off, w.stale)); err != nil {
		return err
	}
	if w.stale > 0 {
		if err := w.file.Truncate(0); err != nil {
			return err
		}
		if err := w.file.Sync(); err != nil {
			return err
		}
		w.stale = 0
	}
	// The file's position may have been moved since.
	_, err := w.file.Seek(w.off, io.SeekStart)
	return err
}
