//go:build !unix

package cluster

import "os"

// lockFile opens the file at path. The log has a lock of its own on these systems.
func lockFile(path string) (*os.File, error) {
	return os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o600)
}

// ignoreUnsupported returns nil: directories can't be synced on these systems.
func ignoreUnsupported(error) error { return nil }
