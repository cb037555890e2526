//go:build unix && !linux

package fsys

import "errors"

// Datasync is a full sync: on macOS only F_FULLFSYNC, which os.File.Sync is
// there, reaches the disk.
func (f *osFile) Datasync() error { return f.Sync() }

func preallocate(uintptr, int64, int64) error { return errors.ErrUnsupported }

func dropCache(uintptr) error { return errors.ErrUnsupported }

func stat(fd uintptr) (Info, error) { return fstat(fd) }
