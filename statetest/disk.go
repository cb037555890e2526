package statetest

import (
	"fmt"
	"log/slog"
	"path/filepath"
	"sync/atomic"

	"github.com/stateio/stateio/internal/fsys"
	"github.com/stateio/stateio/internal/storefs"
	"github.com/stateio/stateio/store"
)

var disks atomic.Uint64 // numbers the directories, so that several Runs get along

// newDir returns the path of a store's directory, which is in the root of file
// systems in memory.
func newDir() string {
	return filepath.FromSlash(fmt.Sprintf("/statetest-%d", disks.Add(1)))
}

// openOn opens the store in dir of a file system in memory.
func openOn(fs fsys.FS, dir string, m store.Machine, opts *store.Options) (*store.Store, error) {
	defer storefs.Mount(dir, fs)()
	return store.Open(dir, m, quiet(opts))
}

// quiet returns opts without a logger.
func quiet(opts *store.Options) *store.Options {
	var o store.Options
	if opts != nil {
		o = *opts
	}
	o.Logger = slog.New(slog.DiscardHandler)
	return &o
}
