package statetest

import (
	"bytes"
	"errors"
	"fmt"
	"io"

	"github.com/stateio/stateio/store"
)

// capture calls Snapshot of m.
func capture(m store.Machine) (io.WriterTo, error) {
	state, err := m.Snapshot()
	switch {
	case err != nil:
		return nil, fmt.Errorf("Snapshot returned an error: %w", err)
	case state == nil:
		return nil, errors.New("Snapshot returned neither a state nor an error")
	}
	return state, nil
}

// release ends the use of a captured state.
func release(state io.WriterTo) error {
	if c, ok := state.(io.Closer); ok {
		if err := c.Close(); err != nil {
			return fmt.Errorf("Close of a captured state returned an error: %w", err)
		}
	}
	return nil
}

// written returns the snapshot of a captured state, which is released.
func written(state io.WriterTo) ([]byte, error) {
	var b buffer
	_, err := state.WriteTo(&b)
	if err != nil {
		err = fmt.Errorf("WriteTo of a captured state returned an error: %w", err)
	}
	return b.b, errorOf(err, release(state))
}

// snapshot captures the state of m and writes it at once.
func snapshot(m store.Machine) ([]byte, error) {
	state, err := capture(m)
	if err != nil {
		return nil, err
	}
	return written(state)
}

// buffer is what a snapshot is written to: an io.Writer and, unlike a
// bytes.Buffer, nothing else, as in the store.
type buffer struct{ b []byte }

func (w *buffer) Write(p []byte) (int, error) {
	w.b = append(w.b, p...)
	return len(p), nil
}

// restore calls Restore of m with a snapshot.
func restore(m store.Machine, snapshot []byte) error {
	r := &reader{r: bytes.NewReader(snapshot)}
	defer r.close()
	if err := m.Restore(r); err != nil {
		return fmt.Errorf("a snapshot can't be restored: %w", err)
	}
	return nil
}

// reader is what a snapshot is restored from: an io.Reader and nothing else,
// which is of no use once Restore has returned.
type reader struct {
	r      io.Reader
	closed bool
}

var errClosed = errors.New("statetest: the snapshot was read after Restore had returned")

func (r *reader) Read(p []byte) (int, error) {
	if r.closed {
		return 0, errClosed
	}
	return r.r.Read(p)
}

func (r *reader) close() { r.closed = true }
