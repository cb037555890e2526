package storedir

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

// A SnapshotMaker writes snapshots into the directory of a store, one at a time.
type SnapshotMaker struct {
	Dir      *Dir
	Ctx      context.Context // gives up the one that is being made
	Commits  func() uint64   // how many there were: it leaves the disk to them
	Progress *Progress
}

// A Progress says how far a snapshot has come. Anybody may look.
type Progress struct {
	Written atomic.Int64  // bytes of it that were written
	Moved   atomic.Uint64 // increased whenever it gets on in another way
	Stage   atomic.Int32  // one of those below, or one of the caller's
}

// The stages of a snapshot.
const (
	Writing     int32 = iota // the state is being written
	Verifying                // it is read back
	OtherStages              // those that the caller adds begin here
)

// A State is what is in a snapshot.
type State struct {
	Index uint64 // of the last update in it
	Time  int64  // of the commit of that, in nanoseconds since 1970
	// WriteTo writes it to w, once.
	WriteTo func(w io.Writer) error
	// Sound is asked before the snapshot counts, when it is on the disk and verified. An
	// error says that what WriteTo has written is not the state after all.
	Sound func() error
}

// givenUp returns an error when a snapshot that is being made is to be given up.
func (m *SnapshotMaker) givenUp() error {
	if m.Ctx.Err() != nil {
		return context.Cause(m.Ctx)
	}
	return nil
}

// Write writes a state into a file of its own, and returns its size in bytes. The
// errors are those of state; ErrNoSpace and others of the file system; the cause of
// Ctx, when that ends; and storefile.ErrCorrupt if the disk gave back something other
// than what was written.
//
// Commit point: the rename, made durable by SyncDir. Before that the file has a
// temporary name, is on the disk, and was read back and verified.
func (m *SnapshotMaker) Write(state State) (int64, error) {
	path := m.Dir.Snap(state.Index)
	tmp := path + storefile.TmpSuffix
	f, err := m.Dir.createTmp(tmp)
	if err != nil {
		return 0, err
	}
	filled := false
	defer func() {
		if !filled { // WriteTo has panicked, or ended the goroutine
			_ = f.Close()
			_ = m.Dir.FS.Remove(tmp)
		}
	}()
	size, err := m.fill(f, tmp, state)
	filled = true
	if cerr := f.Close(); err == nil {
		err = Wrap("closing a snapshot", cerr)
	}
	if err == nil {
		err = state.Sound()
	}
	if err == nil {
		err = Wrap("publishing a snapshot", m.Dir.FS.Rename(tmp, path))
	}
	if err != nil {
		_ = m.Dir.FS.Remove(tmp) // the next Open does, if this fails
		return 0, err
	}
	return size, Wrap("publishing a snapshot", m.Dir.FS.SyncDir(m.Dir.Path))
}

// fill writes, syncs and verifies the snapshot of state in f.
func (m *SnapshotMaker) fill(f fsys.File, path string, state State) (int64, error) {
	m.Progress.Stage.Store(Writing)
	w := m.newWriter(f, state.Index, state.Time)
	if err := state.WriteTo(w); err != nil {
		if w.Err != nil {
			return 0, w.Err
		}
		return 0, fmt.Errorf("store: writing the snapshot of index %d: %w", state.Index, storefile.Bare(err))
	}
	if err := w.finish(); err != nil {
		return 0, err
	}
	m.Progress.Stage.Store(Verifying)
	if err := f.DropCache(); err != nil && !errors.Is(err, errors.ErrUnsupported) {
		return 0, Wrap("verifying a snapshot", err)
	}
	r, err := storefile.NewSnapReader(f, path, state.Index, w.Off)
	if err != nil {
		return 0, err
	}
	defer r.Close()
	if _, err := r.WriteTo(m.newPacer()); err != nil {
		return 0, fmt.Errorf("store: the snapshot just written reads differently: %w", storefile.Bare(err))
	}
	if r.Digest.Sum64() != w.Digest.Sum64() {
		return 0, storefile.Corrupt(path, 0, "the snapshot just written reads differently")
	}
	return w.Off, nil
}

// A snapWriter writes a snapshot to a file, at a pace that leaves the disk to updates.
type snapWriter struct {
	*storefile.SnapWriter
	m      *SnapshotMaker
	f      fsys.File
	synced int64         // offset up to which the file was synced
	worked time.Duration // since the last pause, writing and syncing
	pace   *pacer
}

func (m *SnapshotMaker) newWriter(f fsys.File, index uint64, at int64) *snapWriter {
	w := &snapWriter{m: m, f: f, pace: m.newPacer()}
	w.SnapWriter = storefile.NewSnapWriter(storefile.Header{Kind: storefile.SnapKind, Store: m.Dir.ID, Base: index, Salt: NewSalt(), Time: at}, w.write)
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
	w.m.Progress.Written.Store(end)
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
	return Wrap("writing a snapshot", err)
}

// finish writes what is left and the trailer, and syncs the file.
func (w *snapWriter) finish() error {
	if err := w.Finish(); err != nil {
		return err
	}
	return Wrap("writing a snapshot", w.f.Sync())
}
