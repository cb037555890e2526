//go:build !unix && !windows

package osfile

import "os"

const canSyncDir = false

func removed(*os.File) (bool, error) { return false, nil }

func retry(op func() error) error { return op() }
