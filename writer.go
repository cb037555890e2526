package stateio

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/stateio/stateio/internal/entry"
	"github.com/stateio/stateio/internal/fsys"
	"github.com/stateio/stateio/internal/record"
	"github.com/stateio/stateio/logio"
)

const (
	// keepScratch is the largest buffer, in bytes, that a Writer keeps.
	keepScratch = 8 << 20
	// pieceSize is how many bytes of a batch are written to a file at once, but for longer
	// entries.
	pieceSize = 1 << 20
)

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
// call returns that error, an [*AppendError], and writes nothing. Restore the state
// and open the file anew to go on; the entries that failed may then be there or not,
// unless the error says that nothing of them was kept. The same holds when w panics, or ends
// the goroutine; and for a call that w makes of its Writer, which is refused.
type Writer struct {
	w       io.Writer
	sync    Syncer      // nil: w can't sync
	file    *os.File    // of NewFileWriter, with:
	watch   *fsys.Watch // whether it is still there
	stale   int64       // bytes in it that are no entry, to be cut off before the first
	path    string      // for errors
	off     int64       // where the entries that are acknowledged end
	at      int64       // where w is: after off there is part of entries that are not
	epoch   uint64
	scratch []byte
	err     error // the first one, final; errNotReturned while w is called
}

// errNotReturned is the error of a Writer while it calls the user's code, and stays if that
// does not return.
var errNotReturned = errors.New("an earlier call of this writer has not returned: it goes on, or a panic or runtime.Goexit in what it called has ended it")

// maxOffset is the largest offset at which a file is written: what is appended then does not
// come to where an int64 ends.
const maxOffset = 1 << 62

// NewWriter returns a writer of entries to w, which is at offset off of the state
// file, in the given epoch. Off and epoch come from [Restore], of a file without
// a torn tail, or are 0 for a new file. A writer at a negative offset, or beyond 1<<62,
// writes nothing.
//
// If w is a [Syncer], every entry is synced before it is acknowledged.
// [NewFileWriter] is the safer way to write to a file.
func NewWriter(w io.Writer, off int64, epoch uint64) *Writer {
	wr := &Writer{w: w, off: off, at: off, epoch: epoch}
	wr.sync, _ = w.(Syncer)
	switch {
	case off < 0:
		wr.err = &AppendError{Offset: off, Err: errors.New("the offset is negative")}
	case off > maxOffset:
		wr.err = &AppendError{Offset: off, Err: errors.New("the offset is beyond 1<<62, where no file is written")}
	}
	return wr
}

// Update appends an update to the current epoch with one write, and syncs it. A
// nil error means that it is durable, if the Writer syncs at all. It does not
// keep the slice, and allocates nothing in the steady state.
//
// A Writer of [NewFileWriter] writes an update or a snapshot of more than 8 MiB in
// pieces, with memory for one of them.
func (w *Writer) Update(update []byte) error { return w.append(entry.Update, update) }

// Updates appends updates to the current epoch, in order, and syncs them once: that is
// as fast as one write of all, where a sync for each takes most of the time. A nil error
// means that all are durable, if the Writer syncs at all. It keeps no slice. Without
// updates it does nothing.
//
// When the process dies meanwhile, the file holds a prefix of the batch, and perhaps
// a torn entry after it, which [NewFileWriter] cuts off. A power failure may keep
// later parts of a batch and lose earlier ones. The format can't tell that from
// damage to what was acknowledged, so that [Restore] and NewFileWriter may refuse the
// file with a [*CorruptError]; what was acknowledged is intact then, and [RestoreEpoch]
// gives it back, with the updates of the batch up to the gap. Where that won't do, use
// [Writer.Update], or package store, whose batches a power failure leaves whole or not
// at all.
//
// The batch goes out in one write. A Writer of NewFileWriter writes a long one in
// pieces of about 1 MiB, or of one update that is longer, with memory for the longest of
// them; updates of more than 8 MiB go out as Update writes them.
func (w *Writer) Updates(batch ...[]byte) error { return w.append(entry.Update, batch...) }

