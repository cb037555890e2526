package cluster

import (
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hashicorp/raft"
	wal "github.com/hashicorp/raft-wal"
	"github.com/hashicorp/raft-wal/types"
)

// A walFile is raft-wal's log, which is opened again after errors that raft-wal does
// not get over. It notes in its database that a file is full, or that entries are
// deleted, and makes the next file then. If it can't, for the disk is full, it goes on
// with files that the database does not have any more, or refuses all entries.
type walFile struct {
	open func() (*wal.WAL, error)
	log  *slog.Logger
	stop chan struct{} // closed by Close
	once sync.Once

	// isLost reports whether another log, or none, is in its place, and fails the node then.
	isLost func() bool

	mu  sync.RWMutex // held by all that use wal
	wal *wal.WAL

	refusal diskRefusal
}

// A written is a part of the log. Each may be writable while another is not: entries are in
// files of their own, the rest in a database.
type written int

const (
	inEntries   written = iota // entries that are added
	inDeletions                // entries that are deleted
	inVotes                    // the term, and for whom this node has voted
	inOpening                  // all, while the log has to be opened again
	writtenParts
)

// A diskRefusal is the errors with which the parts of the log could not be written last, until
// they can be.
type diskRefusal struct {
	now [writtenParts]atomic.Pointer[error]

	mu   sync.Mutex
	said reminder
}

// err returns an error; nil: the log can be written, as far as is known.
func (d *diskRefusal) err() error {
	for i := range d.now {
		if err := d.now[i].Load(); err != nil {
			return *err
		}
	}
	return nil
}

// refused notes an error, and warns of it, ever more seldom.
func (d *diskRefusal) refused(log *slog.Logger, what written, err error) {
	if errors.Is(err, errLost) || errors.Is(err, wal.ErrClosed) {
		return
	}
	d.now[what].Store(&err)
	d.mu.Lock()
	due := d.said.due(time.Now(), err.Error())
	d.mu.Unlock()
	if due {
		log.Warn("cluster: the log of this node can't be written: it leads nobody, and acknowledges nothing, until it can (make room on the disk, or look at it)", "error", err)
	}
}

// wrote notes that a part of the log can be written. After entries were added, those that could
// not be deleted do not matter: they are tried again when that is due.
func (d *diskRefusal) wrote(log *slog.Logger, what written) {
	cleared := d.now[what].Load() != nil && d.now[what].Swap(nil) != nil
	if what == inEntries && d.now[inDeletions].Load() != nil {
		cleared = d.now[inDeletions].Swap(nil) != nil || cleared
	}
	if cleared && d.err() == nil {
		log.Info("cluster: the log of this node can be written again")
	}
}

// again closes the log and opens it, as often as it takes. A disk that refuses counts
// as one that does not answer. It does nothing, or leaves the log closed, if that is lost.
func (f *walFile) again(cause error) {
	if f.isLost() {
		return
	}
	f.log.Error("cluster: the log has to be opened again; this node waits until it can", "cause", cause)
	f.mu.Lock()
	defer f.mu.Unlock()
	last, err := f.wal.LastIndex()
	if err != nil {
		return // it was closed for good
	}
	err = f.wal.Close()
	for delay := 10 * time.Millisecond; ; delay = min(2*delay, time.Second) {
		w, oerr := f.open()
		if oerr == nil {
			oerr = dropAfter(w, last)
		}
		if oerr == nil {
			f.wal = w
			f.refusal.wrote(f.log, inOpening)
			return
		}
		if f.isLost() {
			return
		}
		f.refusal.refused(f.log, inOpening, fmt.Errorf("opening the log again: %w", errors.Join(err, oerr)))
		select {
		case <-f.stop:
			return
		case <-time.After(delay):
		}
	}
}

// dropAfter deletes what follows entry last: what was written and not synced, so that
// raft was told an error, and can be there nevertheless. If it can't, it closes the log.
func dropAfter(w *wal.WAL, last uint64) error {
	now, err := w.LastIndex()
	if err == nil && now > last {
		err = w.DeleteRange(last+1, now)
	}
	if err != nil {
		err = errors.Join(err, w.Close())
	}
	return err
}

// use calls do with the log as it is open now.
func (f *walFile) use(do func(w *wal.WAL) error) error {
	f.mu.RLock()
	defer f.mu.RUnlock()
	return do(f.wal)
}

func (f *walFile) StoreLogs(logs []*raft.Log) error {
	last, err := f.LastIndex()
	if err != nil {
		return err
	}
	store := func(w *wal.WAL) error { return w.StoreLogs(logs) }
	err = f.use(store)
	if sealed := errors.Is(err, wal.ErrSealed); sealed || err != nil && last == 0 {
		if f.again(err); sealed { // then none of them was written
			return f.use(store)
		}
	}
	return err
}

func (f *walFile) DeleteRange(from, to uint64) error {
	drop := func(w *wal.WAL) error { return w.DeleteRange(from, to) }
	err := f.use(drop)
	if err != nil && !errors.Is(err, wal.ErrClosed) {
		f.again(err)
		err = f.use(drop)
	}
	return err
}

func (f *walFile) FirstIndex() (i uint64, err error) {
	err = f.use(func(w *wal.WAL) error { i, err = w.FirstIndex(); return err })
	return i, err
}

func (f *walFile) LastIndex() (i uint64, err error) {
	err = f.use(func(w *wal.WAL) error { i, err = w.LastIndex(); return err })
	return i, err
}

// GetLog reads an entry. Raft-wal panics at some damage, which is types.ErrCorrupt.
func (f *walFile) GetLog(index uint64, l *raft.Log) (err error) {
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("%w: panic: %v", types.ErrCorrupt, r)
		}
	}()
	return f.use(func(w *wal.WAL) error { return w.GetLog(index, l) })
}

func (f *walFile) Get(key []byte) (val []byte, err error) {
	err = f.use(func(w *wal.WAL) error { val, err = w.Get(key); return err })
	return val, err
}

func (f *walFile) GetUint64(key []byte) (val uint64, err error) {
	err = f.use(func(w *wal.WAL) error { val, err = w.GetUint64(key); return err })
	return val, err
}

func (f *walFile) Set(key, val []byte) error {
	return f.use(func(w *wal.WAL) error { return w.Set(key, val) })
}

func (f *walFile) SetUint64(key []byte, val uint64) error {
	return f.use(func(w *wal.WAL) error { return w.SetUint64(key, val) })
}

// IsMonotonic implements raft.MonotonicLogStore.
func (f *walFile) IsMonotonic() bool { return true }

func (f *walFile) Close() error {
	f.once.Do(func() { close(f.stop) })
	return f.use(func(w *wal.WAL) error { return w.Close() })
}
