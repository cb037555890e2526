package stateio

import (
	"fmt"
	"os"

	"github.com/stateio/stateio/internal/osfile"
	"github.com/stateio/stateio/logio"
)

// Truncate gives the space of all epochs before the current one back to the
// file system, and returns how many bytes of storage that freed. It makes a
// hole of the file's first blocks, in multiples of 32 KiB: the file's size, the
// offsets in it and what it restores to stay the same.
//
// It first reads the current epoch, checks it and syncs the file, and does
// nothing if there is damage: then the error is a [*CorruptError]. A crash
// during Truncate leaves part of the space as it was. The file must be open for
// writing; a [Writer] of it may be in use meanwhile, in this process or another.
//
// The error is [errors.ErrUnsupported] where the platform (all but Linux) or the
// file system can't make holes. [Compact] works everywhere.
func Truncate(osf *os.File) (freed int64, err error) {
	fail := func(doing string, err error) (int64, error) {
		return 0, fmt.Errorf("stateio: %s %s: %w", doing, osf.Name(), err)
	}
	info, err := osfile.Stat(osf)
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
	if err := osf.Sync(); err != nil {
		return fail("syncing", err)
	}
	osfile.Forget(osf, n)
	if err := f.check(last); err != nil || n == 0 {
		return 0, err
	}
	before, err := osfile.Allocated(osf)
	if err != nil {
		return fail("measuring", err)
	}
	if err := osfile.Punch(osf, n); err != nil {
		return fail("making a hole in", err)
	}
	if err := osf.Sync(); err != nil {
		return fail("syncing", err)
	}
	after, err := osfile.Allocated(osf)
	if err != nil {
		return fail("measuring", err)
	}
	return max(0, before-after), nil
}
