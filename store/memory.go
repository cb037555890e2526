package store

import (
	"context"

	"github.com/stateio/stateio/internal/fsys/memfs"
)

// OpenMemory opens a store that is kept in memory, and is gone when it is closed: for
// tests of a program, and for one that runs without a disk. Everything else is as with
// [Open], the same code and the same errors; m must be in its initial state. What is told
// as durable is not. Its log stays in memory until a snapshot replaces it, so
// Options.SnapshotBytes bounds how much that is.
func OpenMemory(m Machine, opts *Options) (*Store, error) {
	o, err := opts.withDefaults()
	if err != nil {
		return nil, err
	}
	if opts == nil || opts.KeepSnapshots == 0 {
		o.KeepSnapshots = 1
	}
	return openOn(context.Background(), memfs.New(memfs.Options{}), "/memory", m, o)
}
