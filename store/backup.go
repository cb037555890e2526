package store

import (
	"bytes"
	"context"
	"fmt"
	"io"

	"github.com/stateio/stateio/internal/entry"
	"github.com/stateio/stateio/logio"
)

// Backup writes the state as it is now to w, as one state file of package
// stateio with a single snapshot, and returns the index of the last update in
// it, which is durable by then. [Import] makes a store of such a file. Updates
// go on meanwhile, and memory does not depend on the size of the state.
//
// The errors are those of w, of Machine.Snapshot and its io.WriterTo, of ctx,
// ErrFailed, ErrClosed and ErrReentrant. What was written before an error is
// not a state file.
func (s *Store) Backup(ctx context.Context, w io.Writer) (index uint64, err error) {
	if err := s.lockState(); err != nil {
		return 0, err
	}
	c, err := s.captureNow()
	s.state.Unlock()
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
	return c.index, c.backup(ctx, w)
}

// captureNow captures the state. The caller holds state.
func (s *Store) captureNow() (*capture, error) {
	s.mu.Lock()
	c, err := &capture{index: s.index}, s.err
	s.mu.Unlock()
	if err != nil {
		return nil, err
	}
	c.state, err = s.callSnapshot()
	return c, err
}

// backup writes the captured state to w as a state file.
func (c *capture) backup(ctx context.Context, w io.Writer) error {
	var head [entry.HeadSize]byte
	entry.Head{Kind: entry.Snapshot}.Put(&head)
	r, pipe := io.Pipe()
	ended := make(chan error, 1)
	go func() {
		err := c.writeTo(pipe)
		_ = pipe.CloseWithError(err) // never fails
		ended <- err
	}()
	_, err := logio.NewWriter(contextWriter{ctx, w}, 0).AppendFrom(io.MultiReader(bytes.NewReader(head[:]), r))
	_ = r.CloseWithError(err) // never fails; ends writeTo if it has not ended
	if serr := <-ended; err == nil {
		err = serr
	}
	if err != nil {
		return fmt.Errorf("store: writing a backup of index %d: %w", c.index, err)
	}
	return nil
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
