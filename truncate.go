package stateio

import (
	"context"
	"fmt"
	"os"

	"github.com/stateio/stateio/internal/fsys"
	"github.com/stateio/stateio/logio"
)

// TruncateOptions have [Truncate] tell what it does. Nil and zero tell nothing.
type TruncateOptions struct {
	// Progress is called with how many bytes of the current epoch were read, and how many
	// there are, about every 256 KiB and at the end of them. Calls come one at a time, but
	// from any goroutine; reading goes on when they return.
	Progress func(done, total int64)
}

// Truncate gives the space of all epochs before the current one back to the
// file system, and returns how many bytes of storage that freed. It makes a
// hole of the file's first blocks, in multiples of 32 KiB: the file's size, the
// offsets in it and what it restores to stay the same.
//
// It first reads the current epoch, checks it and syncs the file, and does
// nothing if there is damage: then the error is a [*CorruptError]. A crash
// during Truncate leaves part of the space as it was. The file must be open for
// writing; a [Writer] of it may be in use meanwhile, in this process or another. Who reads an
// epoch that is given back gets an error that wraps [ErrNoEpoch], and reads the file anew.
//
// When ctx ends while the epoch is read, nothing is changed, and the error is that of
// ctx. Nil opts are the defaults.
//
// The error wraps [errors.ErrUnsupported] where the platform (all but Linux) or the
// file system can't make holes. [Compact] works everywhere.
func Truncate(ctx context.Context, osf *os.File, opts *TruncateOptions) (freed int64, err error) {
	fail := func(doing string, err error) (int64, error) {
		return 0, fmt.Errorf("stateio: %s %s: %w", doing, osf.Name(), err)
	}
	info, err := fsys.StatFile(osf)
	if err != nil {
		return fail("truncating", err)
	}
	f, err := newFile(osf, info.Size())
	if err != nil {
		return 0, err
	}
	last, err := f.end()
	if err != nil {
		return 0, err
	}
	n := int64(last.epoch - last.epoch%logio.Blocksz)
	if err := syncFile(osf); err != nil {
		return fail("syncing", err)
	}
	forget(osf, 0)
	if opts == nil {
		opts = new(TruncateOptions)
	}
	watched := &watchedFile{File: osf, ctx: ctx, tell: opts.Progress, from: int64(last.epoch), total: last.last.End - int64(last.epoch)}
	f.r = watched
	err = f.check(last)
	watched.end()
	if err != nil || n == 0 {
		return 0, err
	}
	before, err := fsys.Allocated(osf)
	if err != nil {
		return fail("measuring", err)
	}
	if err := fsys.Punch(osf, n); err != nil {
		return fail("making a hole in", err)
	}
	if err := syncFile(osf); err != nil {
		return fail("syncing", err)
	}
	after, err := fsys.Allocated(osf)
	if err != nil {
		return fail("measuring", err)
	}
	return max(0, before-after), nil
}
