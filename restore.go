package stateio

import (
	"errors"
	"fmt"
	"io"
	"math"
	"os"

	"github.com/stateio/stateio/internal/entry"
	"github.com/stateio/stateio/internal/fsys"
	"github.com/stateio/stateio/internal/record"
)

// Restore returns the state in the first limit bytes of r: the last snapshot,
// its epoch, and a reader of the updates made since. A nil state means that
// there is no snapshot (an empty one is not nil); nothing at all in a file,
// also because limit is 0, is the empty log of epoch 0.
//
// Restore passes over a torn tail; see the package documentation. It reads the
// file's end and the snapshot only. Damage in the updates is reported by the
// reader where it comes to it. The position of r does not move, and r may be
// written after limit meanwhile.
//
// The state is the caller's. The reader keeps r.
//
// Errors are of type [*CorruptError] for damage, or else say why reading failed.
func Restore(r io.ReaderAt, limit int64) (state []byte, epoch uint64, updates *Reader, err error) {
	f, err := newFile(r, limit)
	if err != nil {
		return nil, 0, nil, err
	}
	end, err := f.end()
	if err != nil {
		return nil, 0, nil, err
	}
	state, updates, err = f.restore(end.epoch, end.last.End)
	if err != nil {
		return nil, 0, nil, err
	}
	return state, end.epoch, updates, nil
}

// RestoreFile is [Restore] for a whole file. It leaves the file positioned at
// its end. The reader of the updates reads from the file without moving that.
//
// The file is read from storage, not from the page cache, where the platform allows
// it (Linux): after an fsync that failed, the cache may show data that a power failure
// would take away. That costs what the disk takes to read the current epoch. Restore
// of a file that [NewFileWriter] has just opened reads what that has checked, from the
// cache. A program that goes on to write calls NewFileWriter first: nobody else can change
// the state then.
func RestoreFile(osf *os.File) (state []byte, epoch uint64, updates *Reader, err error) {
	size, err := osf.Seek(0, io.SeekEnd)
	if err != nil {
		return nil, 0, nil, fmt.Errorf("stateio: finding the end of %s: %w", osf.Name(), err)
	}
	info, err := fsys.StatFile(osf)
	if err == nil && info.IsDir() { // one of Windows is like an empty file
		err = errNotRegular
	}
	if err != nil {
		return nil, 0, nil, fmt.Errorf("stateio: restoring %s: %w", osf.Name(), err)
	}
	forget(osf, 0)
	return Restore(osf, size)
}

// RestoreEpoch returns the state of one epoch, named by its offset, in the first
// limit bytes of r: its snapshot, or nil if it has none, and a reader of its
// updates. It is the way to an older state, be it because a newer one is
// damaged. [Epochs] tells which there are. If there is damage after the last
// update that is left of the last epoch, the reader ends with it.
//
// Ownership is as with [Restore]. Errors are of type [*CorruptError] for damage
// to this epoch, wrap [ErrNoEpoch] if there is no such epoch, or else say why
// reading failed.
func RestoreEpoch(r io.ReaderAt, limit int64, epoch uint64) (state []byte, updates *Reader, err error) {
	f, err := newFile(r, limit)
	if err != nil {
		return nil, nil, err
	}
	var behind error // damage right after the epoch whose turn it is
	for e, err := range f.epochs {
		switch {
		case err != nil && (e.Offset == epoch && e.known || !errors.Is(err, ErrCorrupt)):
			return nil, nil, err
		case e.Offset == epoch && e.known:
			state, updates, err = f.restore(epoch, e.End)
			if err == nil {
				updates.behind = behind
			}
			return state, updates, err
		}
		behind = nil
		if !e.known {
			behind = err
		}
	}
	return nil, nil, f.reading(fmt.Errorf("%w: no epoch starts at offset %d", ErrNoEpoch, epoch))
}

// restore returns the state of the epoch whose last entry ends at or before end.
func (f file) restore(epoch uint64, end int64) (state []byte, updates *Reader, err error) {
	updates, snapshot, err := f.openEpoch(epoch, end)
	if err != nil || snapshot.Reader == nil {
		return nil, updates, err
	}
	if snapshot.size > math.MaxInt {
		return nil, nil, f.reading(fmt.Errorf("the snapshot at offset %d has %d bytes, more than a slice can hold", epoch, snapshot.size))
	}
	state = make([]byte, snapshot.size)
	if _, err := io.ReadFull(snapshot, state); err != nil {
		return nil, nil, f.unlessFreed(epoch, f.convert(err, snapshot.log.Offset()))
	}
	return state, updates, nil
}

// openEpoch returns a reader of the updates of the epoch whose last entry ends
// at or before end, and its snapshot, whose Reader is nil if there is none. The
// snapshot can be read until updates is; every record of it was checked.
func (f file) openEpoch(epoch uint64, end int64) (updates *Reader, snapshot payload, err error) {
	updates = &Reader{file: f, epoch: epoch, end: end, at: int64(epoch), size: -1}
	if end == 0 {
		return updates, payload{}, nil
	}
	if epoch == 0 {
		update, err := f.beginsWithUpdate()
		if err != nil {
			return nil, payload{}, err
		}
		if update {
			updates.log = f.log(0, end)
			return updates, payload{}, nil
		}
	}
	e, err := f.entryAt(int64(epoch), end)
	if err != nil {
		return nil, payload{}, err
	}
	h, p, err := f.open(e, end)
	if err != nil {
		return nil, payload{}, err
	}
	if h.Kind != entry.Snapshot {
		return nil, payload{}, f.corrupt(e.Start, "the snapshot of epoch %d should be here, but it is an update", epoch)
	}
	updates.log, updates.begin = p.log, e.End
	return updates, p, nil
}

// beginsWithUpdate reports whether the first entry looks like an update; reading
// it will tell whether it is one. What is left of an entry whose start is missing
// would be passed over by the log's reader, and must not look like one.
func (f file) beginsWithUpdate() (bool, error) {
	var buf [record.HeaderSize + 1]byte
	b, err := record.ReadAt(f.r, buf[:], 0, f.limit)
	if err != nil {
		return false, f.reading(err)
	}
	if len(b) < len(buf) {
		return false, nil
	}
	h := record.Decode(b)
	return h.Type.Starts() && h.Offset == 0 && entry.Kind(b[record.HeaderSize]) == entry.Update, nil
}