// Snapshot appends a snapshot of the state with one write, and syncs it. It
// begins a new epoch, to which the updates that follow belong. A nil error means
// that it is durable, if the Writer syncs at all. It does not keep the slice.
func (w *Writer) Snapshot(state []byte) error {
	epoch := uint64(record.Aligned(w.off))
	if err := w.append(entry.Snapshot, state); err != nil {
		return err
	}
	w.epoch = epoch
	return nil
}

// append writes entries of a kind and syncs them.
func (w *Writer) append(kind entry.Kind, payloads ...[]byte) error {
	if w.err != nil || len(payloads) == 0 {
		return w.finished(kind, len(payloads))
	}
	w.err = errNotReturned
	synced, err := w.write(kind, payloads)
	w.err = nil
	if err != nil {
		w.err = &AppendError{
			Path: w.path, Offset: record.Aligned(w.off), Err: err,
			Unknown: synced || !w.cut(), what: described(kind, len(payloads)),
		}
		return w.err
	}
	w.off = w.at
	return nil
}

// finished returns the error that is final, if there is one.
func (w *Writer) finished(kind entry.Kind, n int) error {
	if !errors.Is(w.err, errNotReturned) {
		return w.err
	}
	return &AppendError{Path: w.path, Offset: record.Aligned(w.off), Err: w.err, Unknown: true, what: described(kind, n)}
}

// described names n entries of a kind.
func described(kind entry.Kind, n int) string {
	if n == 1 {
		return fmt.Sprintf("the %v", kind)
	}
	return fmt.Sprintf("%d %vs", n, kind)
}

// write writes entries at the writer's offset, and syncs them. It reports whether it
// came to that: then nobody knows what is on the disk.
func (w *Writer) write(kind entry.Kind, payloads [][]byte) (synced bool, err error) {
	if w.file != nil {
		if err := w.prepare(); err != nil {
			return false, err
		}
	}
	if err := w.entries(kind, payloads); err != nil {
		return false, err
	}
	if w.sync != nil {
		err = w.sync.Sync()
	}
	if err == nil && w.file != nil {
		err = w.watch.Check(w.at)
	}
	return true, err
}

// entries writes entries with as few writes as it can.
func (w *Writer) entries(kind entry.Kind, payloads [][]byte) error {
	var head [entry.HeadSize]byte
	entry.Head{Kind: kind, Epoch: w.epoch}.Put(&head)
	if need := record.Room(len(head) + len(payloads[0])); cap(w.scratch) < need && !w.long(payloads[0]) {
		w.scratch = make([]byte, 0, need)
	}
	b := w.scratch[:0]
	for _, payload := range payloads {
		if w.file != nil && len(b)+len(payload) > pieceSize {
			if err := w.put(b); err != nil {
				return err
			}
			b = b[:0]
		}
		if !w.long(payload) {
			b = record.AppendEntry(b, w.at+int64(len(b)), head[:], payload)
		} else if err := w.stream(kind, payload); err != nil {
			return err
		}
	}
	if w.scratch = b[:0]; cap(b) > keepScratch {
		w.scratch = nil
	}
	return w.put(b)
}

// stream writes a long entry in pieces.
func (w *Writer) stream(kind entry.Kind, payload []byte) error {
	var head [entry.HeadSize]byte
	entry.Head{Kind: kind, Epoch: w.epoch}.Put(&head)
	src := io.MultiReader(bytes.NewReader(head[:]), bytes.NewReader(payload))
	_, err := logio.NewWriter(putter{w}, w.at).AppendFrom(src)
	return err
}

// long reports whether a payload is written in pieces. Only a file can lose what was
// written of an entry when writing it fails: any other writer gets it at once.
func (w *Writer) long(payload []byte) bool { return w.file != nil && len(payload) > keepScratch }

// put writes b, which is what follows. A file must be as the writer left it.
func (w *Writer) put(b []byte) error {
	if len(b) == 0 {
		return nil
	}
	if w.file != nil && w.at > w.off { // before the first piece, prepare looked
		if err := w.watch.Size(w.at); err != nil {
			return err
		}
	}
	n, err := w.w.Write(b)
	w.at += int64(n)
	if err == nil && n != len(b) {
		err = io.ErrShortWrite
	}
	return err
}

// A putter is a writer's put as an io.Writer.
type putter struct{ w *Writer }

func (p putter) Write(b []byte) (int, error) {
	at := p.w.at
	err := p.w.put(b)
	return int(p.w.at - at), err
}
