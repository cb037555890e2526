package stateio

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/stateio/stateio/internal/fsys"
)

// CompactOptions have [CompactFile] tell what it does. Nil and zero tell nothing.
type CompactOptions struct {
	// Progress is called with how many bytes were done, and how many there are, about every
	// 256 KiB, when all is written, and at the end. Each byte is done twice, written and
	// compared; how many there are is known to a few bytes until all are written. Calls come
	// one at a time, but from any goroutine; the work goes on when they return.
	Progress func(done, total int64)
}

// CompactFile is [Compact] from a file to a file, and makes sure of what it wrote: it
// writes the current epoch of src to dst, as epoch 0, syncs dst, reads it back, from storage
// where the platform allows that (Linux), checks every record, and compares every entry with
// what src holds. Nil means that dst is durable and restores to what src restores to. It
// returns the size of dst in bytes, and needs memory for the longest update, but little for
// the snapshot.
//
// Dst is an empty file that is open for reading and writing, without O_APPEND; what it holds
// after an error is of no use. Its name is not synced. Src is taken up to the size that it has
// when CompactFile begins: a [Writer] of it may be in use, and what that begins to append later
// is not in dst. An entry that is being written at that moment is in dst or not, as a whole,
// and of a batch there may be the first entries. Neither file is closed, nor moved from its
// position. To replace src by dst, [Lock] src before, rename dst after, and sync the
// directory.
//
// When ctx ends, the error is that of ctx. It is a [*CorruptError] if src is damaged, and wraps
// [ErrNoEpoch] if [Truncate] gives back the epoch meanwhile, since a later one has begun. Other
// errors say which file could not be read or written, or that dst is not what it should be.
// Nil opts are the defaults.
func CompactFile(ctx context.Context, dst, src *os.File, opts *CompactOptions) (n int64, err error) {
	size, err := regularSize(src)
	if err != nil {
		return 0, fmt.Errorf("stateio: compacting %s: %w", src.Name(), err)
	}
	had, err := regularSize(dst)
	if err == nil && had > 0 {
		err = errors.New("it is not empty: compact to a new file")
	}
	if err != nil {
		return 0, fmt.Errorf("stateio: compacting %s to %s: %w", src.Name(), dst.Name(), err)
	}
	f, err := newFile(src, size)
	if err != nil {
		return 0, err
	}
	f.r = &watchedFile{File: src, ctx: ctx}
	last, err := f.end()
	if err != nil {
		return 0, err
	}
	c := compaction{ctx: ctx, src: f, last: last, dst: dst, tell: func(int64, int64) {}}
	if opts != nil && opts.Progress != nil {
		c.tell = opts.Progress
	}
	there := !f.zeroAt(int64(last.epoch))
	if n, err = c.write(); err == nil {
		err = c.compare(n)
	}
	if there {
		err = f.unlessFreed(last.epoch, err)
	}
	return n, err
}

// regularSize returns the size of a file, which must be a regular one.
func regularSize(osf *os.File) (int64, error) {
	info, err := fsys.StatFile(osf)
	if err != nil {
		return 0, err
	}
	if !info.Mode().IsRegular() {
		return 0, errNotRegular
	}
	return info.Size(), nil
}

// A compaction is that of a file to another one.
type compaction struct {
	ctx  context.Context
	src  file // ends with ctx
	last end  // of src
	dst  *os.File
	tell func(done, total int64)
}

// write writes the epoch to dst, and makes it durable.
func (c *compaction) write() (n int64, err error) {
	size := c.last.last.End - int64(c.last.epoch)
	out := &telling{w: io.NewOffsetWriter(c.dst, 0), tell: func(n int64) { c.tell(min(n, size), 2*size) }}
	if n, err = c.src.compact(out, c.last); err != nil {
		return 0, err
	}
	c.tell(n, 2*n)
	if err := syncFile(c.dst); err != nil {
		return 0, fmt.Errorf("stateio: syncing %s: %w", c.dst.Name(), err)
	}
	return n, nil
}

// compare returns an error unless the n bytes of dst, as they are on the disk, are the
// entries of the epoch.
func (c *compaction) compare(n int64) error {
	forget(c.dst, 0)
	size, err := regularSize(c.dst)
	if err == nil && size != n {
		err = fmt.Errorf("%w: it has %d bytes, and %d were written", errOther, size, n)
	}
	if err == nil {
		back := &watchedFile{File: c.dst, ctx: c.ctx, total: n, tell: func(done, _ int64) { c.tell(n+done, 2*n) }}
		err = sameEpoch(c.src, int64(c.last.epoch), c.last.last.End, file{r: back, path: c.dst.Name()}, n)
		back.end()
	}
	if err != nil {
		return fmt.Errorf("stateio: comparing %s with %s: %w", c.dst.Name(), c.src.path, err)
	}
	return nil
}

// A telling writer tells how much was written.
type telling struct {
	w    io.Writer
	n    int64
	tell func(n int64)
}

func (t *telling) Write(b []byte) (int, error) {
	n, err := t.w.Write(b)
	t.n += int64(n)
	t.tell(t.n)
	return n, err
}
