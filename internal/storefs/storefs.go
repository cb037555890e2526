// Package storefs tells package store on which file system a directory lies.
// That is the operating system's, unless a test of this module has mounted
// another one there: package statetest does, and no program can, since the
// package is internal.
package storefs

import (
	"sync"

	"github.com/stateio/stateio/internal/fsys"
)

var mounts sync.Map // of directory to fsys.FS

// Mount makes fs the file system that For returns for dir, as spelled, until
// unmount is called.
func Mount(dir string, fs fsys.FS) (unmount func()) {
	mounts.Store(dir, fs)
	return func() { mounts.CompareAndDelete(dir, fs) }
}

// For returns the file system that dir lies on.
func For(dir string) fsys.FS {
	if fs, ok := mounts.Load(dir); ok {
		return fs.(fsys.FS)
	}
	return fsys.OS{}
}
