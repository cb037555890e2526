//go:build !linux

package main

import (
	"errors"
	"os"
)

func datasync(f *os.File) error { return f.Sync() }

// dropCache makes the kernel forget the pages of f, which must be synced.
func dropCache(*os.File) error { return errors.ErrUnsupported }
