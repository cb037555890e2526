//go:build unix && !linux

package fsys

import (
	"errors"
	"os"
)

// Datasync is a full sync: on macOS only F_FULLFSYNC, which os.File.Sync is
// there, reaches the disk.
func (f *osFile) Datasync() error { return f.Sync() }

func preallocate(uintptr, int64, int64) error { return errors.ErrUnsupported }

func dropCache(uintptr, int64) error { return errors.ErrUnsupported }

func stat(_ *os.File, fd uintptr) (Info, error) { return fstat(fd) }

func lstat(at spot) (Info, error) { return fstatat(at) }

// syncAround can't wait for a file system to be written back.
func syncAround(string) error { return nil }

func locksAreMandatory(uintptr) bool { return false }
