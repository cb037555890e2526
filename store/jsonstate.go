package store

import (
	"bytes"
	"fmt"
	"io"
)

// JSONState is a state that is kept as JSON: a machine embeds it, and has Snapshot and
// Restore. What is left to write is Apply, which changes State.
//
//	type inventory struct{ store.JSONState[map[string]int] }
//
//	func newInventory() *inventory {
//		return &inventory{store.JSONState[map[string]int]{State: map[string]int{}}}
//	}
//
//	func (i *inventory) Apply(item string) (int, error) {
//		i.State[item]++
//		return i.State[item], nil
//	}
//
// Snapshot encodes all of State while updates wait, and decodes it to see whether it can
// be read back: about 20 ms for each megabyte, so this is for states of some megabytes. It
// encodes as [JSON] does, and with the same care: what JSON can't hold, or T can't be read
// back from, is an error of Snapshot.
//
// What encoding/json leaves out by its own rules is not in a snapshot, and no error: fields
// that are not exported or tagged "-", and the types of what an interface holds, so that an
// int in an any comes back as a float64. Such fields come back as zero, when the store is
// opened and the log before the snapshot is gone. Export what belongs to the state;
// statetest.Run finds what Apply depends on and a snapshot lacks.
type JSONState[T any] struct {
	State T
}

// Snapshot implements [Machine].
func (s *JSONState[T]) Snapshot() (io.WriterTo, error) {
	b, err := JSON[T]{}.Append(nil, s.State)
	if err != nil {
		return nil, fmt.Errorf("store: encoding the state: %w", err)
	}
	if _, err := (JSON[T]{}).Decode(b); err != nil { // what Open would say, when nothing is lost yet
		return nil, fmt.Errorf("store: the state could not be read back as it is: %w", err)
	}
	return bytes.NewReader(b), nil
}

// Restore implements [Machine].
func (s *JSONState[T]) Restore(snapshot io.Reader) error {
	b, err := io.ReadAll(snapshot)
	if err != nil {
		return err
	}
	state, err := JSON[T]{}.Decode(b)
	if err != nil {
		return fmt.Errorf("store: decoding the state: %w", err)
	}
	s.State = state
	return nil
}

// A WriterFunc is a function as an io.WriterTo, for what Machine.Snapshot returns: it
// writes a state that was captured, and returns the first error of w.
type WriterFunc func(w io.Writer) error

// WriteTo implements io.WriterTo: it calls f, and counts the bytes that were written.
func (f WriterFunc) WriteTo(w io.Writer) (int64, error) {
	c := &countingWriter{w: w}
	err := f(c)
	return c.n, err
}

// A countingWriter counts what is written.
type countingWriter struct {
	w io.Writer
	n int64
}

func (c *countingWriter) Write(p []byte) (int, error) {
	n, err := c.w.Write(p)
	c.n += int64(n)
	return n, err
}
