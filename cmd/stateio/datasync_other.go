//go:build !linux

package main

import (
	"fmt"
	"io/fs"
	"os"
)

// datasync makes durable what was written to f.
func datasync(f *os.File) error { return f.Sync() }

// syncFileSystem makes durable all that is in the file system of a file, for which there is
// no way here.
func syncFileSystem(path string) error {
	return fmt.Errorf("%s is there, but its directory may not be read, so its name can't be made durable: %w", path, fs.ErrPermission)
}
