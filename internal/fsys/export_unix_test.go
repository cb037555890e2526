//go:build unix

package fsys

import "os"

// OpenRegular is what Open does after its first look at the path.
func OpenRegular(path string, flag int) (*os.File, error) { return openRegular(named(path), flag, 0) }

// Descriptor returns that of a file of an OS.
func Descriptor(f File) uintptr { return f.(*osFile).fd }

// HeldDescriptor returns that of a directory which an OS holds.
func HeldDescriptor(h Held) uintptr { return uintptr(h.(*osHeld).fd) }
