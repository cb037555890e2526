package store

import (
	"bytes"
	"context"
	"fmt"
	"io"

	"github.com/cespare/xxhash/v2"

	"github.com/stateio/stateio/internal/entry"
	"github.com/stateio/stateio/internal/record"
	"github.com/stateio/stateio/internal/storefile"
	"github.com/stateio/stateio/logio"
)

// Backup writes the state as it is now to w, as one state file of package
// stateio, and returns the index of the last update in it, which is durable by
// then. [Import] makes a store of such a file, with that index and the identity of
// this store, and [VerifyBackup] checks it. Updates go on meanwhile, and memory
// does not depend on the size of the state.
//
// The file says where it ends, so one that was cut, or damaged in any other way, is
// noticed. To package stateio, and to the original, it is an epoch of a snapshot,
// which is the state, and of one update, which says that all of it is there; a
// program that reads it as such passes over that update, whose first bytes are
// "stateio\n". What was written before an error is not a backup, and is not taken
// for one.
//
// Nothing can interrupt a Write: while one of w blocks, so does Backup, also after ctx has
// ended and the store is closed. Give a connection a deadline for writing.
//
// The errors are those of w, of Machine.Snapshot and its io.WriterTo, of ctx,
// ErrFailed, ErrClosed and ErrReentrant; with Options.Shadow, those of Snapshot.
func (s *Store) Backup(ctx context.Context, w io.Writer) (index uint64, err error) {
	capture := s.captureNow
	if s.shadow != nil {
		capture = s.captureWritten
	}
	c, err := capture(ctx)
	if err != nil {
		return 0, err
	}
	defer func() {
		if cerr := c.close(); err == nil && cerr != nil {
			err = fmt.Errorf("store: closing the captured state: %w", cerr)
		}
	}()
	if err := s.Sync(ctx); err != nil {
		return 0, err
	}
	return c.index, s.backup(ctx, c, w)
}

// captureNow captures the state as it is now. It does not wait longer than ctx.
func (s *Store) captureNow(ctx context.Context) (*capture, error) {
	if s.within(inApply, inCapture, inView) {
		return nil, errReentrant
	}
	if err := ctx.Err(); err != nil {
		return nil, fmt.Errorf("store: backup not made: %w", err)
	}
	type result struct {
		c   *capture
		err error
	}
	captured := make(chan result)
	go func() {
		var r result
		r.c, r.err = s.captureState()
		select {
		case captured <- r:
		case <-ctx.Done():
			if r.err == nil {
				_ = r.c.close() // nobody is there to be told
			}
		}
	}()
	s.watch.arm()
	select {
	case r := <-captured:
		return r.c, r.err
	case <-ctx.Done():
		return nil, fmt.Errorf("store: backup not made: %w", ctx.Err())
	}
}

// captureState captures the state between two updates.
func (s *Store) captureState() (*capture, error) {
	s.state.Lock()
	defer s.state.Unlock()
	c := &capture{index: s.index.Load(), time: s.appliedAt.Load()}
	if err := s.whyDown(); err != nil {
		return nil, err
	}
	return c, s.callSnapshot(c)
}

// backup writes the captured state to w as a state file.
func (s *Store) backup(ctx context.Context, c *capture, w io.Writer) error {
	h := storefile.Header{Kind: storefile.BackupKind, Store: s.id, Base: c.index, Salt: newSalt(), Time: c.time}
	out := logio.NewWriter(contextWriter{ctx, w}, 0)
	err := storefile.AppendBackupEntry(out, entry.Head{Kind: entry.Snapshot}, h.Encode())
	if err == nil {
		err = s.backupState(ctx, c, out, h)
	}
	if err == nil && c.late.Load() {
		err = errLate
	}
	if err != nil {
		return fmt.Errorf("store: writing a backup of index %d: %w", c.index, err)
	}
	return nil
}

// backupState writes the state and the end of a backup.
func (s *Store) backupState(ctx context.Context, c *capture, out *logio.Writer, h storefile.Header) error {
	var head [entry.HeadSize]byte
	entry.Head{Kind: entry.Snapshot}.Put(&head)
	at := record.Aligned(out.Tell())
	r, pipe := io.Pipe()
	ended := make(chan error, 1)
	go func() {
		err := s.writeTo(ctx, c, pipe)
		_ = pipe.CloseWithError(err) // never fails
		ended <- err
	}()
	var digest xxhash.Digest
	digest.Reset()
	n, err := out.AppendFrom(io.MultiReader(bytes.NewReader(head[:]), io.TeeReader(r, &digest)))
	_ = r.CloseWithError(err) // never fails; ends writeTo if it has not ended
	if serr := <-ended; err == nil {
		err = serr
	}
	if err != nil {
		return err
	}
	end := storefile.EndOf(h, n-entry.HeadSize, digest.Sum64())
	return storefile.AppendBackupEntry(out, entry.Head{Kind: entry.Update, Epoch: uint64(at)}, end.Encode())
}

// contextWriter is an io.Writer until its context ends.
type contextWriter struct {
	ctx context.Context
	w   io.Writer
}

func (w contextWriter) Write(p []byte) (int, error) {
	if err := w.ctx.Err(); err != nil {
		return 0, err
	}
	return w.w.Write(p)
}
