// Package move has what the programs here have in common.
package move

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"

	"github.com/stateio/stateio/durable"
)

// To makes the directory dir by fill, which makes it under another name, given to it. It
// gets its own name when fill has succeeded, and all of it is on the disk: what is interrupted
// is not taken for whole, and what has the name outlives a power cut. It may be a file as well.
// Nothing else may make dir meanwhile. The error is fs.ErrExist if there is one already.
func To(dir string, fill func(dir string) error) error {
	partial := filepath.Clean(dir) + ".partial"
	for _, path := range []string{dir, partial} {
		if _, err := os.Lstat(path); err == nil {
			return fmt.Errorf("%s is there: move it away first, if it is not needed: %w", path, fs.ErrExist)
		} else if !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	if err := fill(partial); err != nil {
		return errors.Join(err, os.RemoveAll(partial))
	}
	if err := filepath.WalkDir(partial, syncEntry); err != nil {
		return errors.Join(err, os.RemoveAll(partial))
	}
	if err := os.Rename(partial, dir); err != nil {
		return err
	}
	return syncDir(filepath.Dir(filepath.Clean(dir)))
}

// syncEntry makes what is in a file, or the names in a directory, durable. Not every library
// does so with what it makes, nor tells when that fails.
func syncEntry(path string, entry fs.DirEntry, err error) error {
	switch {
	case err != nil:
		return err
	case entry.IsDir():
		return syncDir(path)
	}
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	return errors.Join(syncFile(f), f.Close())
}

// syncDir makes the names in a directory durable. Windows has no call for it.
func syncDir(path string) error {
	if runtime.GOOS == "windows" {
		return nil
	}
	dir, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(syncFile(dir), dir.Close())
}

// syncFile is changed by tests.
var syncFile = (*os.File).Sync

// batch is about how many bytes are made one transaction.
const batch = 256 << 10

// perChange is about how many bytes a change has besides key and value.
const perChange = 16

// A Filler puts much into a map, many keys in each transaction: one by one, each would
// wait for the disk. It is used by one goroutine.
type Filler[K cmp.Ordered, V any] struct {
	Map     *durable.Map[K, V]
	pending []func(tx *durable.Tx[K, V])
	size    int // of them, in bytes
}

// Do makes a change of about so many bytes, soon.
func (f *Filler[K, V]) Do(ctx context.Context, bytes int, change func(tx *durable.Tx[K, V])) error {
	bytes += perChange
	if f.size+bytes > batch { // what is larger is alone: an update may have so many bytes and no more
		if err := f.Flush(ctx); err != nil {
			return err
		}
	}
	f.pending = append(f.pending, change)
	f.size += bytes
	return nil
}

// Put sets a key, soon. Key and value have about so many bytes; the value must not be changed
// any more.
func (f *Filler[K, V]) Put(ctx context.Context, bytes int, key K, value V) error {
	return f.Do(ctx, bytes, func(tx *durable.Tx[K, V]) { tx.Put(key, value) })
}

// Flush makes the changes that were not made. When it returns nil, all are on the disk.
func (f *Filler[K, V]) Flush(ctx context.Context) error {
	if len(f.pending) == 0 {
		return nil
	}
	err := f.Map.Txn(ctx, func(tx *durable.Tx[K, V]) error {
		for _, change := range f.pending {
			change(tx)
		}
		return nil
	})
	if err == nil {
		clear(f.pending)
		f.pending, f.size = f.pending[:0], 0
	}
	return err
}
