//go:build !linux

package engine

import (
	"errors"
	"os"
)

func datasync(f *os.File) error { return f.Sync() }

// DropCache makes the kernel forget the pages of f, which must be synced.
func DropCache(*os.File) error { return errors.ErrUnsupported }
