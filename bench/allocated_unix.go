//go:build unix

package main

import (
	"io/fs"
	"syscall"
)

// allocated returns how many bytes of the disk a file takes.
func allocated(info fs.FileInfo) int64 {
	if s, ok := info.Sys().(*syscall.Stat_t); ok {
		return int64(s.Blocks) * 512 //nolint:unconvert // of another type on other systems
	}
	return info.Size()
}
