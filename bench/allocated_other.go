//go:build !unix

package main

import "io/fs"

// allocated returns how many bytes of the disk a file takes, about.
func allocated(info fs.FileInfo) int64 { return info.Size() }
