//go:build !unix && !windows

package osfile

const canSyncDir = false

func retry(op func() error) error { return op() }
