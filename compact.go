package stateio

import (
	"bufio"
	"bytes"
	"fmt"
	"io"

	"github.com/stateio/stateio/internal/entry"
	"github.com/stateio/stateio/logio"
)

// Compact writes to dst a state file that holds nothing but the current epoch of
// the one in the first limit bytes of src, as epoch 0, and returns its size in
// bytes. An empty file makes an empty one. It needs little memory, whatever the
// size of the state.
//
// A torn tail is left out. Errors are those of dst, of type [*CorruptError] for
// damage in src, or say why reading it failed; what was written to dst is then
// of no use. To replace a file, write to a temporary one next to it, sync that,
// rename it, and sync the directory, with the file locked: see [Lock]. [CompactFile] does
// the first of this, and makes sure of what was written.
func Compact(dst io.Writer, src io.ReaderAt, limit int64) (n int64, err error) {
	f, err := newFile(src, limit)
	if err != nil {
		return 0, err
	}
	last, err := f.end()
	if err != nil {
		return 0, err
	}
	return f.compact(dst, last)
}

// compact writes the epoch that ends the file to dst.
func (f file) compact(dst io.Writer, last end) (n int64, err error) {
	updates, snapshot, err := f.openEpoch(last.epoch, last.last.End)
	if err != nil {
		return 0, err
	}
	out := &counter{w: bufio.NewWriterSize(dst, 8*logio.Blocksz)}
	err = f.copyEpoch(out, updates, snapshot)
	if err == nil {
		out.err = out.w.Flush()
	}
	if out.err != nil {
		return out.n, fmt.Errorf("stateio: writing the compacted file: %w", out.err)
	}
	return out.n, err
}

// copyEpoch writes a snapshot and updates to out, as epoch 0.
func (f file) copyEpoch(out *counter, updates *Reader, snapshot payload) error {
	if snapshot.Reader != nil {
		var head [entry.HeadSize]byte
		entry.Head{Kind: entry.Snapshot}.Put(&head)
		src := io.MultiReader(bytes.NewReader(head[:]), snapshot)
		if _, err := logio.NewWriter(out, 0).AppendFrom(src); err != nil {
			return f.unlessFreed(updates.epoch, f.convert(err, snapshot.log.Offset()))
		}
	}
	w := NewWriter(out, out.n, 0)
	for update, err := range updates.All() {
		if err != nil {
			return err
		}
		if err := w.Update(update); err != nil {
			return err
		}
	}
	return nil
}

// A counter counts the bytes written to it, and keeps the first error.
type counter struct {
	w   *bufio.Writer
	n   int64
	err error
}

func (c *counter) Write(b []byte) (int, error) {
	n, err := c.w.Write(b)
	c.n += int64(n)
	if c.err == nil {
		c.err = err
	}
	return n, err
}
