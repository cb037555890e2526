package store

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync/atomic"
	"time"

	"github.com/stateio/stateio/internal/fsys"
	"github.com/stateio/stateio/internal/storefile"
)

// A snapshotMaker writes snapshots into the directory of a store.
type snapshotMaker struct {
	d       *directory
	ctx     context.Context                     // gives up the one that is being made
	commits func() uint64                       // how many there were: it leaves the disk to them
	written *atomic.Int64                       // gets the bytes of the one that is being made
	moved   *atomic.Uint64                      // is increased while it is read back
	stage   *atomic.Int32                       // gets its stage
	writeTo func(c *capture, w io.Writer) error // calls WriteTo of a captured state
}

// givenUp returns an error when a snapshot that is being made is to be given up.
func (m *snapshotMaker) givenUp() error {
	if m.ctx.Err() != nil {
		return context.Cause(m.ctx)
	}
	return nil
}

// write writes the captured state into a file of its own, and returns its size in bytes.
//
// Commit point: the rename, made durable by SyncDir. Before that the file has a
// temporary name, is on the disk, and was read back and verified.
func (m *snapshotMaker) write(c *capture) (int64, error) {
	path := m.d.path(c.index, storefile.SnapSuffix)
	tmp := path + storefile.TmpSuffix
	f, err := m.d.createTmp(tmp)
	if err != nil {
		return 0, err
	}
	size, err := m.fill(f, tmp, c)
	if cerr := f.Close(); err == nil {
		err = wrap("closing a snapshot", cerr)
	}
	if err == nil && c.late.Load() {
		err = errLate
	}
	if err == nil {
		err = wrap("publishing a snapshot", m.d.fs.Rename(tmp, path))
	}
	if err != nil {
		_ = m.d.fs.Remove(tmp) // the next Open does, if this fails
		return 0, err
	}
	return size, wrap("publishing a snapshot", m.d.fs.SyncDir(m.d.dir))
}

// fill writes, syncs and verifies the snapshot of c in f.
func (m *snapshotMaker) fill(f fsys.File, path string, c *capture) (int64, error) {
	m.stage.Store(writing)
	w := m.newWriter(f, c.index, c.time)
	if err := m.writeTo(c, w); err != nil {
		if w.Err != nil {
			return 0, w.Err
		}
		return 0, fmt.Errorf("store: writing the snapshot of index %d: %w", c.index, err)
	}
	if err := w.finish(); err != nil {
		return 0, err
	}
	m.stage.Store(verifying)
	if err := f.DropCache(); err != nil && !errors.Is(err, errors.ErrUnsupported) {
		return 0, wrap("verifying a snapshot", err)
	}
	r, err := storefile.NewSnapReader(f, path, c.index, w.Off)
	if err != nil {
		return 0, err
	}
	defer r.Close()
	if _, err := r.WriteTo(m.newPacer()); err != nil {
		return 0, fmt.Errorf("store: the snapshot just written reads differently: %w", err)
	}
	if r.Digest.Sum64() != w.Digest.Sum64() {
		return 0, storefile.Corrupt(path, 0, "the snapshot just written reads differently")
	}
	return w.Off, nil
}

// A snapWriter writes a snapshot to a file, at a pace that leaves the disk to updates.
type snapWriter struct {
	*storefile.SnapWriter
	m      *snapshotMaker
	f      fsys.File
	synced int64         // offset up to which the file was synced
	worked time.Duration // since the last pause, writing and syncing
	pace   *pacer
}

func (m *snapshotMaker) newWriter(f fsys.File, index uint64, at int64) *snapWriter {
	w := &snapWriter{m: m, f: f, pace: m.newPacer()}
	w.SnapWriter = storefile.NewSnapWriter(storefile.Header{Kind: storefile.SnapKind, Store: m.d.id, Base: index, Salt: newSalt(), Time: at}, w.write)
	return w
}

// write writes a piece of the snapshot.
func (w *snapWriter) write(b []byte, off int64) error {
	if err := w.m.givenUp(); err != nil {
		return err
	}
	start := time.Now()
	_, err := w.f.WriteAt(b, off)
	end := off + int64(len(b))
	w.m.written.Store(end)
	due := end-w.synced >= paceBytes
	if err == nil && due {
		w.synced = end
		err = w.f.Datasync()
	}
	w.worked += time.Since(start)
	if due {
		w.pace.pause(w.worked)
		w.worked = 0
	}
	return wrap("writing a snapshot", err)
}

// finish writes what is left and the trailer, and syncs the file.
func (w *snapWriter) finish() error {
	if err := w.Finish(); err != nil {
		return err
	}
	return wrap("writing a snapshot", w.f.Sync())
}
